"""Whether a graph that was rewritten when it came in answers as the one that was given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.errors import ModelError

if TYPE_CHECKING:
    import onnx


def difference(
    given: onnx.ModelProto, made: onnx.ModelProto, input_shape: tuple[int, ...], where: str, why: str
) -> float:
    """Largest difference between both graphs' answers to drawn examples, as a share of the largest answer.

    Args:
        input_shape: of one example, as the graphs take it.
        why: what kind of graph was given, for the message where the runtime does not take it.
    Raises:
        ModelError: the runtime does not run one of them, or they answer in other shapes.
    """
    try:
        wanted = _answers(given, input_shape)
    except Exception as error:
        raise ModelError(f"{where}: {why}ONNX Runtime cannot run it: {str(error)[:300]}") from None
    try:
        found = _answers(made, input_shape)
    except Exception as error:
        raise ModelError(f"{where}: {why}rewritten, ONNX Runtime cannot run it: {str(error)[:300]}") from None
    if wanted.shape != found.shape:
        raise ModelError(f"{where}: {why}rewritten, it answers {found.shape} where it answered {wanted.shape}")
    usual = np.isfinite(wanted)  # float16 overflows where float32 does not
    if not usual.any():
        return 0.0
    off = np.abs(wanted - found, where=usual, out=np.zeros_like(wanted)).max()
    return float(off / max(np.abs(wanted[usual]).max(), 1e-12)) if np.isfinite(off) else float("inf")


def _answers(model: onnx.ModelProto, input_shape: tuple[int, ...]) -> NDArray[np.float64]:
    import onnxruntime as ort

    from edgepipe.models.lower import numpy_type

    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    first = session.get_inputs()[0]
    fixed = first.shape[0] if first.shape and isinstance(first.shape[0], int) else None
    try:
        examples = _drawn(fixed or 2, input_shape, numpy_type(first.type))
        answers = session.run(None, {first.name: examples})[0]
    except Exception:
        if fixed is not None:
            raise
        answers = session.run(None, {first.name: _drawn(1, input_shape, numpy_type(first.type))})[0]
    return np.asarray(answers, np.float64)


def _drawn(count: int, input_shape: tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
    """Examples, the same each time: normal, or 0 and 1, which are numbers of words in any table."""
    generator = np.random.default_rng(0)
    shape = (count, *input_shape)
    if kind.kind in "iub":
        return generator.integers(0, 2, shape).astype(kind)
    return generator.standard_normal(shape).astype(kind)
