"""A vector for each example, whose direction counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Answers, Figure, Measure, Signature, Targets, Task
from edgepipe.errors import MeasureError
from edgepipe.tasks.values import cosines, mean_interval, values_of

_ALIKE = 0.99
"""Cosine from which two vectors are one answer."""


class Embedding(Task):
    """A vector for each example, whose direction counts: compared with the float model's of the same example."""

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure(
            "cosine", "cosine", "higher", "mean cosine to the baseline's vector of the same example", worse_by=0.005
        ),
        Measure("cosine_p01", "worst 1%", "higher", "cosine that 99% of the examples reach", worse_by=0.02),
    )
    labelled: ClassVar[bool] = False
    least_range: ClassVar[float] = 0.1

    def targets(self, raw: NDArray[Any], signature: Signature) -> Targets:
        return {}

    def answers(self, outputs: Mapping[str, NDArray[Any]], signature: Signature, what: str) -> Answers:
        """`values`: float32, (n, k)."""
        return {"values": values_of(outputs, what)}

    def targets_of(self, baseline: Answers) -> Targets | None:
        return {"vectors": baseline["values"]}

    def measured(self, answers: Answers, targets: Targets) -> dict[str, Figure]:
        if answers["values"].shape != targets["vectors"].shape:
            raise MeasureError(
                f"its vectors have {answers['values'].shape[1]} values, the float model's {targets['vectors'].shape[1]}"
            )
        found = cosines(answers["values"], targets["vectors"])
        return {
            "cosine": Figure(float(found.mean()), mean_interval(found)),
            "cosine_p01": Figure(float(np.quantile(found, 0.01))),
        }

    def compared(self, answers: Answers, baseline: Answers, targets: Targets) -> dict[str, Figure]:
        now, then = self.measured(answers, targets), self.measured(baseline, targets)
        lost = cosines(baseline["values"], targets["vectors"]) - cosines(answers["values"], targets["vectors"])
        worst = (then["cosine_p01"].value or 0.0) - (now["cosine_p01"].value or 0.0)
        return {"cosine": Figure(float(lost.mean()), mean_interval(lost)), "cosine_p01": Figure(worst)}

    def alike(self, answers: Answers, baseline: Answers) -> NDArray[np.bool_]:
        """At a cosine of at least 0.99."""
        return np.asarray(cosines(answers["values"], baseline["values"]) >= _ALIKE)
