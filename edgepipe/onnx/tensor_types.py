"""Element types of a network's tensors, and arrays made of them: the one place where examples are cast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.errors import ModelError

if TYPE_CHECKING:
    import onnx

TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(bool)": np.bool_,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}
"""Types as ONNX Runtime writes them, that numbers can become."""
_WHOLE = 1e-3
"""How far from a whole number is still its rounding: pixels that were scaled and scaled back."""


@dataclass(frozen=True)
class Tensor:
    """An input or output of a network, as the graph declares it.

    Attributes:
        dtype: None where it is no tensor of numbers (strings, the maps of a ZipMap).
        shape: an axis is its size, or its name where it takes any, or None where that has no name; None for all: the
            graph does not say.
    """

    name: str
    dtype: np.dtype[Any] | None
    shape: tuple[int | str | None, ...] | None

    @property
    def batch(self) -> int | None:
        """Size of the first axis where the graph fixes it: the examples of a run, where it counts them."""
        first = self.shape[0] if self.shape else None
        return first if isinstance(first, int) else None


def tensor_of(item: Any) -> Tensor:
    """An input or output as ONNX Runtime tells it; sizes that are none (0 and -1 of some exporters) are any."""
    sizes = [None if isinstance(size, int) and size <= 0 else size for size in item.shape or ()]
    kind = TYPES.get(item.type)
    # The runtime tells no shape of a scalar and none of a tensor of unknown rank, and they look alike.
    return Tensor(item.name, None if kind is None else np.dtype(kind), tuple(sizes) or None)


def declared(item: onnx.ValueInfoProto) -> Tensor:
    """An input or output as a graph's file declares it; `tensor_of` tells the same of an open session."""
    from onnx import TensorProto, helper

    kind = item.type.tensor_type
    number = kind.elem_type not in (TensorProto.UNDEFINED, TensorProto.STRING)
    sizes = tuple((dim.dim_value if dim.dim_value > 0 else None) or dim.dim_param or None for dim in kind.shape.dim)
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)) if number else None
    return Tensor(item.name, dtype, sizes or None)


def lost_as(inputs: NDArray[Any], dtype: np.dtype[Any] | type[np.generic]) -> str | None:
    """What a cast to `dtype` would lose of the examples, in words; None: nothing but what floats round."""
    kind = np.dtype(dtype)
    if kind.kind not in "iub" or inputs.dtype == kind or not inputs.size:
        return None
    low, high = (0, 1) if kind.kind == "b" else (int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    least, most = inputs.min(), inputs.max()
    whole = inputs.dtype.kind in "iub" or bool(np.abs(inputs - np.rint(inputs)).max() < _WHOLE)
    if whole and least > low - 0.5 and most < high + 0.5:
        return None
    return (
        f"takes whole numbers ({kind.name}, {low} to {high}), but the data gives values from {least:.4g} to {most:.4g}"
    )


def cast(inputs: NDArray[Any], dtype: np.dtype[Any] | type[np.generic], what: str, name: str = "") -> NDArray[Any]:
    """The examples as `dtype`, contiguous.

    Args:
        what: whose input it is, for the message.
        name: of the input, where there are several.

    Raises:
        ModelError: as whole numbers they would be others.
    """
    if lost := lost_as(inputs, dtype):
        input_ = f"input {name!r}" if name else "input"
        raise ModelError(f"{what}: its {input_} {lost}: as whole numbers they would be others")
    if np.dtype(dtype).kind in "iub" and inputs.dtype.kind == "f":
        inputs = np.rint(inputs)  # 7.9999995 is 8: a cast alone would make 7 of it
    return np.ascontiguousarray(inputs, dtype=dtype)
