"""What one place answered against what this machine answered, and the verdict on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.errors import VerifyError
from edgepipe.onnx.alike import alike
from edgepipe.records.metrics import Proof
from edgepipe.verify.place import Answers, Place

_CLOSE = 1e-3  # of the largest value: two such answers are the same one, where an answer is not a class


def agreeing(there: NDArray[Any], here: NDArray[Any], *, classes: bool = True) -> NDArray[np.bool_]:
    """bool, (n,): whether both give the same class; where outputs are no scores, values within 0.1% of the largest.

    Args:
        there, here: float32, (n, ...), the first output of the model.
    Raises:
        VerifyError: the two differ in shape.
    """
    one, other = (array.reshape(len(array), -1) for array in (there, here))
    found = alike(other, one)
    if not found.one_shape:
        raise VerifyError(f"answers of shape {there.shape} there and {here.shape} here cannot be compared")
    if classes and one.shape[1] > 1:
        return np.asarray(found.same & np.isfinite(one).all(axis=1))
    return np.asarray(found.differences <= _CLOSE * max(1e-12, found.largest))


def compare(
    target: str,
    place: Place,
    there: Answers,
    here: Answers,
    labels: NDArray[np.int64] | None,
    float_operators: list[str],
    seconds: float,
    *,
    classes: bool = True,
) -> Proof:
    """What is known of one place; `judge` gives the verdict."""
    same = agreeing(there.outputs, here.outputs, classes=classes)
    count = len(same)

    def top1(outputs: NDArray[Any]) -> float | None:
        if labels is None:
            return None
        scores = outputs.reshape(count, -1)
        answers = scores.argmax(axis=1) if scores.shape[1] > 1 else np.rint(scores[:, 0])
        return float((answers == labels[:count]).mean())

    found = alike(*(answers.outputs.reshape(count, -1) for answers in (here, there)))
    return Proof(
        target=target,
        place=place.name,
        runtime=there.runtime,
        threads=place.threads,
        examples=count,
        agreement=float(same.mean()),
        identical=there.outputs.tobytes() == here.outputs.tobytes(),
        largest_difference=found.largest_difference if np.isfinite(found.largest_difference) else None,
        top1=top1(there.outputs),
        top1_here=top1(here.outputs),
        latency_p50_ms=float(np.median(there.milliseconds)) if there.milliseconds else None,
        float_operators=float_operators,
        seconds=round(seconds, 1),
    )


def judge(proof: Proof, agreement: float) -> Proof:
    """The proof with its verdict: failed below `agreement`, or when an int8 graph is not bit-identical."""
    why = []
    if proof.status != "ok" or proof.agreement is None:
        return proof
    if proof.agreement < agreement:
        lost = round((1 - proof.agreement) * proof.examples)
        why.append(f"{lost} of {proof.examples} answers differ from this machine's, {agreement:.2%} must agree")
    if not proof.float_operators and not proof.identical:
        why.append("the graph is fully int8, so its logits must be bit-identical, and they are not")
    if not why:
        return proof
    if proof.target == "x86_avx2" and not proof.identical:
        why.append("without VNNI, sums of two u8*s8 products saturate at 16 bits: quantize with saturation_safe: true")
    return proof.model_copy(update={"status": "failed", "why": "; ".join(why)})
