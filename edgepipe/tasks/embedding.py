"""A vector for each example, whose direction counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Answers, Figure, Measure, Signature, Targets, Task
from edgepipe.errors import MeasureError
from edgepipe.tasks.retrieval import found_again
from edgepipe.tasks.values import cosines, mean_interval, values_of

_ALIKE = 0.99
"""Cosine from which two vectors are one answer."""


class Embedding(Task):
    """A vector for each example, whose direction counts: compared with the float model's of the same example.

    And with what a search would find: each example is looked for among the others, by both models' vectors. With fewer
    than 12 examples that says nothing.
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure(
            "cosine", "cosine", "higher", "mean cosine to the baseline's vector of the same example", worse_by=0.005
        ),
        Measure("cosine_p01", "worst 1%", "higher", "cosine that 99% of the examples reach", worse_by=0.02),
        Measure(
            "recall_at_10",
            "recall@10",
            "higher",
            "share of an example's 10 nearest by the baseline's vectors that are its 10 nearest",
            unit="share",
            worse_by=0.05,
        ),
        Measure(
            "rank_correlation",
            "rank correlation",
            "higher",
            "Spearman's, of the similarities of an example to all others, to those by the baseline's vectors",
            worse_by=0.02,
            column=False,
        ),
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
            **_search(found_again(answers["values"], targets["vectors"])),
        }

    def compared(self, answers: Answers, baseline: Answers, targets: Targets) -> dict[str, Figure]:
        now, then = self.measured(answers, targets), self.measured(baseline, targets)
        lost = cosines(baseline["values"], targets["vectors"]) - cosines(answers["values"], targets["vectors"])
        worst = (then["cosine_p01"].value or 0.0) - (now["cosine_p01"].value or 0.0)
        found = [found_again(each["values"], targets["vectors"]) for each in (baseline, answers)]
        again = None
        if found[0] is not None and found[1] is not None:
            again = found[0][0] - found[1][0], found[0][1] - found[1][1]
        return {
            "cosine": Figure(float(lost.mean()), mean_interval(lost)),
            "cosine_p01": Figure(worst),
            **_search(again),
        }

    def alike(self, answers: Answers, baseline: Answers) -> NDArray[np.bool_]:
        """At a cosine of at least 0.99."""
        return np.asarray(cosines(answers["values"], baseline["values"]) >= _ALIKE)


def _search(found: tuple[NDArray[np.float64], NDArray[np.float64]] | None) -> dict[str, Figure]:
    """Figures of recall and rank correlation from those of each query; None: none."""
    if found is None:
        return {"recall_at_10": Figure(None), "rank_correlation": Figure(None)}
    recall, correlation = found
    return {
        "recall_at_10": Figure(float(recall.mean()), mean_interval(recall)),
        "rank_correlation": Figure(float(correlation.mean()), mean_interval(correlation)),
    }
