"""Asking an ONNX file, and comparing it with the model it came from on real examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Dataset, Split
from edgepipe.errors import MeasureError, ParityError
from edgepipe.onnx.alike import Alike, all_alike
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


def named_answers(file: Path) -> NamedAnswers:
    """What asks an ONNX (or ORT format) file for all outputs of numbers, whatever number of inputs it takes."""
    session = Session(file, asking(), name=file.name)
    numbers = [item.name for item in session.outputs if item.dtype is not None]
    return NamedAnswers(session, numbers or None)


def rows_together(data: Dataset, count: int, answers: object) -> Iterator[Given]:
    """The first evaluation examples, as many at once as a file answers in its first axis."""
    for batch in data.batches(Split.EVALUATION, 32, range(count)):
        given: Given = batch.only if len(batch.inputs) == 1 else batch.inputs
        step = answers.together(given) if isinstance(answers, (FirstAnswer, NamedAnswers)) else len(batch)  # type: ignore[arg-type]
        for start in range(0, len(batch), step):
            yield given[start : start + step] if isinstance(given, np.ndarray) else cut(given, start, start + step)


def check_parity(
    source: Callable[[Any], Any], file: Path, data: Dataset, *, tolerance: float, examples: int, what: str
) -> dict[str, float | int]:
    """Compare a file with the model it came from on real examples.

    Args:
        source: asked for examples it answers outputs by their names, or the first output alone.
    Returns:
        `examples`, `largest_difference` (share of the largest value of its output) and `agreement` in [0, 1].
    Raises:
        ParityError: a value differs by more than `tolerance` times the largest of its output, or is not finite.
    """
    answers = named_answers(file)
    found: dict[str, Alike] = {}
    count = min(examples, data.count(Split.EVALUATION))
    worst: Given = np.empty(0, np.float32)
    for inputs in rows_together(data, count, answers):
        wanted = _flat(source(inputs), answers, count_in(inputs))
        got = {
            name: value for name, value in _flat(answers(inputs), answers, count_in(inputs)).items() if name in wanted
        }
        for name, part in all_alike(wanted, got).items():
            if not (part.one_shape and part.finite):
                raise ParityError(
                    f"{what}: {_of(name, wanted)}answers have shape {part.shapes[1]} against {part.shapes[0]}, or are "
                    "not finite. The model it came from may hold NaN weights or divide by zero"
                )
            known = found.get(name)
            if known is None or part.largest_difference > known.largest_difference:
                worst = inputs
            found[name] = part if known is None else known.and_then(part)
    seen = len(next(iter(found.values())).same) if found else 0
    same = np.logical_and.reduce([each.same for each in found.values()]) if found else np.ones(0, np.bool_)
    name = max(found, key=lambda name: found[name].share, default="")
    share = found[name].share if found else 0.0
    if share > tolerance:
        for who, asked in (("the model it was made from", source), ("it", answers)):
            first, again = (_flat(asked(worst), answers, count_in(worst))[name] for _ in range(2))
            with np.errstate(all="ignore"):
                off = float(np.abs(first - again).max()) / max(found[name].largest, 1e-12)
            if off > tolerance:
                raise ParityError(
                    f"{what} cannot be compared: {who} answers the same examples differently each time, by {off:.2g} "
                    "of the largest logit. It draws random numbers when it is used (torch.rand in forward, a "
                    "dropout that is always on, RandomUniform): draw them in training only"
                )
        raise ParityError(
            f"{what} does not answer as the model it was made from: {_of(name, found)}the largest logit difference is "
            f"{share:.2g} of the largest logit on {seen} examples (allowed: {tolerance:g}), {int(same.sum())} of "
            f"{seen} answers agree. A layer was converted wrongly: replace that layer, or raise the tolerance"
        )
    return {"examples": seen, "largest_difference": share, "agreement": float(same.mean()) if seen else 1.0}


def _of(name: str, outputs: Mapping[str, object]) -> str:
    return f"of its output '{name}' " if len(outputs) > 1 else ""


def count_in(given: Given) -> int:
    """The number of examples."""
    return count_of(given) if isinstance(given, Mapping) else len(given)


def _flat(found: Any, answers: NamedAnswers, count: int) -> dict[str, NDArray[Any]]:
    """Outputs by their names, (n, values) each; an array alone is the first output."""
    outputs = found if isinstance(found, Mapping) else {answers.outputs[0]: np.asarray(found)}
    return {name: value.reshape(count, -1) for name, value in outputs.items()}
