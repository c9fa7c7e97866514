"""What observers need of a large tensor, computed inside the runtime.

All tensors of an EfficientNet at 224 are 100 MB a picture. Handed out, most of calibration's time goes into finding
memory for them; extremes and the values that are counted are a hundredth of that. Where a tensor is a function of
another, value by value, it is enough to apply it to what is known of the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgepipe.onnx.names import fresh, tensor_names
from edgepipe.quant.calibrate.elementwise import path, repeated, roots
from edgepipe.quant.calibrate.observers import COUNTED, NotFiniteError, Observer, places, together

_LARGEST = float(np.finfo(np.float32).max)


class Summaries:
    """Outputs of a probe in the place of the tensors of more than COUNTED values an example.

    Args:
        tensors: what is asked for.
        sizes: values of an example in those of them that count examples along their first axis.

    Attributes:
        outputs: names that the probe must hand out.
        spared: values of an example that are not handed out.
    """

    def __init__(self, probe: onnx.ModelProto, tensors: Sequence[str], sizes: Mapping[str, int]) -> None:
        self._probe = probe
        self._taken = tensor_names(probe.graph)
        self._opset = next(item.version for item in probe.opset_import if item.domain in ("", "ai.onnx"))
        self._stored: dict[str, str] = {}
        self._sizes = {name: size for name, size in sizes.items() if size > COUNTED}
        found = roots(probe.graph, self._sizes)
        of: dict[str, list[str]] = {}
        for name in self._sizes:
            of.setdefault(found[name], []).append(name)
        self._names: dict[str, list[str]] = {}
        for root, others in of.items():
            nodes = path(probe.graph, root, others, found)
            self._names[root] = self._summarize(root, self._sizes[root])
            self._follow(nodes, root, [name for name in others if name != root])
        self.spared = sum(size - COUNTED for size in self._sizes.values())
        self.outputs = [each for name in tensors for each in self._names.get(name, [name])]

    def observe(self, name: str, values: Mapping[str, NDArray[np.float32]], observer: Observer) -> None:
        """Show a batch's values of the tensor to its observer.

        Raises:
            NotFiniteError: a value is not finite.
        """
        if name not in self._names:
            observer.observe(values[name])
            return
        ends, *sums, counted = (values[each] for each in self._names[name])
        # What is counted may reach beyond the ends, where a function has its extreme between them.
        low, high = float(min(ends.min(), counted.min())), float(max(ends.max(), counted.max()))
        # Extremes pass over NaN and sums do not; but sums of huge values, as of a mask of -3e38, may be NaN too.
        if any(np.isnan(each).any() for each in sums) and self._sizes[name] * max(-low, high) < _LARGEST:
            raise NotFiniteError
        observer.observe_summary(low, high, counted)

    def _summarize(self, name: str, size: int) -> list[str]:
        """Append the nodes; names of both extremes, (n, 1, 2), of the sum, (n, 1, 1), and of the values counted."""
        side = together(size)
        rows = self._node("Reshape", [name, self._constant(f"shape_{side}", [0, -1, side])], "rows")
        low, high, total = (self._reduce(operator, rows) for operator in ("ReduceMin", "ReduceMax", "ReduceSum"))
        ends = self._node("Concat", [low, high], "ends", axis=2)
        chosen = self._constant(f"places_{size}", places(size))
        return [ends, total, self._node("Gather", [rows, chosen], "counted", axis=1)]

    def _follow(self, nodes: Sequence[onnx.NodeProto], root: str, others: Sequence[str]) -> None:
        """The same of functions of a tensor: their values at its extremes and where it is counted."""
        if not others:
            return
        ends, _, counted = self._names[root]
        made = []
        for instead in (ends, counted):
            copies, names = repeated(nodes, root, instead, lambda name: self._fresh(f"edgepipe_{name}"))
            self._probe.graph.node.extend(copies)
            made.append(names)
        for name in others:
            self._names[name] = [names[name] for names in made]

    def _reduce(self, operator: str, rows: str) -> str:
        if operator == "ReduceSum" or self._opset >= 18:
            return self._node(operator, [rows, self._constant("axes", [1, 2])], operator, keepdims=1)
        return self._node(operator, [rows], operator, keepdims=1, axes=[1, 2])

    def _node(self, operator: str, inputs: Sequence[str], what: str, **attributes: Any) -> str:
        name = self._fresh(f"edgepipe_{what}")
        self._probe.graph.node.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def _constant(self, what: str, value: NDArray[Any] | Sequence[int]) -> str:
        """The name of a constant that is stored once."""
        if what not in self._stored:
            name = self._stored[what] = self._fresh(f"edgepipe_{what}")
            self._probe.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return self._stored[what]

    def _fresh(self, wanted: str) -> str:
        name = fresh(wanted, self._taken)
        self._taken.add(name)
        return name
