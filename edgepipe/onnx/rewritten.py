"""Whether a graph that was rewritten when it came in answers as the one that was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.errors import ModelError
from edgepipe.onnx.alike import alike
from edgepipe.onnx.batch_axis import Rows, resized
from edgepipe.onnx.examples import ExampleShapes
from edgepipe.onnx.layout import Layout, arranged
from edgepipe.onnx.session import Session, words
from edgepipe.onnx.session_options import quiet_options

if TYPE_CHECKING:
    import onnx


def difference(
    given: onnx.ModelProto,
    made: onnx.ModelProto,
    example: ExampleShapes,
    where: str,
    why: str,
    layout: Layout = "same",
    real: Rows | None = None,
) -> float:
    """Largest difference between both graphs' answers to drawn examples, as a share of the largest answer of an output.

    NaN where the given graph gives no finite one.

    Args:
        example: shape of one example, as the other graph takes it.
        why: what kind of graph was given, for the message where the runtime does not take it.
        layout: how the given graph takes such an example.
        real: an example of the data by input, (1, ...) each, as the other graph takes it: its whole numbers are given
            as they are, for they may choose the branch that is computed, or a row of a table.
    Raises:
        ModelError: the runtime does not run one of them, or they answer in other shapes.
    """
    try:
        wanted = _answers(given, example, layout, real or {})
    except Exception as error:
        raise ModelError(f"{where}: {why}ONNX Runtime cannot run it: {words(error)[:300]}") from None
    try:
        found = _answers(made, example, "same", real or {})
    except Exception as error:
        raise ModelError(f"{where}: {why}rewritten, ONNX Runtime cannot run it: {words(error)[:300]}") from None
    shares = []
    for one, other in zip(wanted, found, strict=True):
        if one.shape != other.shape:
            raise ModelError(f"{where}: {why}rewritten, it answers {other.shape} where it answered {one.shape}")
        usual = np.isfinite(one)  # float16 overflows where float32 does not
        if usual.any():
            told = alike(*(np.where(usual, value, 0.0) for value in (one, other)))
            off = told.largest_difference / max(told.largest, 1e-12)
            shares.append(off if np.isfinite(off) else float("inf"))
    return max(shares, default=float("nan"))


def _answers(model: onnx.ModelProto, example: ExampleShapes, layout: Layout, real: Rows) -> list[NDArray[np.float64]]:
    session = Session(model.SerializeToString(), quiet_options())
    shapes = example if isinstance(example, Mapping) else {session.only_input("rewritten").name: example}

    def drawn(count: int) -> dict[str, NDArray[Any]]:
        return {
            item.name: arranged(
                _drawn(count, shapes[item.name], item.dtype or np.dtype(np.float32), real.get(item.name)), layout
            )
            for item in session.inputs
        }

    def ask(count: int) -> list[NDArray[np.float64]]:
        return [np.asarray(value, np.float64) for value in session.run(session.placed(drawn(count))).values()]

    fixed = session.places(drawn(1)).fixed
    if fixed is not None:
        return ask(fixed)
    try:
        return ask(2)
    except Exception:
        return ask(1)


def _drawn(count: int, input_shape: tuple[int, ...], kind: np.dtype[Any], real: NDArray[Any] | None) -> NDArray[Any]:
    """Examples, the same each time: normal; whole numbers real, else 0 and 1, which are words of any table."""
    generator = np.random.default_rng(0)
    shape = (count, *input_shape)
    if kind.kind in "iub":
        if real is not None and real.shape[1:] == input_shape:
            return resized({"": real}, count)[""].astype(kind)
        return generator.integers(0, 2, shape).astype(kind)
    return generator.standard_normal(shape).astype(kind)
