"""How near any model's outputs stay to the baseline's: for models that no other task knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Answers, Figure, Measure, Signature, Targets, Task
from edgepipe.errors import MeasureError
from edgepipe.tasks.values import mean_interval

_ALIKE = 0.01
"""Relative error below which an output is answered alike."""
_SIZE = ":size"


class Agreement(Task):
    """Any number of outputs of any shape against the baseline's of the same example; needs no labels.

    Each figure is that of the output that is kept worst.
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure(
            "cosine", "cosine", "higher", "mean cosine to the baseline's output, of the worst output", worse_by=0.005
        ),
        Measure(
            "cosine_p01",
            "worst 1%",
            "higher",
            "mean cosine of the worst 1% of the examples, at least of one",
            worse_by=0.02,
        ),
        Measure(
            "relative_error",
            "relative error",
            "lower",
            "length of the difference over length of the baseline's output, mean of examples, of the worst output",
            worse_by=0.02,
            relative=True,
        ),
    )
    labelled: ClassVar[bool] = False

    def targets(self, raw: NDArray[Any], signature: Signature) -> Targets:
        return {}

    def answers(self, outputs: Mapping[str, NDArray[Any]], signature: Signature, what: str) -> Answers:
        """For each output of numbers NAME: the values of all examples in a row, and `NAME:size`, (n,), of each.

        Examples may differ in shape: they are lists of boxes, or as long as a text is.
        """
        found: Answers = {}
        for name, values in outputs.items():
            array = np.asarray(values)
            if array.dtype.kind not in "fiub":
                continue
            if array.dtype.kind == "f" and np.isnan(array).any():
                raise MeasureError(f"{what}: NaN in its output '{name}' on the evaluation examples")
            each = int(np.prod(array.shape[1:], dtype=np.int64))
            found[name] = array.reshape(-1).astype(np.float32 if array.dtype.kind == "f" else np.int64)
            found[name + _SIZE] = np.full(len(array), each, np.int64)
        if not found:
            raise MeasureError(f"{what}: none of its outputs ({', '.join(outputs)}) is of numbers")
        return found

    def count(self, answers: Answers) -> int:
        return len(next(values for name, values in answers.items() if name.endswith(_SIZE)))

    def possible(self, answers: Answers, count: int) -> bool:
        names = {name for name in answers if not name.endswith(_SIZE)}
        return bool(names) and all(
            name + _SIZE in answers
            and answers[name + _SIZE].shape == (count,)
            and answers[name + _SIZE].dtype.kind in "iu"
            and int(answers[name + _SIZE].min(initial=0)) >= 0
            and answers[name].ndim == 1
            and len(answers[name]) == int(answers[name + _SIZE].sum())
            and answers[name].dtype.kind in "fiu"
            and not bool(np.isnan(answers[name]).any())
            for name in names
        )

    def targets_of(self, baseline: Answers) -> Targets | None:
        return dict(baseline)

    def measured(self, answers: Answers, targets: Targets) -> dict[str, Figure]:
        found = list(_kept(answers, targets).values())
        worst = min(found, key=lambda kept: float(kept[0].mean()))[0]
        error = max(found, key=lambda kept: float(kept[1].mean()))[1]
        few = max(1, len(worst) // 100)
        lowest = min(float(np.sort(cosine)[:few].mean()) for cosine, _ in found)
        return {
            "cosine": Figure(float(worst.mean()), mean_interval(worst)),
            "cosine_p01": Figure(lowest),
            "relative_error": Figure(float(error.mean()), mean_interval(error)),
        }

    def compared(self, answers: Answers, baseline: Answers, targets: Targets) -> dict[str, Figure]:
        """The baseline keeps all of itself."""
        now = self.measured(answers, targets)

        def less(figure: Figure) -> Figure:
            value, ci95 = figure
            return Figure(None if value is None else 1 - value, None if ci95 is None else (1 - ci95[1], 1 - ci95[0]))

        return {
            "cosine": less(now["cosine"]),
            "cosine_p01": less(now["cosine_p01"]),
            "relative_error": now["relative_error"],
        }

    def alike(self, answers: Answers, baseline: Answers) -> NDArray[np.bool_]:
        """Where each output has a relative error of at most 1%, and whole numbers are the same."""
        found = [
            error <= (_ALIKE if baseline[name].dtype.kind == "f" else 0)
            for name, (_, error) in _kept(answers, baseline).items()
        ]
        return np.asarray(np.all(found, axis=0))

    def notes(
        self, answers: Answers, baseline: Answers | None, targets: Targets | None, signature: Signature
    ) -> list[str]:
        if baseline is not None:
            return []
        shares = {name: float(np.isinf(answers[name]).mean()) for name in _names(answers) if answers[name].size}
        return [
            f"{share:.0%} of the values of output '{name}' are infinite: an example keeps nothing of it where they are "
            "others, and the figures are those of the finite ones"
            for name, share in shares.items()
            if share
        ]


def _kept(answers: Answers, baseline: Answers) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """(cosine, relative error), (n,) each, of every output; an example of another size counts as nothing kept."""
    if answers.keys() != baseline.keys():
        raise MeasureError(
            f"its outputs are {_names(answers)}, the baseline's {_names(baseline)}: they cannot be compared"
        )
    found = {}
    for name in baseline:
        if name.endswith(_SIZE):
            continue
        sizes, others = answers[name + _SIZE], baseline[name + _SIZE]
        if len(sizes) != len(others):
            raise MeasureError(f"predictions on {len(sizes)} and {len(others)} examples cannot be compared")
        if np.array_equal(sizes, others) and len(set(sizes.tolist())) == 1:
            a, b = (each[name].reshape(len(sizes), -1).astype(np.float64) for each in (answers, baseline))
            found[name] = _rows(a, b)
            continue
        ends = [np.concatenate([[0], np.cumsum(each)]) for each in (sizes, others)]
        cosines, errors = np.zeros((2, len(sizes)))
        for index, (size, other) in enumerate(zip(sizes, others, strict=True)):
            if size == other:
                a = answers[name][ends[0][index] : ends[0][index + 1]].astype(np.float64)[None]
                b = baseline[name][ends[1][index] : ends[1][index + 1]].astype(np.float64)[None]
                (cosines[index],), (errors[index],) = _rows(a, b)
            else:
                errors[index] = 1.0
        found[name] = cosines, errors
    return found


def _rows(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    same = (a == b).all(axis=1)
    infinite = np.isinf(a) | np.isinf(b)
    if infinite.any():
        lost = (infinite & (a != b)).any(axis=1)
        cosines, errors = _rows(np.where(infinite, 0, a), np.where(infinite, 0, b))
        return np.where(lost, 0.0, cosines), np.where(lost, np.maximum(errors, 1.0), errors)
    sizes, wanted = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    cosines = np.clip((a * b).sum(axis=1) / np.maximum(sizes * wanted, 1e-300), -1, 1)
    errors = np.linalg.norm(a - b, axis=1) / np.maximum(wanted, 1e-12)
    return np.where(same, 1.0, cosines), np.where(same, 0.0, errors)


def _names(answers: Answers) -> Sequence[str]:
    return [name for name in answers if not name.endswith(_SIZE)]
