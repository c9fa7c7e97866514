"""metrics.json: what a run has to tell, however and whenever it ends."""

from __future__ import annotations

import datetime
import hashlib
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgepipe.base import disk
from edgepipe.base.files import is_folder, writable, write_text
from edgepipe.base.stopping import words_of
from edgepipe.base.text import without_passwords
from edgepipe.contract import Split
from edgepipe.contract.artifact import Artifact, canonical_json
from edgepipe.engine.judge import judged, status_of
from edgepipe.engine.step import Steps
from edgepipe.recipe.plan import LOAD, Plan, PlannedStep
from edgepipe.recipe.schema import Recipe
from edgepipe.records.metrics import Failure, Inputs, Metrics, Proof, StepRecord
from edgepipe.records.quality import TaskRecord
from edgepipe.records.run_folder import METRICS


@dataclass
class Account:
    """What is known of a run so far.

    Attributes:
        steps: None until the store and the data are open.
        label: the step at work; None: none is.
        model_digest: SHA-256 of the loaded model's artifact.
        final: the artifact that is deployed, from its deployment on.
    """

    recipe: Recipe
    plan: Plan
    folder: Path
    overrides: list[str]
    steps: Steps | None = None
    label: str | None = None
    model_digest: str | None = None
    records: list[StepRecord] = field(default_factory=list)
    final: Artifact | None = None
    proofs: list[Proof] = field(default_factory=list)
    started: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.timezone.utc))
    clock: float = field(default_factory=time.perf_counter)

    def write(self, failure: Failure | None) -> Metrics:
        """Write metrics.json; None: every step went well. A run that failed deploys nothing."""
        if failure is not None:
            shutil.rmtree(self.folder / "final", ignore_errors=True)
            failure = failure.model_copy(update={"message": without_passwords(failure.message)})
        found = writable(self.metrics(failure))
        write_text(self.folder / METRICS, found.model_dump_json(indent=1, by_alias=True))
        return found

    def metrics(self, failure: Failure | None) -> Metrics:
        """The whole record, the goal judged."""
        from edgepipe.targets.estimate import estimates
        from edgepipe.targets.host import environment

        recipe, steps = self.recipe, self.steps
        done = [record for record in self.records if record.measurements]
        final = done[-1] if done and failure is None else None
        base = next((record for record in done if record.label == self.plan.baseline), None)
        measured = final.measurements if final else None
        estimated = estimates(recipe.target, measured, self.proofs) if measured is not None else []
        versus = final.versus_baseline if final else None
        task = self._task()
        goal = judged(recipe.goals, task, measured, versus, estimated) if failure is None else []
        files = self.final.manifest.files if self.final is not None and failure is None else {}
        threads = steps.measure_settings().threads if steps else recipe.target.threads
        return Metrics(
            recipe=recipe.name,
            status="failed" if failure else status_of(goal, self.proofs),
            failure=failure,
            started=self.started.isoformat(timespec="seconds"),
            seconds=round(time.perf_counter() - self.clock, 3),
            baseline_step=self.plan.baseline,
            baseline=base.measurements if base else None,
            final=measured,
            versus_baseline=versus,
            task=task,
            goal=goal,
            target=recipe.target.name,
            estimates=estimated,
            proofs=self.proofs,
            passes=self._every_step(failure),
            inputs=Inputs(
                recipe=hashlib.sha256(canonical_json(describe(recipe)).encode()).hexdigest(),
                model=self.model_digest,
                data={str(split): steps.data.digest(split) for split in Split if steps.data.count(split)}
                if steps
                else {},
            ),
            environment=environment(threads, recipe.model.settings.libraries),
            overrides=self.overrides,
            tolerances=recipe.tolerances,
            files={name: entry.sha256 for name, entry in files.items()},
        )

    def _task(self) -> TaskRecord | None:
        """What the outputs mean, as far as the run came to know it."""
        if self.steps is None:
            return None
        return TaskRecord.of(self.steps.judged.name, self.steps.judged.task)

    def _every_step(self, failure: Failure | None) -> list[StepRecord]:
        """The records of the steps that ran, the failed one named, and of those that did not."""
        failed = self.label if failure else None
        ran = [
            record.model_copy(update={"status": "failed"}) if record.label == failed else record
            for record in self.records
        ]
        seen = {record.label for record in ran}
        return [*ran, *(_not_run(step, failed) for step in self.plan.steps if step.label not in seen)]


def _not_run(step: PlannedStep, failed: str | None) -> StepRecord:
    return StepRecord.model_validate(
        {
            "label": step.label,
            "pass": step.name if step.settings else LOAD,
            "inserted": step.inserted,
            "status": "failed" if step.label == failed else "not_run",
            "settings": step.settings.settings() if step.settings else {},
        }
    )


def withdraw(metrics: Metrics, folder: Path, error: OSError | KeyboardInterrupt) -> None:
    """A run whose report or bundle could not be written has failed, and says so; the room for saying it is made."""
    said = no_place(error, folder) if isinstance(error, OSError) else words_of(error)
    name = type(error).__name__ if isinstance(error, OSError) else "KeyboardInterrupt"
    failed = {"status": "failed", "failure": Failure(step=None, error=name, message=said), "files": {}}
    for left in ("final", "report.html", METRICS):
        place = folder / left
        if is_folder(place):
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink(missing_ok=True)
    try:
        record = writable(metrics.model_copy(update=failed))
        write_text(folder / METRICS, record.model_dump_json(indent=1, by_alias=True))
    except OSError:
        pass  # a run without a record has not ended well either


def no_place(error: OSError, folder: Path) -> str:
    """Why a run's folder took no file, and what to do."""
    if disk.full(error):
        return disk.which(error, {"hydra.run.dir": folder})
    return f"{folder}: {error.strerror or error}. Choose a writable folder with hydra.run.dir=DIR"


def describe(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values, pass names included (`model_dump` alone would lose them)."""
    plain = recipe.model_dump(mode="json", exclude={"passes", "model", "data", "task"})
    plain["task"] = None if recipe.task is None else recipe.task.plain()
    plain["model"] = {"source": recipe.model.source, **recipe.model.settings.model_dump(mode="json")}
    plain["data"] = {"source": recipe.data.source, **recipe.data.settings.model_dump(mode="json")}
    plain["passes"] = {label: {"pass": step.name, **step.settings.settings()} for label, step in recipe.passes.items()}
    return plain
