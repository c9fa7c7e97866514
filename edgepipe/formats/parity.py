"""What a file of another format answers in its own runtime, against the ONNX file it was made from."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Asked, Dataset, Split
from edgepipe.errors import ParityError
from edgepipe.onnx.alike import alike
from edgepipe.onnx.answers import NamedAnswers, rows_together


class Kept(NamedTuple):
    """How much of one output another runtime keeps: `largest_difference` is a share of the largest value."""

    largest_difference: float
    agreement: float
    cosine: float
    r2: float

    def measured_by(self, task: str) -> float:
        """The figure that must reach `export.agreement`."""
        return {"classification": self.agreement, "regression": self.r2}.get(task, self.cosine)


def compare(
    source: NamedAnswers,
    other: Asked,
    data: Dataset,
    *,
    int8: bool,
    tolerance: float,
    agreement: float,
    examples: int,
    what: str,
) -> dict[str, float | int]:
    """Compare on real examples, output by output.

    A float file answers within `tolerance` (share of the largest answer). An int8 file may round otherwise in every
    layer: it must agree on `agreement` of the classes; vectors must have that mean cosine, and single values that R2.

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
        if not np.isfinite(got).all():
            raise ParityError(f"{what}: {of}answers are not finite")
        kept[name] = _kept(wanted, got)
        task = data.signature.task if wanted.shape[1] > 1 else "regression"
        figures = kept[name]
        if figures.measured_by(task) < agreement if int8 else figures.largest_difference > tolerance:
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
    norms = np.linalg.norm(wanted, axis=1) * np.linalg.norm(got, axis=1)
    cosine = float(((wanted * got).sum(axis=1) / np.maximum(norms, 1e-30)).mean())
    spread = float(((wanted - wanted.mean(axis=0)) ** 2).sum())
    # Where all answers are one, their size is the measure.
    r2 = 1 - float(((wanted - got) ** 2).sum()) / max(spread, 1e-6 * float((wanted**2).sum()), 1e-30)
    return Kept(found.share, found.agreement, cosine, r2)
