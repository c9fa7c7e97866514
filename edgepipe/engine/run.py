"""The only loop: look a step up or apply it, verify what it promised, measure, record."""

from __future__ import annotations

import datetime
import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from edgepipe.base import disk
from edgepipe.base.files import near, writable, write_text
from edgepipe.base.stopping import code_of, last_words, words_of
from edgepipe.base.text import without_passwords
from edgepipe.contract import Dataset, Job, Pass, Split
from edgepipe.contract.artifact import Artifact, Kind, canonical_json
from edgepipe.data.task import with_task
from edgepipe.errors import DataError, EdgepipeError, PassError, RecipeError
from edgepipe.plugins import code_digest, library_versions, module_digest, package_digest
from edgepipe.recipe.plan import LOAD, LOWER, Plan, PlannedStep, unusable
from edgepipe.recipe.schema import Recipe
from edgepipe.records.metrics import (
    ArtifactRef,
    Estimate,
    Failure,
    GoalResult,
    Inputs,
    Measurements,
    Metrics,
    Proof,
    StepRecord,
    Versus,
)
from edgepipe.records.run_folder import METRICS
from edgepipe.store.keys import key_of
from edgepipe.store.store import Entry, Store
from edgepipe.training.settings import TrainingSettings

log = logging.getLogger("edgepipe")

Status = Literal["ok", "failed", "missed_goal", "not_verified"]


def _local(settings: Pass) -> dict[str, Any]:
    """What of this machine a pass's result depends on: of a shared store, each machine takes what fits it."""
    from edgepipe.targets.host import fingerprint

    found: dict[str, Any] = {"machine": fingerprint()} if settings.timed else {}
    for part in (settings, *vars(settings).values()):  # a pass may hold training of its own, as `recover` is
        if isinstance(part, TrainingSettings):
            found |= part.local()
    return found


class Watcher(Protocol):
    """Whoever shows the run's progress to a person."""

    def begin(self, label: str, number: int, total: int) -> None:
        """A step starts."""

    def progress(self, share: float, text: str) -> None:
        """The current step has done `share` of its work, in [0, 1]."""

    def notice(self, text: str) -> None:
        """Something worth a line."""

    def done(self, record: StepRecord) -> None:
        """A step is finished and measured."""


class _Silent:
    def begin(self, label: str, number: int, total: int) -> None: ...
    def progress(self, share: float, text: str) -> None: ...
    def notice(self, text: str) -> None: ...
    def done(self, record: StepRecord) -> None: ...


SILENT: Watcher = _Silent()


@dataclass(frozen=True)
class Found:
    """A step's stored result. `because`: why it had to be computed now; None when it was stored already."""

    entry: Entry
    key: str
    because: list[str] | None = None


@dataclass
class _Run:
    recipe: Recipe
    plan: Plan
    folder: Path
    store: Store
    data: Dataset
    watcher: Watcher
    records: list[StepRecord] = field(default_factory=list)
    baseline: Any = None
    baseline_onnx: Artifact | None = None
    baseline_artifact: Artifact | None = None
    final: Artifact | None = None
    model_digest: str | None = None
    told: Versus | None = None  # the last step of whose accuracy something was said
    computed: dict[str, list[str]] = field(default_factory=dict)  # key of what this run computed: why
    proofs: list[Proof] = field(default_factory=list)

    def _refuse_what_exists_nowhere(self) -> None:
        """Before hours of the steps that come first; a run that only reads the store never asks."""
        if self.computed:
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
        if self.data.labels(Split.TRAIN) is None:
            raise DataError(
                f"passes.{label}: {name} trains, and the train split has no labels: training needs them. Give the "
                "file or folder of data.train labels, or remove the step"
            )
        if self.data.signature.task != "classification":
            raise DataError(
                f"passes.{label}: {name}: training knows classification only, and this recipe's task is "
                f"{self.data.signature.task}. Remove the step"
            )

    def _lookup_or(self, parts: dict[str, Any], what: str, work: Callable[[Job], Artifact], writes: Kind) -> Found:
        """The stored entry of a key, or the one that `work` makes."""
        key = key_of(parts)
        entry = self.store.find(key)
        if entry is not None:
            return Found(entry, key, self.computed.get(key))  # a lowering is looked up again by whoever needs it
        self._refuse_what_exists_nowhere()
        because = self.store.why_missing(key, parts)
        with self.store.lock(key, what):
            entry = self.store.find(key)  # another process may have finished it while we waited
            if entry is not None:
                return Found(entry, key)
            with self.store.workspace() as space, self.store.state(key) as state:
                out = space / "artifact"
                out.mkdir()
                job = Job(
                    out=out,
                    state=state,
                    data=self.data,
                    seed=self.recipe.seed,
                    label=what,
                    progress=self.watcher.progress,
                    teacher=self.baseline_artifact,
                    alone=self.store.machine,
                )
                started = time.perf_counter()
                made = work(job)
                seconds = time.perf_counter() - started
                if made.kind is not writes or made.path != out:
                    raise PassError(
                        f"{what}: broke its contract: it promised {writes} in {out.name}/ and returned "
                        f"{made.kind} in {made.path}. This is a defect of the pass, not of your recipe"
                    )
                record = {"label": what, "seconds": seconds, "facts": job.facts, "key": parts}
                self.computed[key] = because
                return Found(self.store.commit_step(key, space, made, record), key, because)

    def apply(self, label: str, name: str, settings: Pass, model: Artifact) -> Found:
        """Apply a pass to an artifact, through the store."""
        if settings.needs_teacher and self.baseline_artifact is None:
            raise PassError(f"{label}: needs the baseline, but '{self.plan.baseline}' comes later in the recipe")
        self._refuse_lacking_data(label, name, settings)
        parts: dict[str, Any] = {
            "pass": name,
            "input": model.digest,
            "settings": settings.settings(),
            "data": {str(split): self.data.digest(split) for split in settings.splits()},
            "seed": self.recipe.seed,
            "code": code_digest(type(settings)),
            "libraries": library_versions((*settings.libraries, "numpy")),
            **_local(settings),
            "teacher": self.baseline_artifact.digest if settings.needs_teacher and self.baseline_artifact else None,
        }
        return self._lookup_or(parts, label, lambda job: settings.apply(model, job), settings.writes)

    def load(self) -> Found:
        """Bring the recipe's model in, through the store."""
        settings = self.recipe.model.settings
        signature = self.data.signature
        parts = {
            "pass": LOAD,
            "source": self.recipe.model.source,
            "settings": settings.model_dump(mode="json", exclude={"trust_code", *settings.located}),
            "files": settings.digests(),
            "signature": signature.model_dump(mode="json"),
            "seed": self.recipe.seed,
            "code": code_digest(type(settings)),
            "libraries": library_versions((*settings.libraries, "numpy")),
        }
        if settings.compares:
            parts["data"] = {str(Split.EVALUATION): self.data.digest(Split.EVALUATION)}
        return self._lookup_or(
            parts, LOAD, lambda job: settings.load(job.out, signature, self.recipe.seed, job), settings.kind
        )

    def lowered(self, artifact: Artifact) -> Artifact:
        """The artifact itself, or what the recipe's lowering makes of it; each is lowered once."""
        if artifact.kind is Kind.ONNX:
            return artifact
        return self.apply(LOWER, LOWER, self.recipe.lowering, artifact).entry.artifact

    def measured(self, artifact: Artifact, shown: str) -> tuple[Any, list[str] | None]:
        """An artifact's measurements against the baseline, through the store; why they were taken, None: stored.

        Args:
            shown: what messages call it: the user knows the file or the step, not the store's path.
        """
        from edgepipe.measure.measure import measure
        from edgepipe.measure.stored import load, save
        from edgepipe.targets.host import fingerprint

        settings = self.measure_settings()
        baseline = self.baseline_onnx
        parts = {
            "artifact": artifact.digest,
            "baseline": baseline.digest if baseline else None,
            "data": self.data.digest(Split.EVALUATION),
            "settings": settings.model_dump(mode="json"),
            "machine": fingerprint(),
            # What measuring imports from elsewhere counts too; a probe of it is run by its path, so its package does.
            "code": [package_digest("measure", "records", "data"), module_digest("edgepipe.measure.measure")],
            "libraries": library_versions(("onnxruntime", "onnx", "numpy")),
        }
        key = key_of(parts)
        because: list[str] | None = None
        count = self.data.count(Split.EVALUATION)
        found = self.store.read_measurement(key, lambda folder: load(folder, count))
        if found is None:
            why = self.store.why_not_measured(key, parts)
            with self.store.lock(key, "measurement"):
                found = self.store.read_measurement(
                    key, lambda folder: load(folder, count)
                )  # another process may have taken it while we waited
                if found is None:
                    because = why
                    with self.store.workspace() as space:
                        result = measure(
                            artifact.onnx,
                            self.data,
                            baseline=baseline.onnx if baseline else None,
                            baseline_predictions=self.baseline.predictions if self.baseline else None,
                            settings=settings,
                            progress=self.watcher.progress,
                            exclusive=self.store.machine,
                            shown=shown,
                        )
                        save(result, space)
                        found = load(self.store.commit_measurement(key, space, parts), count)
        return found, because

    def measure_settings(self) -> Any:
        """The recipe's measurement settings; threads follow the target unless set."""
        settings = self.recipe.measure
        if "threads" in settings.model_fields_set:
            return settings
        return settings.model_copy(update={"threads": self.recipe.target.threads})

    def show(self, number: int, label: str, artifact: Artifact) -> ArtifactRef:
        """Put the artifact into the run's folder; hard links where the file system has them."""
        place = self.folder / "steps" / f"{number:02d}_{label}"
        with disk.kept_in("hydra.run.dir", self.folder):
            copy_artifact(artifact, place)
        return ArtifactRef(
            kind=str(artifact.kind),
            path=place.relative_to(self.folder).as_posix(),
            sha256=artifact.digest,
            size_bytes=artifact.size_bytes,
        )


def incoming(
    recipe: Recipe, plan: Plan, store: Store, data: Dataset, wanted: set[str], watcher: Watcher = SILENT
) -> dict[str, Artifact]:
    """The models that come into the wanted steps; earlier steps through the store, nothing measured.

    Args:
        wanted: labels of steps of the plan; nothing behind the last of them is applied.
    """
    state = _Run(recipe, plan, Path(), store, data, watcher)
    found: dict[str, Artifact] = {}
    current: Artifact | None = None
    for number, step in enumerate(plan.steps):
        if current is not None and step.label in wanted:
            found[step.label] = current
            if len(found) == len(wanted):
                break
        watcher.begin(step.label, number + 1, len(plan.steps))
        if step.settings is None or current is None:
            current = state.load().entry.artifact
        else:
            current = state.apply(step.label, step.name, step.settings, current).entry.artifact
        if step.label == plan.baseline:
            state.baseline_artifact = current
    return found


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


@dataclass(frozen=True)
class Outcome:
    """A finished run.

    `exit_code`: 0 good, 1 a pass or the goal failed, 2 unusable input, 128 + its number when a signal ended it.
    """

    metrics: Metrics
    exit_code: int


def run(
    recipe: Recipe, plan: Plan, folder: Path, *, overrides: list[str] | None = None, watcher: Watcher = SILENT
) -> Outcome:
    """Run a plan into `folder`; its metrics are also written to `folder/metrics.json`.

    A pass that fails does not raise: the metrics say `failed`, which step and why, and the steps
    before it stay usable.

    """
    started = datetime.datetime.now(datetime.timezone.utc)
    clock = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    for left in (folder / METRICS, folder / "final"):  # of an earlier run: until this one ends, there is none
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    state: _Run | None = None
    failure: Failure | None = None
    label: str | None = None
    error_code = 1
    records: list[StepRecord] = []
    held = ExitStack()

    def written(why: Failure | None) -> Metrics:
        if why is not None:
            shutil.rmtree(folder / "final", ignore_errors=True)  # what is deployed belongs to a run that ended well
            why = why.model_copy(update={"message": without_passwords(why.message)})
        seconds = time.perf_counter() - clock
        found = writable(_assemble(recipe, plan, state, records, why, label, started, seconds, overrides or []))
        write_text(folder / METRICS, found.model_dump_json(indent=1, by_alias=True))
        return found

    held.enter_context(last_words(lambda words: written(Failure(step=label, error="KeyboardInterrupt", message=words))))
    try:
        try:
            store = Store(Path(recipe.store.root), watcher.notice)
            held.enter_context(store.in_use())
            data = with_task(recipe.data.settings.open(store.cache), recipe.task)
            state = _Run(recipe, plan, folder, store, data, watcher, records)
            current: Artifact | None = None
            for number, step in enumerate(plan.steps):
                label = step.label
                watcher.begin(label, number + 1, len(plan.steps))
                current = _one_step(state, number, step, current)
            label = None
            if current is not None:
                state.final = current
                _deploy(state, current)
                if recipe.verify:
                    watcher.begin("verify", len(plan.steps), len(plan.steps))
                    _verify(state, current)
        except EdgepipeError as error:
            failure = Failure(step=label, error=type(error).__name__, message=str(error))
            error_code = error.exit_code
            log.info("failed", exc_info=True)
        except OSError as error:
            places = {"hydra.run.dir": folder, "store.root": Path(recipe.store.root)}
            message = disk.which(error, places) if disk.full(error) else f"{error}. Finished steps are kept"
            failure = Failure(step=label, error=type(error).__name__, message=message)
            log.info("failed", exc_info=True)
        except (Exception, SystemExit) as error:  # a defect: the traceback goes to the log, the record is still written
            failure = Failure(
                step=label,
                error=type(error).__name__,
                message=f"{type(error).__name__}: {error}. The traceback is in {near(folder / 'edgepipe.log')}",
            )
            log.error("failed", exc_info=True)
        metrics = written(failure)
    except KeyboardInterrupt as stopped:  # in a step, behind the last one, or while the record was written
        failure = Failure(step=label, error="KeyboardInterrupt", message=words_of(stopped))
        error_code = code_of(stopped)
        metrics = written(failure)
    finally:
        held.close()
    return Outcome(metrics, 0 if metrics.status == "ok" else error_code)


def _one_step(state: _Run, number: int, step: PlannedStep, current: Artifact | None) -> Artifact:
    clock = time.perf_counter()
    record: dict[str, Any] = {
        "label": step.label,
        "pass": step.name if step.settings else LOAD,
        "inserted": step.inserted,
    }
    if step.settings is None:
        record["settings"] = {
            "source": step.name,
            **state.recipe.model.settings.model_dump(mode="json", exclude={"trust_code"}),
        }
        found = state.load()
        entry = found.entry
        state.model_digest = entry.artifact.digest
    else:
        if current is None:
            raise PassError(f"{step.label}: there is no model to work on")
        record["settings"] = step.settings.settings()
        found = state.apply(step.label, step.name, step.settings, current)
        entry = found.entry
    cached = found.because is None
    record |= {"seconds": entry.seconds, "cached": cached, "facts": entry.facts}
    record |= {"key": found.key, "computed_because": found.because or []}
    record["artifact"] = state.show(number, step.label, entry.artifact)
    state.records.append(StepRecord.model_validate(record))  # known even if measuring fails
    onnx = state.lowered(entry.artifact)
    path = getattr(state.recipe.model.settings, "path", None) if step.settings is None else None
    shown = f"model.path: {path}" if path else f"the model of step '{step.label}'"
    before = next((r for r in reversed(state.records[:-1]) if r.measurements), None)
    result, measured_because = state.measured(onnx, shown)
    compared = state.baseline is not None or step.label == state.plan.baseline
    if step.label == state.plan.baseline:
        state.baseline, state.baseline_onnx, state.baseline_artifact = result, onnx, entry.artifact
    from edgepipe.measure.accuracy import Predictions, hangs_on_neighbours, one_class, unknown_classes
    from edgepipe.measure.findings import findings, told_of

    # Only steps from the baseline on are compared; the one before the baseline says nothing about it.
    known = before if before is not None and before.versus_baseline is not None else None
    versus = result.versus if compared and step.label != state.plan.baseline else None
    texts = findings(
        result.measurements,
        versus,
        result.audit,
        previous=known.measurements if known else None,
        previous_versus=known.versus_baseline if known else None,
        previous_audit=known.audit if known else None,
        told=state.told,
        forced=any(getattr(each.settings, "keep_float", None) == "never" for each in state.plan.steps[: number + 1]),
    )
    state.told = None if versus is None else told_of(versus, state.told)
    # The facts of a pass that it wants read by people.
    notes = [str(note) for note in entry.facts.get("notes", [])] if isinstance(entry.facts.get("notes"), list) else []
    mixing = hangs_on_neighbours(result.predictions)
    if mixing is not None and not any(mixing in record.findings for record in state.records):
        notes.append(mixing)
    if step.settings is None and isinstance(result.predictions, Predictions):
        notes += filter(None, [unknown_classes(result.predictions, state.data.signature.classes)])
    if step.settings is None:
        notes += getattr(state.data, "notes", ())  # what the data left out
    if isinstance(result.predictions, Predictions) and compared:  # before the baseline a network may be untrained
        before_it = state.baseline.predictions if versus is not None and state.baseline is not None else None
        known_answers = before_it if isinstance(before_it, Predictions) else None
        notes += filter(None, [one_class(result.predictions, known_answers, state.data.signature.classes)])
    state.records[-1] = state.records[-1].model_copy(
        update={
            "measurements": result.measurements,
            "measurement_cached": measured_because is None,
            "measured_because": measured_because or [],
            # What comes before the baseline (an untrained network) is compared with nothing.
            "versus_baseline": result.versus if compared else None,
            "audit": result.audit,
            "wrong": result.wrong,
            "findings": [*notes, *texts],
        }
    )
    log.info(
        "%s: %.1f s%s, then %.1f s in all",
        step.label,
        entry.seconds,
        " (cached)" if cached else "",
        time.perf_counter() - clock,
    )
    state.watcher.done(state.records[-1])
    return entry.artifact


def _deploy(state: _Run, artifact: Artifact) -> None:
    from edgepipe.bundle.build import build

    final = state.folder / "final"
    recipe = state.recipe
    browser = "browser_wasm" in (*recipe.verify, recipe.target.name)
    try:
        libraries = recipe.model.settings.libraries
        with disk.kept_in("hydra.run.dir", state.folder):
            copy_artifact(artifact, final)
            build(final, recipe.name, artifact.signature, state.data, browser=browser, libraries=libraries)
    except BaseException:
        shutil.rmtree(final, ignore_errors=True)  # no half a bundle
        raise


def _verify(state: _Run, artifact: Artifact) -> None:
    from edgepipe.verify.prove import examples_of, prove

    recipe = state.recipe
    state.proofs = prove(
        artifact.onnx,
        examples_of(state.data, recipe.verify_examples),
        recipe.verify,
        state.store,
        agreement=recipe.verify_agreement,
        require=recipe.require_verify,
        progress=state.watcher.progress,
    )


def judged(
    goals: Mapping[str, float],
    measurements: Measurements | None,
    versus: Versus | None,
    estimated: Sequence[Estimate],
) -> list[GoalResult]:
    """A line for each goal, name to what is wanted, from what was measured or estimated of the final artifact."""
    results = []
    by_name = {item.name: item for item in estimated}
    for name, wanted in goals.items():
        at_least = name in ("times_smaller", "times_faster", "agreement", "top1", "r2", "cosine")
        got = getattr(versus, name, None)
        if got is None:
            got = getattr(measurements, name, None)
        method = ""
        if name in by_name:
            got = by_name[name].high
            method = "" if by_name[name].measured else by_name[name].method
        margin = None if got is None else (got - wanted if at_least else wanted - got)
        results.append(
            GoalResult(
                name=name,
                wanted=wanted,
                got=got,
                margin=margin,
                met=margin is not None and margin >= 0,
                method=method,
            )
        )
    return results


def status_of(goal: Sequence[GoalResult], proofs: Sequence[Proof]) -> Status:
    """Of a run whose steps all went well; a wrong answer weighs more than a missed goal."""
    if any(proof.status == "failed" for proof in proofs):
        return "not_verified"
    return "ok" if all(result.met for result in goal) else "missed_goal"


def _assemble(
    recipe: Recipe,
    plan: Plan,
    state: _Run | None,
    records: list[StepRecord],
    failure: Failure | None,
    failed: str | None,
    started: datetime.datetime,
    seconds: float,
    overrides: list[str],
) -> Metrics:
    from edgepipe.targets.estimate import estimates
    from edgepipe.targets.host import environment

    seen = {record.label for record in records}
    if failed is not None and failure is not None:
        records = [r.model_copy(update={"status": "failed"}) if r.label == failed else r for r in records]
    for step in plan.steps:
        if step.label not in seen:
            records = [
                *records,
                StepRecord.model_validate(
                    {
                        "label": step.label,
                        "pass": step.name if step.settings else LOAD,
                        "inserted": step.inserted,
                        "status": "failed" if step.label == failed and failure else "not_run",
                        "settings": step.settings.settings() if step.settings else {},
                    }
                ),
            ]
    done = [record for record in records if record.measurements]
    final = done[-1] if done and failure is None else None
    base = next((record for record in done if record.label == plan.baseline), None)
    proofs = state.proofs if state else []
    measured = final.measurements if final else None
    estimated = estimates(recipe.target, measured, proofs) if measured is not None else []
    versus = final.versus_baseline if final else None
    goal = judged(recipe.goals, measured, versus, estimated) if failure is None else []
    status: Status = "failed" if failure else status_of(goal, proofs)
    data: dict[str, str] = {}
    if state is not None:
        data = {str(split): state.data.digest(split) for split in Split if state.data.count(split)}
    final_files: dict[str, str] = {}
    if state is not None and state.final is not None and failure is None:
        final_files = {name: entry.sha256 for name, entry in state.final.manifest.files.items()}
    threads = state.measure_settings().threads if state else recipe.target.threads
    return Metrics(
        recipe=recipe.name,
        status=status,
        failure=failure,
        started=started.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        baseline_step=plan.baseline,
        baseline=base.measurements if base else None,
        final=final.measurements if final else None,
        versus_baseline=versus,
        goal=goal,
        target=recipe.target.name,
        estimates=estimated,
        proofs=proofs,
        passes=records,
        inputs=Inputs(
            recipe=hashlib.sha256(canonical_json(describe(recipe)).encode()).hexdigest(),
            model=state.model_digest if state else None,
            data=data,
        ),
        environment=environment(threads, recipe.model.settings.libraries),
        overrides=overrides,
        tolerances=recipe.tolerances,
        files=final_files,
    )


def describe(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values, pass names included (`model_dump` alone would lose them)."""
    plain = recipe.model_dump(mode="json", exclude={"passes", "model", "data"})
    plain["model"] = {"source": recipe.model.source, **recipe.model.settings.model_dump(mode="json")}
    plain["data"] = {"source": recipe.data.source, **recipe.data.settings.model_dump(mode="json")}
    plain["passes"] = {label: {"pass": step.name, **step.settings.settings()} for label, step in recipe.passes.items()}
    return plain
