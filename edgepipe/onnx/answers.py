"""Asking an ONNX file, and comparing it with the model it came from on real examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import DataSource, Split
from edgepipe.errors import ParityError
from edgepipe.onnx.batch_axis import answered, batch_axis
from edgepipe.onnx.session_options import quiet_options
from edgepipe.onnx.tensor_types import cast, numpy_type
from edgepipe.targets.host import available_cores

Answers = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class SessionAnswers:
    """Answers of an ONNX (or ORT format) file, whatever its batch size and input type, in ONNX Runtime."""

    def __init__(self, file: Path) -> None:
        import onnxruntime as ort

        options = quiet_options()
        options.intra_op_num_threads = available_cores()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # its callers compute between runs
        self._session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        first = self._session.get_inputs()[0]
        self._file, self._name, self._dtype = file, first.name, numpy_type(first.type)
        self._fixed = first.shape[0] if isinstance(first.shape[0], int) else None
        self._axis: list[int | None] = []

    def together(self, inputs: NDArray[np.float32]) -> int:
        """Examples that may be compared at once: those of `inputs`, or 1 where the first axis counts none."""
        return len(inputs) if self._examples(inputs) == 0 else 1

    def _examples(self, inputs: NDArray[np.float32]) -> int | None:
        if not self._axis:
            self._axis.append(batch_axis(self._run, inputs[:4], self._fixed))
        return self._axis[0]

    def _run(self, inputs: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(self._session.run(None, {self._name: cast(inputs, self._dtype, self._file.name)})[0])

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, ...), whatever axis of the output counts the examples."""
        found: NDArray[np.float32] = answered(self._run, inputs, self._fixed, self._examples(inputs))
        return found


def session_answers(file: Path) -> SessionAnswers:
    """What asks a file."""
    return SessionAnswers(file)


def rows_together(data: DataSource, count: int, answers: Answers) -> Iterator[NDArray[np.float32]]:
    """The first evaluation examples, as many at once as a file answers in its first axis."""
    for batch in data.batches(Split.EVALUATION, 32, range(count)):
        step = answers.together(batch.inputs) if isinstance(answers, SessionAnswers) else len(batch.inputs)
        yield from (batch.inputs[start : start + step] for start in range(0, len(batch.inputs), step))


def check_parity(
    source: Answers, file: Path, data: DataSource, *, tolerance: float, examples: int, what: str
) -> dict[str, float | int]:
    """Compare a file with the model it came from on real examples.

    Returns:
        `examples`, `largest_difference` (share of the largest logit) and `agreement` in [0, 1].
    Raises:
        ParityError: a logit differs by more than `tolerance` times the largest logit, or is not finite.
    """
    answers = session_answers(file)
    largest, top, same, seen = 0.0, 0.0, 0, 0
    count = min(examples, data.count(Split.EVALUATION))
    worst: NDArray[np.float32] = np.empty(0, np.float32)
    for inputs in rows_together(data, count, answers):
        wanted, got = (asked(inputs).reshape(len(inputs), -1) for asked in (source, answers))
        if wanted.shape != got.shape or not np.isfinite(got).all() or not np.isfinite(wanted).all():
            raise ParityError(
                f"{what}: answers have shape {got.shape} against {wanted.shape}, or are not finite. "
                "The model it came from may hold NaN weights or divide by zero"
            )
        if seen == 0 or float(np.abs(wanted - got).max()) > largest:
            worst = inputs
        largest = max(largest, float(np.abs(wanted - got).max()))
        top = max(top, float(np.abs(wanted).max()))
        same += int((wanted.argmax(1) == got.argmax(1)).sum())
        seen += len(got)
    share = largest / top if top > 0 else largest
    if share > tolerance:
        for who, asked in (("the model it was made from", source), ("it", answers)):
            with np.errstate(all="ignore"):
                off = float(np.abs(asked(worst) - asked(worst)).max()) / max(top, 1e-12)
            if off > tolerance:
                raise ParityError(
                    f"{what} cannot be compared: {who} answers the same examples differently each time, by {off:.2g} "
                    "of the largest logit. It draws random numbers when it is used (torch.rand in forward, a "
                    "dropout that is always on, RandomUniform): draw them in training only"
                )
        raise ParityError(
            f"{what} does not answer as the model it was made from: the largest logit difference is {share:.2g} of the "
            f"largest logit on {seen} examples (allowed: {tolerance:g}), {same} of {seen} answers agree. A layer was "
            "converted wrongly: replace that layer, or raise the tolerance"
        )
    return {"examples": seen, "largest_difference": share, "agreement": same / seen}
