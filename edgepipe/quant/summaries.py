"""What observers need of a large tensor, computed inside the runtime.

All tensors of an EfficientNet at 224 are 100 MB a picture. Handed out, most of calibration's time goes into finding
memory for them; extremes, energy and the values that are counted are a fiftieth of that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgepipe.quant.names import fresh, tensor_names
from edgepipe.quant.observers import COUNTED, Observer, energies_of, places


class Summaries:
    """Outputs of a probe in the place of the tensors of more than COUNTED values an example.

    Args:
        sizes: values of an example in each tensor.

    Attributes:
        outputs: names that the probe must hand out.
    """

    def __init__(self, probe: onnx.ModelProto, sizes: Mapping[str, int]) -> None:
        self._probe = probe
        self._taken = tensor_names(probe.graph)
        self._opset = next(item.version for item in probe.opset_import if item.domain in ("", "ai.onnx"))
        self._indices: dict[int, str] = {}
        self._axes = self._constant("edgepipe_axes", np.array([1], np.int64)) if self._opset >= 18 else None
        self._sizes = {name: size for name, size in sizes.items() if size > COUNTED}
        self._names = {name: self._summarize(name, size) for name, size in self._sizes.items()}
        self.outputs = [each for name in sizes for each in self._names.get(name, [name])]

    def observe(self, name: str, values: Mapping[str, NDArray[np.float32]], observer: Observer) -> None:
        """Show a batch's values of the tensor to its observer.

        Raises:
            ValueError: a value is not finite.
        """
        if name not in self._names:
            observer.observe(values[name])
            return
        lows, highs, squares, counted = (values[each] for each in self._names[name])
        energies = np.asarray(squares, np.float64) / self._sizes[name]
        if np.isinf(energies).any():  # squares beyond float32, as of a mask of -3e38
            energies = energies_of(counted)
        observer.observe_summary(float(lows.min()), float(highs.max()), energies, counted)

    def _summarize(self, name: str, size: int) -> list[str]:
        """Append the nodes; names of (n,) least, largest and sum of squares, and of (n, COUNTED) values."""
        rows = self._node("Flatten", [name], "rows", axis=1)
        reduced = [self._reduce(operator, rows) for operator in ("ReduceMin", "ReduceMax", "ReduceSumSquare")]
        if size not in self._indices:
            self._indices[size] = self._constant("edgepipe_places", places(size))
        return [*reduced, self._node("Gather", [rows, self._indices[size]], "counted", axis=1)]

    def _reduce(self, operator: str, rows: str) -> str:
        if self._axes is not None:
            return self._node(operator, [rows, self._axes], operator, keepdims=0)
        return self._node(operator, [rows], operator, keepdims=0, axes=[1])

    def _node(self, operator: str, inputs: Sequence[str], what: str, **attributes: Any) -> str:
        name = self._fresh(f"edgepipe_{what}")
        self._probe.graph.node.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def _constant(self, wanted: str, value: NDArray[np.int64]) -> str:
        name = self._fresh(wanted)
        self._probe.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def _fresh(self, wanted: str) -> str:
        name = fresh(wanted, self._taken)
        self._taken.add(name)
        return name
