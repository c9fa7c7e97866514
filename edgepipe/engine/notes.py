"""What is worth a sentence about a step: what the pass says, what its measurement shows, what the data left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgepipe.engine.step import Steps
from edgepipe.recipe.plan import Plan, PlannedStep
from edgepipe.records.metrics import StepRecord, Versus

if TYPE_CHECKING:
    from edgepipe.measure.measure import Measured


@dataclass
class Notes:
    """Of one run. `told`: the last step of whose accuracy something was said."""

    steps: Steps
    plan: Plan
    told: Versus | None = None

    def of(
        self, step: PlannedStep, facts: dict[str, Any], result: Measured, compared: bool, records: Sequence[StepRecord]
    ) -> list[str]:
        """The findings of a step.

        Args:
            facts: what the pass found out.
            compared: whether the step stands behind the baseline, or is it.
            records: those of the steps before.
        """
        from edgepipe.measure.findings import findings, told_of

        versus = result.versus if compared and step.label != self.plan.baseline else None
        before = next((record for record in reversed(records) if record.measurements), None)
        # Only steps from the baseline on are compared; the one before the baseline says nothing about it.
        known = before if before is not None and before.versus_baseline is not None else None
        reached = self.plan.steps[: self.plan.steps.index(step) + 1]
        texts = findings(
            result.measurements,
            versus,
            result.audit,
            previous=known.measurements if known else None,
            previous_versus=known.versus_baseline if known else None,
            previous_audit=known.audit if known else None,
            told=self.told,
            forced=any(getattr(each.settings, "keep_float", None) == "never" for each in reached),
        )
        self.told = None if versus is None else told_of(versus, self.told)
        said = facts.get("notes")  # the facts of a pass that it wants read by people
        notes = [str(note) for note in said] if isinstance(said, list) else []
        return [*notes, *self._of_answers(step, result, compared, versus, records), *texts]

    def _of_answers(
        self,
        step: PlannedStep,
        result: Measured,
        compared: bool,
        versus: Versus | None,
        records: Sequence[StepRecord],
    ) -> list[str]:
        from edgepipe.measure.accuracy import Predictions, hangs_on_neighbours, one_class, unknown_classes

        data, notes = self.steps.data, []
        mixing = hangs_on_neighbours(result.predictions)
        if mixing is not None and not any(mixing in record.findings for record in records):
            notes.append(mixing)
        loaded = step.settings is None
        if loaded and isinstance(result.predictions, Predictions):
            notes += filter(None, [unknown_classes(result.predictions, data.signature.classes)])
        if loaded:
            notes += getattr(data, "notes", ())  # what the data left out
        if isinstance(result.predictions, Predictions) and compared:  # before the baseline a network may be untrained
            baseline = self.steps.baseline.predictions if versus is not None and self.steps.baseline else None
            known = baseline if isinstance(baseline, Predictions) else None
            notes += filter(None, [one_class(result.predictions, known, data.signature.classes)])
        return notes
