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
    """Of one run. `told`: the last step of whose quality something was said."""

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
            self.steps.judged.task,
            previous=known.measurements if known else None,
            previous_versus=known.versus_baseline if known else None,
            previous_audit=known.audit if known else None,
            told=self.told,
            forced=any(getattr(each.settings, "keep_float", None) == "never" for each in reached),
        )
        self.told = None if versus is None else told_of(versus, self.told, self.steps.judged.task)
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
        from edgepipe.measure.answers import hangs_on_neighbours, targets_of

        data, judged, notes = self.steps.data, self.steps.judged, []
        mixing = hangs_on_neighbours(result.answered)
        if mixing is not None and not any(mixing in record.findings for record in records):
            notes.append(mixing)
        if step.settings is None:
            notes += [judged.why] if judged.why else []
            notes += getattr(data, "notes", ())  # what the data left out
        if compared:  # before the baseline a network may be untrained
            before = self.steps.baseline.answered.answers if versus is not None and self.steps.baseline else None
            answers = result.answered.answers
            targets = targets_of(judged.task, data, answers if before is None else before)
            notes += judged.task.notes(answers, before, targets, data.signature)
        return notes
