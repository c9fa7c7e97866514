"""Whether a graph that was rewritten when it came in answers as the one that was given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.errors import ModelError
from edgepipe.onnx.layout import Layout, arranged
from edgepipe.onnx.session_options import quiet_options
from edgepipe.onnx.tensor_types import numpy_type

if TYPE_CHECKING:
    import onnx


def difference(
    given: onnx.ModelProto,
    made: onnx.ModelProto,
    input_shape: tuple[int, ...],
    where: str,
    why: str,
    layout: Layout = "same",
) -> float:
    """Largest difference between both graphs' answers to drawn examples, as a share of the largest answer.

    NaN where the given graph gives no finite one.

    Args:
        input_shape: of one example, as the other graph takes it.
        why: what kind of graph was given, for the message where the runtime does not take it.
        layout: how the given graph takes such an example.
    Raises:
        ModelError: the runtime does not run one of them, or they answer in other shapes.
    """
    try:
        wanted = _answers(given, input_shape, layout)
    except Exception as error:
        raise ModelError(f"{where}: {why}ONNX Runtime cannot run it: {str(error)[:300]}") from None
    try:
        found = _answers(made, input_shape, "same")
    except Exception as error:
        raise ModelError(f"{where}: {why}rewritten, ONNX Runtime cannot run it: {str(error)[:300]}") from None
    if wanted.shape != found.shape:
        raise ModelError(f"{where}: {why}rewritten, it answers {found.shape} where it answered {wanted.shape}")
    usual = np.isfinite(wanted)  # float16 overflows where float32 does not
    if not usual.any():
        return float("nan")
    off = np.abs(wanted - found, where=usual, out=np.zeros_like(wanted)).max()
    return float(off / max(np.abs(wanted[usual]).max(), 1e-12)) if np.isfinite(off) else float("inf")


def _answers(model: onnx.ModelProto, input_shape: tuple[int, ...], layout: Layout) -> NDArray[np.float64]:
    import onnxruntime as ort

    session = ort.InferenceSession(model.SerializeToString(), quiet_options(), providers=["CPUExecutionProvider"])
    first = session.get_inputs()[0]
    fixed = first.shape[0] if first.shape and isinstance(first.shape[0], int) else None

    def ask(count: int) -> NDArray[np.float64]:
        examples = _drawn(count, input_shape, numpy_type(first.type))
        given = np.ascontiguousarray(arranged(examples, layout))
        return np.asarray(session.run(None, {first.name: given})[0], np.float64)

    if fixed is not None:
        return ask(fixed)
    try:
        return ask(2)
    except Exception:
        return ask(1)


def _drawn(count: int, input_shape: tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
    """Examples, the same each time: normal, or 0 and 1, which are numbers of words in any table."""
    generator = np.random.default_rng(0)
    shape = (count, *input_shape)
    if kind.kind in "iub":
        return generator.integers(0, 2, shape).astype(kind)
    return generator.standard_normal(shape).astype(kind)
