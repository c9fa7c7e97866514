"""What one place answered against what this machine answered, and the verdict on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import PlaceAnswers, Processor, Signature, Targets, Task
from edgepipe.errors import VerifyError
from edgepipe.onnx.alike import Alike, all_alike
from edgepipe.records.metrics import Proof

Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Judge:
    """What answers mean: the task, and what is right of as many examples; None: nobody says."""

    task: Task
    signature: Signature
    targets: Targets | None = None

    def alike(self, there: Outputs, here: Outputs) -> NDArray[np.bool_]:
        """bool, (n,): whether an example is answered as here; one that is not finite is not.

        Raises:
            VerifyError: the two differ in shape.
        """
        finite = _compared(there, here)[1]
        answers, baseline = (self.task.answers(each, self.signature, "it") for each in (_mended(there, here), here))
        return np.asarray(self.task.alike(answers, baseline) & finite)

    def quality(self, outputs: Outputs, here: Outputs) -> dict[str, float]:
        """By measure what is reached; empty where nothing says what is right."""
        if self.targets is None:
            return {}
        answers = self.task.answers(_mended(outputs, here), self.signature, "it")
        found = self.task.measured(answers, self.targets)
        return {name: figure.value for name, figure in found.items() if figure.value is not None}


def _compared(there: Outputs, here: Outputs) -> tuple[dict[str, Alike], NDArray[np.bool_]]:
    """Every output compared, and whether all values of an example are finite there wherever they are here."""
    if there.keys() != here.keys():
        raise VerifyError(f"outputs {', '.join(there)} there and {', '.join(here)} here cannot be compared")
    found = all_alike(
        {name: value.reshape(len(value), -1) for name, value in here.items()},
        {name: value.reshape(len(value), -1) for name, value in there.items()},
    )
    for name, each in found.items():
        if not each.one_shape:
            of = f" of output '{name}'" if len(found) > 1 else ""
            raise VerifyError(
                f"answers of shape {there[name].shape} there and {here[name].shape} here{of} cannot be compared"
            )
    rows = [_finite(there[name]) | ~_finite(here[name]) for name in found]
    return found, np.asarray(np.all(rows, axis=0))


def _finite(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(values.reshape(len(values), -1)).all(axis=1))


def _mended(there: Outputs, here: Outputs) -> dict[str, NDArray[Any]]:
    """Answers whose values are finite: of the other examples those of here, which count as not alike."""
    found = {}
    for name, value in there.items():
        bad = ~_finite(value) & _finite(here[name])
        found[name] = (
            np.where(bad.reshape(-1, *(1 for _ in value.shape[1:])), here[name], value) if bad.any() else value
        )
    return found


def compare(
    target: str,
    place: Processor,
    there: PlaceAnswers,
    here: PlaceAnswers,
    judge: Judge,
    float_operators: list[str],
    seconds: float,
) -> Proof:
    """What is known of one place; `judge` below gives the verdict."""
    found, _ = _compared(there.outputs, here.outputs)
    same = judge.alike(there.outputs, here.outputs)
    largest = max((each.largest_difference for each in found.values()), default=0.0)
    finite = all(np.isfinite(each.largest_difference) for each in found.values())
    return Proof(
        target=target,
        place=place.name,
        runtime=there.runtime,
        threads=place.threads,
        examples=len(same),
        alike=float(same.mean()),
        identical=all(value.tobytes() == here.outputs[name].tobytes() for name, value in there.outputs.items()),
        largest_difference=largest if finite else None,
        quality=judge.quality(there.outputs, here.outputs),
        quality_here=judge.quality(here.outputs, here.outputs),
        latency_p50_ms=float(np.median(there.milliseconds)) if there.milliseconds else None,
        float_operators=float_operators,
        seconds=round(seconds, 1),
    )


def judge(proof: Proof, agreement: float, remedy: str = "") -> Proof:
    """The proof with its verdict: failed below `agreement`, or when an int8 graph is not bit-identical."""
    why = []
    if proof.status != "ok" or proof.alike is None:
        return proof
    if proof.alike < agreement:
        lost = round((1 - proof.alike) * proof.examples)
        why.append(f"{lost} of {proof.examples} answers differ from this machine's, {agreement:.2%} must agree")
    if not proof.float_operators and not proof.identical:
        why.append("the graph is fully int8, so its outputs must be bit-identical, and they are not")
    if not why:
        return proof
    if remedy and not proof.identical:
        why.append(remedy)
    return proof.model_copy(update={"status": "failed", "why": "; ".join(why)})
