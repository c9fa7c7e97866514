"""The only loop: look a step up or apply it, verify what it promised, measure, record."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepipe.base import disk
from edgepipe.base.files import near
from edgepipe.base.stopping import code_of, last_words, words_of
from edgepipe.contract.artifact import Artifact
from edgepipe.engine.hooks import SILENT, Bundle, Hook, Watcher
from edgepipe.engine.notes import Notes
from edgepipe.engine.record import Account, withdraw
from edgepipe.engine.step import Steps, copy_artifact
from edgepipe.engine.task import opened
from edgepipe.errors import EdgepipeError, PassError
from edgepipe.recipe.plan import LOAD, Plan, PlannedStep
from edgepipe.recipe.schema import Recipe
from edgepipe.records.metrics import Failure, Metrics, Proof, StepRecord
from edgepipe.records.run_folder import METRICS
from edgepipe.store.store import Store

log = logging.getLogger("edgepipe")


@dataclass(frozen=True)
class Outcome:
    """A finished run.

    `exit_code`: 0 good, 1 a pass or the goal failed, 2 unusable input, 128 + its number when a signal ended it.
    """

    metrics: Metrics
    exit_code: int


def run(
    recipe: Recipe,
    plan: Plan,
    folder: Path,
    *,
    overrides: list[str] | None = None,
    watcher: Watcher = SILENT,
    hooks: Sequence[Hook] = (Bundle(),),
) -> Outcome:
    """Run a plan into `folder`; its metrics are also written to `folder/metrics.json`.

    A pass that fails does not raise: the metrics say `failed`, which step and why, and the steps
    before it stay usable.

    Raises:
        OSError, KeyboardInterrupt: a hook could not end its work on the record; the metrics then say `failed`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in (folder / METRICS, folder / "final"):  # of an earlier run: until this one ends, there is none
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    account = Account(recipe, plan, folder, overrides or [])
    failure: Failure | None = None
    error_code = 1
    with ExitStack() as held:
        held.enter_context(
            last_words(
                lambda words: account.write(Failure(step=account.label, error="KeyboardInterrupt", message=words))
            )
        )
        try:
            try:
                _all_steps(account, watcher, hooks, held)
            except EdgepipeError as error:
                failure = Failure(step=account.label, error=type(error).__name__, message=str(error))
                error_code = error.exit_code
                log.info("failed", exc_info=True)
            except OSError as error:
                places = {"hydra.run.dir": folder, "store.root": Path(recipe.store.root)}
                message = disk.which(error, places) if disk.full(error) else f"{error}. Finished steps are kept"
                failure = Failure(step=account.label, error=type(error).__name__, message=message)
                log.info("failed", exc_info=True)
            except (Exception, SystemExit) as error:  # a defect: its traceback goes to the log, the record is written
                failure = Failure(
                    step=account.label,
                    error=type(error).__name__,
                    message=f"{type(error).__name__}: {error}. The traceback is in {near(folder / 'edgepipe.log')}",
                )
                log.error("failed", exc_info=True)
            metrics = account.write(failure)
        except KeyboardInterrupt as stopped:  # in a step, behind the last one, or while the record was written
            failure = Failure(step=account.label, error="KeyboardInterrupt", message=words_of(stopped))
            error_code = code_of(stopped)
            metrics = account.write(failure)
    try:
        for hook in hooks:
            hook.recorded(metrics, folder)
    except (OSError, KeyboardInterrupt) as error:
        withdraw(metrics, folder, error)
        raise
    for hook in hooks:
        hook.ended(metrics, folder)
    return Outcome(metrics, 0 if metrics.status == "ok" else error_code)


def _all_steps(account: Account, watcher: Watcher, hooks: Sequence[Hook], held: ExitStack) -> None:
    """Every step of the plan, the deployment and the verification; `held` keeps the store in use until it closes."""
    recipe, plan = account.recipe, account.plan
    store = Store(Path(recipe.store.root), watcher.notice)
    held.enter_context(store.in_use())
    data, judged = opened(recipe, store)
    steps = account.steps = Steps(recipe, plan, account.folder, store, data, judged, watcher)
    notes = Notes(steps, plan)
    current: Artifact | None = None
    for number, step in enumerate(plan.steps):
        account.label = step.label
        watcher.begin(step.label, number + 1, len(plan.steps))
        current = _one_step(account, steps, notes, number, current)
    account.label = None
    if current is None:
        return
    account.final = current
    _deploy(account, steps, current, hooks)
    if recipe.verify:
        watcher.begin("verify", len(plan.steps), len(plan.steps))
        account.proofs = _verify(steps, current)


def _one_step(account: Account, steps: Steps, notes: Notes, number: int, current: Artifact | None) -> Artifact:
    """Find or compute a step, measure it, and put both on record."""
    clock = time.perf_counter()
    step = account.plan.steps[number]
    if step.settings is None:
        found = steps.settle()
        account.model_digest = found.content.artifact.digest
    elif current is None:
        raise PassError(f"{step.label}: there is no model to work on")
    else:
        found = steps.apply(step.label, step.name, step.settings, current)
    entry, cached = found.content, found.because is None
    record: dict[str, Any] = {
        "label": step.label,
        "pass": step.name if step.settings else LOAD,
        "inserted": step.inserted,
        "settings": _settings(step, account.recipe),
        "seconds": entry.seconds,
        "cached": cached,
        "facts": entry.facts,
        "key": found.key,
        "computed_because": found.because or [],
        "artifact": steps.show(number, step.label, entry.artifact),
    }
    account.records.append(StepRecord.model_validate(record))  # known even if measuring fails
    onnx = steps.lowered(entry.artifact)
    path = getattr(account.recipe.model.settings, "path", None) if step.settings is None else None
    measured = steps.measured(onnx, f"model.path: {path}" if path else f"the model of step '{step.label}'")
    result = measured.content
    compared = steps.baseline is not None or step.label == account.plan.baseline
    if step.label == account.plan.baseline:
        steps.baseline, steps.baseline_onnx, steps.baseline_artifact = result, onnx, entry.artifact
    account.records[-1] = account.records[-1].model_copy(
        update={
            "measurements": result.measurements,
            "measurement_cached": measured.because is None,
            "measured_because": measured.because or [],
            # What comes before the baseline (an untrained network) is compared with nothing.
            "versus_baseline": result.versus if compared else None,
            "audit": result.audit,
            "wrong": result.wrong,
            "findings": notes.of(step, entry.facts, result, compared, account.records[:-1]),
        }
    )
    seconds, all_seconds = entry.seconds, time.perf_counter() - clock
    log.info("%s: %.1f s%s, then %.1f s in all", step.label, seconds, " (cached)" if cached else "", all_seconds)
    steps.watcher.done(account.records[-1])
    return entry.artifact


def _settings(step: PlannedStep, recipe: Recipe) -> dict[str, Any]:
    """A step's settings as JSON values; of the loading, the source's."""
    if step.settings is not None:
        return step.settings.settings()
    return {"source": step.name, **recipe.model.settings.model_dump(mode="json", exclude={"trust_code"})}


def _deploy(account: Account, steps: Steps, artifact: Artifact, hooks: Sequence[Hook]) -> None:
    final = account.folder / "final"
    try:
        with disk.kept_in("hydra.run.dir", account.folder):
            copy_artifact(artifact, final)
            for hook in hooks:
                hook.deployed(account.recipe, artifact, steps.data, final)
    except BaseException:
        shutil.rmtree(final, ignore_errors=True)  # no half a bundle
        raise


def _verify(steps: Steps, artifact: Artifact) -> list[Proof]:
    from edgepipe.verify.prove import examples_of, prove

    recipe = steps.recipe
    return prove(
        artifact.onnx,
        examples_of(steps.data, recipe.verify_examples, steps.judged.task),
        recipe.verify,
        steps.store,
        agreement=recipe.verify_agreement,
        require=recipe.require_verify,
        progress=steps.watcher.progress,
    )
