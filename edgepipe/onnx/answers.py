"""Asking an ONNX file, and comparing it with the model it came from on real examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Dataset, Split
from edgepipe.errors import MeasureError, ParityError
from edgepipe.onnx.alike import Alike, alike
from edgepipe.onnx.batch_axis import Rows, all_answered, batch_axes, count_of, cut
from edgepipe.onnx.session import Given, Session
from edgepipe.onnx.session_options import asking

Answers = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class NamedAnswers:
    """A network's outputs for whole examples, whatever axes of its inputs and outputs count them.

    Args:
        outputs: names of those that are asked for; None: all.
    """

    def __init__(self, session: Session, outputs: Sequence[str] | None = None) -> None:
        self.session = session
        self.outputs = tuple(item.name for item in session.outputs) if outputs is None else tuple(outputs)
        self._axes: list[dict[str, int]] = []

    def together(self, examples: Given) -> int:
        """Examples that may be compared at once: all of these, or 1 where the first axis of an output counts none."""
        rows = self.session.rows(examples)
        axes = self._of_outputs(rows)
        return count_of(rows) if all(axes.get(name) == 0 for name in self.outputs) else 1

    def _of_outputs(self, rows: Rows) -> dict[str, int]:
        if not self._axes:
            self._axes.append(batch_axes(self._ask, cut(rows, 0, 4), self.session.places(rows).fixed))
        return self._axes[0]

    def _ask(self, rows: Rows) -> dict[str, NDArray[np.generic]]:
        return self.session.ask(rows, self.outputs)

    def __call__(self, examples: Given) -> dict[str, NDArray[np.generic]]:
        """Outputs by their names, (n, ...) each, of examples, (n, ...) each.

        Raises:
            MeasureError: the model takes several examples at once, and an output counts none; or it does not run.
        """
        rows = self.session.rows(examples)
        fixed, axes = self.session.places(rows).fixed, self._of_outputs(rows)
        uncounted = [name for name in self.outputs if name not in axes]
        if uncounted and fixed not in (None, 1):
            raise MeasureError(
                f"{self.session.name}: takes {fixed} examples at once, and no axis of its output {uncounted[0]!r} "
                "counts them. Export it with a dynamic batch, or one of 1"
            )
        return all_answered(self._ask, rows, fixed, None if uncounted else axes)


class FirstAnswer:
    """The first output of a file with one input, for whole examples: (n, ...) to (n, ...)."""

    def __init__(self, file: Path) -> None:
        session = Session(file, asking(), name=file.name)
        self._answers = NamedAnswers(session, [session.outputs[0].name])
        session.only_input("compared")

    def together(self, inputs: NDArray[np.float32]) -> int:
        """As of `NamedAnswers`."""
        return self._answers.together(inputs)

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, ...), whatever axis of the output counts the examples."""
        (found,) = self._answers(inputs).values()
        return found  # type: ignore[return-value]


def session_answers(file: Path) -> FirstAnswer:
    """What asks an ONNX (or ORT format) file, whatever its batch size and input type, in ONNX Runtime."""
    return FirstAnswer(file)


def rows_together(data: Dataset, count: int, answers: Answers) -> Iterator[NDArray[np.float32]]:
    """The first evaluation examples, as many at once as a file answers in its first axis."""
    for batch in data.batches(Split.EVALUATION, 32, range(count)):
        step = answers.together(batch.only) if isinstance(answers, FirstAnswer) else len(batch.only)
        yield from (batch.only[start : start + step] for start in range(0, len(batch.only), step))


def check_parity(
    source: Answers, file: Path, data: Dataset, *, tolerance: float, examples: int, what: str
) -> dict[str, float | int]:
    """Compare a file with the model it came from on real examples.

    Returns:
        `examples`, `largest_difference` (share of the largest logit) and `agreement` in [0, 1].
    Raises:
        ParityError: a logit differs by more than `tolerance` times the largest logit, or is not finite.
    """
    answers = session_answers(file)
    found: Alike | None = None
    count = min(examples, data.count(Split.EVALUATION))
    worst: NDArray[np.float32] = np.empty(0, np.float32)
    for inputs in rows_together(data, count, answers):
        wanted, got = (asked(inputs).reshape(len(inputs), -1) for asked in (source, answers))
        part = alike(wanted, got)
        if not (part.one_shape and part.finite):
            raise ParityError(
                f"{what}: answers have shape {got.shape} against {wanted.shape}, or are not finite. "
                "The model it came from may hold NaN weights or divide by zero"
            )
        if found is None or part.largest_difference > found.largest_difference:
            worst = inputs
        found = part if found is None else found.and_then(part)
    found = found or alike(np.empty((0, 1)), np.empty((0, 1)))  # there were no examples
    seen, same = len(found.same), int(found.same.sum())
    if found.share > tolerance:
        for who, asked in (("the model it was made from", source), ("it", answers)):
            with np.errstate(all="ignore"):
                off = alike(asked(worst), asked(worst)).largest_difference / max(found.largest, 1e-12)
            if off > tolerance:
                raise ParityError(
                    f"{what} cannot be compared: {who} answers the same examples differently each time, by {off:.2g} "
                    "of the largest logit. It draws random numbers when it is used (torch.rand in forward, a "
                    "dropout that is always on, RandomUniform): draw them in training only"
                )
        raise ParityError(
            f"{what} does not answer as the model it was made from: the largest logit difference is {found.share:.2g} "
            f"of the largest logit on {seen} examples (allowed: {tolerance:g}), {same} of {seen} answers agree. A "
            "layer was converted wrongly: replace that layer, or raise the tolerance"
        )
    return {"examples": seen, "largest_difference": found.share, "agreement": found.agreement}
