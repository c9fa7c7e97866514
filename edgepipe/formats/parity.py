"""What a file of another format answers in its own runtime, against the ONNX file it was made from."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Asked, Dataset, Split, Task
from edgepipe.errors import ParityError
from edgepipe.onnx.alike import alike, without_same_infinities
from edgepipe.onnx.answers import NamedAnswers, rows_together
from edgepipe.tasks.values import mean_cosine, variance_kept


class Kept(NamedTuple):
    """How much of one output another runtime keeps: `largest_difference` is a share of the largest value."""

    largest_difference: float
    agreement: float
    cosine: float
    r2: float


def compare(
    source: NamedAnswers,
    other: Asked,
    data: Dataset,
    task: Task,
    *,
    int8: bool,
    tolerance: float,
    agreement: float,
    examples: int,
    what: str,
) -> dict[str, float | int]:
    """Compare on real examples, output by output.

    A float file answers within `tolerance` (share of the largest answer). An int8 file may round otherwise in every
    layer: what its task says is kept of an output must reach `agreement`; of single values that is the variance.

    Returns:
        `examples`, `largest_difference`, `agreement` (of the largest value), `cosine` and `r2`, each of the output
        that keeps least.
    Raises:
        ParityError: it does not; says which figure.
    """
    count = min(examples, data.count(Split.EVALUATION))
    parts = [(source(rows), other(source.session.named(rows))) for rows in rows_together(data, count, source)]
    kept: dict[str, Kept] = {}
    for name in source.outputs:
        of = f"of its output '{name}' " if len(source.outputs) > 1 else ""
        pairs = [(part[0][name], part[1][name]) for part in parts]
        odd = next(((b.shape, a.shape) for a, b in pairs if a.shape != b.shape), None)
        if odd is not None:
            raise ParityError(f"{what}: {of}answers have shape {odd[0]} against {odd[1]}")
        wanted, got = (_flat([pair[side] for pair in pairs]) for side in (0, 1))
        wanted, got = without_same_infinities(wanted, got)
        if not np.isfinite(got).all():
            raise ParityError(f"{what}: {of}answers are not finite")
        kept[name] = _kept(wanted, got)
        figures = kept[name]
        enough = (figures.r2 if wanted.shape[1] == 1 else task.kept(wanted, got)) >= agreement
        if not enough if int8 else figures.largest_difference > tolerance:
            raise ParityError(
                f"{what} does not answer as the ONNX file it was made from: {of}{figures.agreement:.1%} of {count} "
                f"answers agree, mean cosine {figures.cosine:.4f}, R2 {figures.r2:.4f}, largest difference "
                f"{figures.largest_difference:.2g} of the largest. Leave this format out of `formats`"
            )
    columns = zip(*kept.values(), strict=True)
    return {
        "examples": count,
        **{
            name: max(values) if name == "largest_difference" else min(values)
            for name, values in zip(Kept._fields, columns, strict=True)
        },
    }


def _flat(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """(n, values); where answers of different examples have different sizes, the shorter ones end in zeros."""
    rows = [part.reshape(len(part), -1) for part in parts]
    most = max(row.shape[1] for row in rows)
    whole = np.concatenate([np.pad(row, ((0, 0), (0, most - row.shape[1]))) for row in rows])
    return whole if whole.dtype.kind == "f" else whole.astype(np.float64)


def _kept(wanted: NDArray[Any], got: NDArray[Any]) -> Kept:
    found = alike(wanted, got)
    return Kept(found.share, found.agreement, mean_cosine(wanted, got), variance_kept(wanted, got))
