"""Whether a graph that was rewritten when it came in answers as the one that was given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.errors import ModelError
from edgepipe.onnx.alike import alike
from edgepipe.onnx.layout import Layout, arranged
from edgepipe.onnx.session_options import quiet_options

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
    from edgepipe.onnx.session import words

    try:
        wanted = _answers(given, input_shape, layout)
    except Exception as error:
        raise ModelError(f"{where}: {why}ONNX Runtime cannot run it: {words(error)[:300]}") from None
    try:
        found = _answers(made, input_shape, "same")
    except Exception as error:
        raise ModelError(f"{where}: {why}rewritten, ONNX Runtime cannot run it: {words(error)[:300]}") from None
    if wanted.shape != found.shape:
        raise ModelError(f"{where}: {why}rewritten, it answers {found.shape} where it answered {wanted.shape}")
    usual = np.isfinite(wanted)  # float16 overflows where float32 does not
    if not usual.any():
        return float("nan")
    told = alike(*(np.where(usual, value, 0.0) for value in (wanted, found)))
    off = told.largest_difference / max(told.largest, 1e-12)
    return off if np.isfinite(off) else float("inf")


def _answers(model: onnx.ModelProto, input_shape: tuple[int, ...], layout: Layout) -> NDArray[np.float64]:
    from edgepipe.onnx.session import Session

    session = Session(model.SerializeToString(), quiet_options())
    first = session.only_input("rewritten")
    assert first.dtype is not None
    kind = first.dtype

    def ask(count: int) -> NDArray[np.float64]:
        return np.asarray(session.first(arranged(_drawn(count, input_shape, kind), layout)), np.float64)

    if first.batch is not None:
        return ask(first.batch)
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
