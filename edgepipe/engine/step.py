"""One step: its key, the store, the pass behind it, what it promised, and its measurement."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepipe.base import disk
from edgepipe.contract import Dataset, Job, Pass, Split
from edgepipe.contract.artifact import Artifact, Kind
from edgepipe.data.task import with_task
from edgepipe.engine.checks import Promise, keeps_its_promises
from edgepipe.engine.hooks import SILENT, Watcher
from edgepipe.engine.task import Judged, asks_the_model, by_model, by_outputs, outputs_of
from edgepipe.errors import DataError, PassError, RecipeError
from edgepipe.recipe.goals import misfits
from edgepipe.recipe.plan import LOAD, LOWER, Plan, one_class_only, unusable
from edgepipe.recipe.schema import Recipe
from edgepipe.records.metrics import ArtifactRef
from edgepipe.store import memo
from edgepipe.store.digests import code_digest, library_versions, module_digest, package_digest
from edgepipe.store.memo import Found
from edgepipe.store.store import Entry, Store
from edgepipe.training.settings import TrainingSettings

if TYPE_CHECKING:
    from edgepipe.measure.measure import Measured
    from edgepipe.measure.settings import MeasureSettings


def local(settings: Pass) -> dict[str, Any]:
    """What of this machine a pass's result depends on: of a shared store, each machine takes what fits it."""
    from edgepipe.targets.host import fingerprint

    found: dict[str, Any] = {"machine": fingerprint()} if settings.timed else {}
    for part in (settings, *vars(settings).values()):  # a pass may hold training of its own, as `recover` is
        if isinstance(part, TrainingSettings):
            found |= part.local()
    return found


def _libraries(plug_ins: Iterable[Any]) -> list[str]:
    return [name for each in plug_ins for name in getattr(each, "libraries", ())]


@dataclass
class Steps:
    """The steps of one run, each found in the store or computed into it.

    Attributes:
        judged: the task that says what the model's outputs mean; `settle` decides it where the recipe does not.
        baseline: measurement of the step that compression starts from; None before it. `baseline_onnx` is what was
            measured, `baseline_artifact` what later passes may learn from.
    """

    recipe: Recipe
    plan: Plan
    folder: Path
    store: Store
    data: Dataset
    judged: Judged
    watcher: Watcher = SILENT
    baseline: Measured | None = None
    baseline_onnx: Artifact | None = None
    baseline_artifact: Artifact | None = None
    _computed: dict[str, list[str] | None] = field(default_factory=dict)  # key of what this run computed: why

    def _refuse_what_exists_nowhere(self) -> None:
        """Before hours of the steps that come first; a run that only reads the store never asks."""
        if self._computed:
            return
        wrong = unusable(self.recipe)
        if wrong:
            raise RecipeError("\n".join(wrong))
        for label, step in self.recipe.passes.items():
            self._refuse_lacking_data(label, step.name, step.settings)

    def _refuse_lacking_data(self, label: str, name: str, settings: Pass) -> None:
        for split in settings.splits():
            if self.data.count(split) == 0:
                raise DataError(
                    f"passes.{label}: {name} needs {split} examples, and the recipe's data has none. "
                    f"Set data.{split} or data.{split}_size, or remove the step"
                )
        if not settings.learns():
            return
        if next(self.data.batches(Split.TRAIN, 1, [0])).labels is None:
            raise DataError(
                f"passes.{label}: {name} trains, and the train split has no labels: training needs them. Give the "
                "file or folder of data.train labels, or remove the step"
            )
        if not self.judged.task.trains:
            raise DataError(
                f"passes.{label}: {name} trains, and the task '{self.judged.name}' does not: remove the step"
            )
        if settings.one_class_only() and not self.judged.task.one_class:
            raise DataError(f"passes.{label}: {one_class_only(name, self.judged.name)}")

    def _through_the_store(
        self,
        parts: dict[str, Any],
        what: str,
        who: str,
        work: Callable[[Job], Artifact],
        promised: Promise,
        inputs: tuple[Artifact, ...] = (),
    ) -> Found[Entry]:
        """The stored entry of a key, or the one that `work` makes, when it has kept its promises."""

        def compute(space: Path, state: Path) -> memo.Made:
            out = space / "artifact"
            job = Job(
                out=out,
                state=state,
                data=self.data,
                seed=self.recipe.seed,
                label=what,
                progress=self.watcher.progress,
                teacher=self.baseline_artifact,
                alone=self.store.machine,
                task=self.judged.task,
            )
            started = time.perf_counter()
            made = work(job)
            seconds = time.perf_counter() - started
            return memo.Made(keeps_its_promises(who, made, out, promised, inputs, job.facts), seconds, job.facts)

        found = memo.step(self.store, parts, what, compute, self._refuse_what_exists_nowhere)
        if found.because is None:  # a lowering is looked up again by whoever needs it
            return Found(found.content, found.key, self._computed.get(found.key))
        self._computed[found.key] = found.because
        return found

    def apply(self, label: str, name: str, settings: Pass, model: Artifact) -> Found[Entry]:
        """Apply a pass to an artifact, through the store."""
        teacher = self.baseline_artifact if settings.needs_teacher else None
        if settings.needs_teacher and teacher is None:
            raise PassError(f"{label}: needs the baseline, but '{self.plan.baseline}' comes later in the recipe")
        self._refuse_lacking_data(label, name, settings)
        # What builds a torch network stands in its source; an ONNX file holds all that it is.
        builders = (self.recipe.model.settings,) if model.kind is Kind.TORCH else ()
        parts: dict[str, Any] = {
            "pass": name,
            "input": model.digest,
            "settings": settings.settings(),
            "data": {str(split): self.data.digest(split) for split in settings.splits()},
            "task": self.judged.key(),
            "seed": self.recipe.seed,
            "code": [code_digest(type(each)) for each in (settings, *settings.uses(), *builders)],
            "libraries": library_versions((*settings.libraries, *_libraries(settings.uses()), "numpy")),
            **local(settings),
            "teacher": teacher.digest if teacher else None,
        }
        promised = Promise(settings.writes, settings.provides)
        inputs = (model,) if teacher is None or teacher.path == model.path else (model, teacher)
        return self._through_the_store(
            parts,
            label,
            f"{label}: {name}",
            lambda job: settings.apply(model, job),
            promised,
            inputs,
        )

    def load(self) -> Found[Entry]:
        """Bring the recipe's model in, through the store."""
        source, settings = self.recipe.model.source, self.recipe.model.settings
        signature = self.data.signature
        parts = {
            "pass": LOAD,
            "source": source,
            "settings": settings.model_dump(mode="json", exclude={"trust_code", *settings.located}),
            "files": settings.digests(),
            "signature": signature.model_dump(mode="json"),
            "seed": self.recipe.seed,
            "code": code_digest(type(settings)),
            "libraries": library_versions((*settings.libraries, "numpy")),
        }
        if settings.compares:
            parts["data"] = {str(Split.EVALUATION): self.data.digest(Split.EVALUATION)}
        return self._through_the_store(
            parts,
            LOAD,
            f"{LOAD}: model={source}",
            lambda job: settings.load(job.out, signature, self.recipe.seed, job),
            Promise(settings.gives()),
        )

    def settle(self) -> Found[Entry]:
        """Load the model; where the recipe names no task, decide by its outputs, and record that in its signature.

        Raises:
            RecipeError: the recipe has a goal that this task does not have.
        """
        found = self.load()
        if asks_the_model(self.judged):
            self.judged = by_model(self.judged, self.lowered(found.content.artifact).onnx)
        if self.recipe.task is not None:
            return found
        model = self.lowered(found.content.artifact)
        judged = by_outputs(self.judged, self.data, model.signature.outputs or outputs_of(model.onnx, self.data))
        if judged.name != self.judged.name:
            self.judged, self.data = judged, with_task(self.data, judged.name)
            found = self.load()
        if lines := misfits(self.recipe.goals, judged.name, type(judged.task)):
            raise RecipeError("\n".join(lines))
        return found

    def lowered(self, artifact: Artifact) -> Artifact:
        """The artifact itself, or what the recipe's lowering makes of it; each is lowered once."""
        if artifact.kind is Kind.ONNX:
            return artifact
        return self.apply(LOWER, LOWER, self.recipe.lowering, artifact).content.artifact

    def measured(self, artifact: Artifact, shown: str) -> Found[Measured]:
        """An artifact's measurements against the baseline, through the store.

        Args:
            shown: what messages call it: the user knows the file or the step, not the store's path.
        """
        from edgepipe.measure.measure import measure
        from edgepipe.measure.stored import load, save
        from edgepipe.targets.host import fingerprint

        settings, task = self.measure_settings(), self.judged.task
        baseline = self.baseline_onnx
        parts = {
            "artifact": artifact.digest,
            "baseline": baseline.digest if baseline else None,
            "data": self.data.digest(Split.EVALUATION),
            "settings": settings.model_dump(mode="json"),
            "task": self.judged.key(),
            "machine": fingerprint(),
            # What measuring imports from elsewhere counts too; a probe of it is run by its path, so its package does.
            "code": [package_digest("measure", "records", "data"), module_digest("edgepipe.measure.measure")],
            "libraries": library_versions(("onnxruntime", "onnx", "numpy")),
        }
        count = self.data.count(Split.EVALUATION)

        def work(space: Path) -> None:
            result = measure(
                artifact.onnx,
                self.data,
                task,
                baseline=baseline.onnx if baseline else None,
                before=self.baseline,
                settings=settings,
                progress=self.watcher.progress,
                exclusive=self.store.machine,
                shown=shown,
            )
            save(result, space)

        return memo.files(
            self.store,
            parts,
            "measurement",
            lambda folder: load(folder, task, count),
            work,
            lambda key: self.store.why_not_measured(key, parts),
        )

    def measure_settings(self) -> MeasureSettings:
        """The recipe's measurement settings; threads follow the target unless set."""
        settings = self.recipe.measure
        if "threads" in settings.model_fields_set:
            return settings
        return settings.model_copy(update={"threads": self.recipe.target.threads})

    def show(self, number: int, label: str, artifact: Artifact) -> ArtifactRef:
        """Put a copy of the artifact into the run's folder."""
        place = self.folder / "steps" / f"{number:02d}_{label}"
        with disk.kept_in("hydra.run.dir", self.folder):
            copy_artifact(artifact, place)
        return ArtifactRef(
            kind=str(artifact.kind),
            path=place.relative_to(self.folder).as_posix(),
            sha256=artifact.digest,
            size_bytes=artifact.size_bytes,
        )


def copy_artifact(artifact: Artifact, place: Path) -> None:
    """Copy an artifact's folder. Copies, not links: a user may edit what lies in the run's folder."""
    part = place.with_name(f".{place.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        shutil.copytree(artifact.path, part)
        if place.exists():
            shutil.rmtree(place)
        part.replace(place)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)  # no half artifact stays behind
        raise


def incoming(steps: Steps, wanted: set[str]) -> dict[str, Artifact]:
    """The models that come into the wanted steps; earlier steps through the store, nothing measured.

    Args:
        wanted: labels of steps of the plan; nothing behind the last of them is applied.
    """
    plan, watcher = steps.plan, steps.watcher
    found: dict[str, Artifact] = {}
    current: Artifact | None = None
    for number, step in enumerate(plan.steps):
        if current is not None and step.label in wanted:
            found[step.label] = current
            if len(found) == len(wanted):
                break
        watcher.begin(step.label, number + 1, len(plan.steps))
        if step.settings is None or current is None:
            current = steps.settle().content.artifact
        else:
            current = steps.apply(step.label, step.name, step.settings, current).content.artifact
        if step.label == plan.baseline:
            steps.baseline_artifact = current
    return found
