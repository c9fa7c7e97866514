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

from edgepipe.quant.elementwise import path, repeated, roots
from edgepipe.quant.names import fresh, tensor_names
from edgepipe.quant.observers import COUNTED, Observer, places, together

_GRID = 513
"""Values between the extremes of a tensor, at which functions of it are computed to learn how far they reach."""


class Summaries:
    """Outputs of a probe in the place of the tensors of more than COUNTED values an example.

    Args:
        sizes: values of an example in each tensor.

    Attributes:
        outputs: names that the probe must hand out.
        values: of an example in these, but for a few.
    """

    def __init__(self, probe: onnx.ModelProto, sizes: Mapping[str, int]) -> None:
        self._probe = probe
        self._taken = tensor_names(probe.graph)
        self._opset = next(item.version for item in probe.opset_import if item.domain in ("", "ai.onnx"))
        self._stored: dict[str, str] = {}
        large = {name: size for name, size in sizes.items() if size > COUNTED}
        found = roots(probe.graph, large)
        of: dict[str, list[str]] = {}
        for name in large:
            of.setdefault(found[name], []).append(name)
        self._names: dict[str, list[str]] = {}
        for root, others in of.items():
            nodes = path(probe.graph, root, others, found)
            self._names[root] = self._summarize(root, large[root])
            self._follow(nodes, root, [name for name in others if name != root])
        self.values = sum(min(size, COUNTED) for size in sizes.values())
        self.outputs = [each for name in sizes for each in self._names.get(name, [name])]

    def observe(self, name: str, values: Mapping[str, NDArray[np.float32]], observer: Observer) -> None:
        """Show a batch's values of the tensor to its observer.

        Raises:
            ValueError: a value is not finite.
        """
        if name not in self._names:
            observer.observe(values[name])
            return
        *extremes, counted = (values[each] for each in self._names[name])
        # What is counted may reach a little beyond a grid that is a function's.
        low = min(float(part.min()) for part in (*extremes, counted))
        high = max(float(part.max()) for part in (*extremes, counted))
        observer.observe_summary(low, high, counted)

    def _summarize(self, name: str, size: int) -> list[str]:
        """Append the nodes; names of the extremes, (n, 1, 1) each, and of the values counted, (n, …)."""
        side = together(size)
        rows = self._node("Reshape", [name, self._constant(f"shape_{side}", [0, -1, side])], "rows")
        extremes = [self._reduce(operator, rows) for operator in ("ReduceMin", "ReduceMax")]
        chosen = self._constant(f"places_{size}", places(size))
        return [*extremes, self._node("Gather", [rows, chosen], "counted", axis=1)]

    def _follow(self, nodes: Sequence[onnx.NodeProto], root: str, others: Sequence[str]) -> None:
        """The same of functions of a tensor: their values on a grid between its extremes, and where it is counted."""
        if not others:
            return
        low, high, counted = self._names[root]
        steps = self._constant("steps", np.linspace(0, 1, _GRID, dtype=np.float32).reshape(1, 1, -1))
        back = self._constant("back", np.linspace(1, 0, _GRID, dtype=np.float32).reshape(1, 1, -1))
        # low (1 - t) + high t meets both ends exactly, and does not overflow.
        grid = self._node(
            "Add", [self._node("Mul", [low, back], "lower"), self._node("Mul", [high, steps], "upper")], "grid"
        )
        made = []
        for instead in (grid, counted):
            copies, names = repeated(nodes, root, instead, lambda name: self._fresh(f"edgepipe_{name}"))
            self._probe.graph.node.extend(copies)
            made.append(names)
        for name in others:
            self._names[name] = [names[name] for names in made]

    def _reduce(self, operator: str, rows: str) -> str:
        if self._opset >= 18:
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
