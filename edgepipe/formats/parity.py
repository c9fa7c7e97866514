"""What a file of another format answers in its own runtime, against the ONNX file it was made from."""

from __future__ import annotations

import numpy as np

from edgepipe.contract import Dataset, Split
from edgepipe.errors import ParityError
from edgepipe.onnx.alike import alike
from edgepipe.onnx.answers import Answers, rows_together


def compare(
    source: Answers,
    other: Answers,
    data: Dataset,
    *,
    int8: bool,
    tolerance: float,
    agreement: float,
    examples: int,
    what: str,
) -> dict[str, float | int]:
    """Compare on real examples.

    A float file answers within `tolerance` (share of the largest answer). An int8 file may round otherwise in every
    layer: it must agree on `agreement` of the classes; vectors must have that mean cosine, and single values that R2.

    Returns:
        `examples`, `largest_difference`, `agreement` (of the largest value), `cosine` and `r2`.
    Raises:
        ParityError: it does not; says which figure.
    """
    count = min(examples, data.count(Split.EVALUATION))
    batches = list(rows_together(data, count, source))
    wanted = np.concatenate([source(inputs).reshape(len(inputs), -1) for inputs in batches])
    got = np.concatenate([other(inputs).reshape(len(inputs), -1) for inputs in batches])
    found = alike(wanted, got)
    if not found.one_shape or not np.isfinite(got).all():
        raise ParityError(f"{what}: answers have shape {got.shape} against {wanted.shape}, or are not finite")
    largest, same = found.share, found.agreement
    norms = np.linalg.norm(wanted, axis=1) * np.linalg.norm(got, axis=1)
    cosine = float(((wanted * got).sum(axis=1) / np.maximum(norms, 1e-30)).mean())
    spread = float(((wanted - wanted.mean(axis=0)) ** 2).sum())
    # Where all answers are one, their size is the measure.
    r2 = 1 - float(((wanted - got) ** 2).sum()) / max(spread, 1e-6 * float((wanted**2).sum()), 1e-30)
    task = data.signature.task if wanted.shape[1] > 1 else "regression"
    reached = {"classification": same, "embedding": cosine, "regression": r2}[task]
    if (int8 and reached < agreement) or (not int8 and largest > tolerance):
        raise ParityError(
            f"{what} does not answer as the ONNX file it was made from: {same:.1%} of {count} answers agree, mean "
            f"cosine {cosine:.4f}, R2 {r2:.4f}, largest difference {largest:.2g} of the largest. Leave this format "
            "out of `formats`"
        )
    return {"examples": count, "largest_difference": largest, "agreement": same, "cosine": cosine, "r2": r2}
