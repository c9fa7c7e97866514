"""One job of the command line: a composed config in, a finished run folder with its report out."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from edgepipe.base.disk import refuse_unwritable
from edgepipe.base.files import is_file, near
from edgepipe.base.marks import BESIDE, check, claim, ran_here
from edgepipe.base.stopping import Stopped, listening
from edgepipe.base.text import printable, shown, without_passwords
from edgepipe.engine.hooks import Bundle, Hook, Page
from edgepipe.engine.record import describe, no_place
from edgepipe.engine.run import run
from edgepipe.errors import EdgepipeError, RecipeError
from edgepipe.recipe.compose import to_recipe, to_yaml
from edgepipe.recipe.hydra_app import current_job, current_sweep, keep_config
from edgepipe.recipe.launch import launch
from edgepipe.recipe.plan import Plan
from edgepipe.recipe.schema import Recipe, Tracking, with_pixels
from edgepipe.records.metrics import Metrics, read_metrics
from edgepipe.records.run_folder import clear
from edgepipe.report.terminal import LiveWatcher, error_console, output_console, print_error
from edgepipe.store.locks import held

if TYPE_CHECKING:
    from edgepipe.tracking import Tracked


def job(config: DictConfig, *, trusted: bool = False, made: tuple[Recipe, Plan] | None = None) -> dict[str, Any]:
    """Run one composed recipe in Hydra's output folder. Never raises: a sweep goes on.

    Args:
        trusted: as for `to_recipe`; carried here by the launcher, for a job may be composed in another process.
        made: what `to_recipe` makes of the config, where it has been asked already.
    Returns:
        `exit_code`, `folder` (absolute), `error` (a message, or None), and of a tracked run `tracking` (its settings)
        and `tracked` (its id, or None); plain values, so that any launcher can carry them between processes.
    """
    choices, overrides, folder = current_job()
    folder = folder.absolute()
    found: dict[str, Any] = {"folder": str(folder), "sweep": current_sweep()}
    with listening(worker=True), _logged(folder / "edgepipe.log"):
        return found | _caught(
            lambda: _job(
                config, lambda: made or to_recipe(config, choices, overrides, trusted=trusted), overrides, folder
            ),
            folder,
        )


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Write what is logged meanwhile to a file; the handlers and the level of the process come back as they were."""
    root = logging.getLogger()
    level, raises = root.level, logging.raiseExceptions
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(_OneLine("[%(asctime)s][%(name)s][%(levelname)s] %(message)s"))
    root.addHandler(handler)
    root.setLevel(min(level, logging.INFO))
    logging.raiseExceptions = False  # a full disk is reported once, in words, not by every line of the log
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        with suppress(OSError):  # what a full disk did not take
            handler.close()
        logging.raiseExceptions = raises


class _OneLine(logging.Formatter):
    """A line per record, whatever its words hold; only a traceback has more. No password reaches the file."""

    def format(self, record: logging.LogRecord) -> str:
        plain = logging.makeLogRecord({**record.__dict__, "msg": printable(record.getMessage()), "args": None})
        return shown(super().format(plain))


def _caught(work: Callable[[], dict[str, Any]], folder: Path) -> dict[str, Any]:
    try:
        check(folder, "results", _place_key(), ran_here, BESIDE)  # before anything is put there, a lock included
        refuse_unwritable("hydra.run.dir", folder, "Choose a writable folder with hydra.run.dir=DIR")
        with held(folder / ".lock", "another process is writing this run's folder", _note):
            return work()
    except EdgepipeError as error:
        code, text = error.exit_code, str(error)
    except OSError as error:
        code, text = 1, no_place(error, folder)
    except Exception as error:
        if os.environ.get("EDGEPIPE_DEBUG"):
            raise
        logging.getLogger("edgepipe").exception("internal error")
        code, text = (
            1,
            f"internal error: {type(error).__name__}: {error}. The traceback is in {near(folder / 'edgepipe.log')}",
        )
    print_error(text)
    return {"exit_code": code, "error": without_passwords(text)}


def _place_key() -> str:
    """The setting that named the folder of the job that runs now."""
    return "hydra.run.dir" if current_sweep() is None else "hydra.sweep.dir and hydra.sweep.subdir"


def _note(text: str) -> None:
    error_console().print(f"note: {printable(text)}", markup=False)


def _job(
    config: DictConfig, make: Callable[[], tuple[Recipe, Plan]], overrides: list[str], folder: Path
) -> dict[str, Any]:
    claim(folder, "results", _place_key(), ran_here, BESIDE)
    clear(folder)
    keep_config(config, folder)
    recipe, plan = make()
    recipe = with_pixels(recipe)
    tracked = None if recipe.tracking is None else _tracked(recipe.tracking)
    (folder / "recipe.yaml").write_text(to_yaml({**describe(recipe), "tracking": None}), encoding="utf-8")
    (folder / "overrides.yaml").write_text(to_yaml({"overrides": overrides}), encoding="utf-8")
    hooks: list[Hook] = [Bundle(), Page(), *filter(None, [tracked])]
    with LiveWatcher() as watcher:
        outcome = run(recipe, plan, folder, overrides=overrides, watcher=watcher, hooks=hooks)
    _show(outcome.metrics, folder)
    if outcome.exit_code > 128 and current_sweep() is not None:
        raise Stopped(outcome.exit_code - 128)  # whoever stops a sweep means all of it
    failure = outcome.metrics.failure
    found: dict[str, Any] = {"exit_code": outcome.exit_code, "error": failure.message if failure else None}
    if tracked is not None:
        found |= {"tracking": tracked.settings.model_dump(mode="json"), "tracked": tracked.run_id}
        _tell(tracked)
    return found


def _tracked(tracking: Tracking) -> Tracked:
    """The hook that logs the run; says before hours of work what would go wrong after them."""
    from edgepipe.tracking import Tracked, require_mlflow, unanswered

    require_mlflow()
    warning = unanswered(tracking)
    if warning is not None:
        _note(warning)
    return Tracked(tracking, current_sweep())


def _tell(tracked: Tracked) -> None:
    from edgepipe.tracking import place

    if tracked.run_id is not None:
        text = f"tracked: run {tracked.run_id} in {shown(place(tracked.settings))}"
        output_console().print(text, markup=False, soft_wrap=True)
    elif tracked.problem is not None:
        _note(tracked.problem)


def _attempt(what: Callable[[], str]) -> str | None:
    """Track, or say why not: what fails here must not fail a run that is finished."""
    try:
        return what()
    except EdgepipeError as error:
        _note(str(error))
        return None


def _show(metrics: Metrics, folder: Path) -> None:
    from edgepipe.report.table import rich_table

    console = output_console()
    console.print()
    console.print(rich_table(metrics, console.width), soft_wrap=True)
    if metrics.failure is not None:
        where = f"passes.{metrics.failure.step}" if metrics.failure.step else ""
        text = metrics.failure.message
        print_error(text if text.startswith((f"{where}:", f"{where}.")) or not where else f"{where}: {text}")
    console.print(f"report: {near(folder / 'report.html')}", markup=False, soft_wrap=True)


def run_command(argv: list[str]) -> int:
    """`edgepipe recipe=… [overrides] [-m]`: run it, and for a sweep write its summary."""
    argv = ["require_verify=true" if item == "--require-verify" else item for item in argv]
    jobs = launch(argv, job)
    if not jobs:
        return 0
    if len(jobs) > 1 or _is_sweep(argv):
        _summarise(jobs)
    codes = [int(result["exit_code"]) for _, result in jobs]
    if len(set(codes)) == 1:
        return codes[0]
    return 1 if any(codes) else 0


def _is_sweep(argv: list[str]) -> bool:
    return any(flag in argv for flag in ("-m", "--multirun"))


def _summarise(jobs: list[tuple[list[str], dict[str, Any]]]) -> None:
    from edgepipe.report.sweep import rich_sweep, write_sweep

    runs: list[tuple[list[str], Metrics | None, Path]] = []
    for overrides, result in jobs:
        path = Path(result["folder"]) / "metrics.json"
        metrics = read_metrics(path) if is_file(path) else None
        runs.append((overrides, metrics, Path(result["folder"])))
    folders = [path for _, _, path in runs]
    shared = next((path for path in folders if folders.count(path) > 1), None)
    if shared is not None:
        raise RecipeError(
            f"hydra.sweep.subdir: {folders.count(shared)} jobs wrote into {near(shared)}/, each over the one before: "
            "name what tells them apart in it, as in ${hydra.job.num}"
        )
    sweep = jobs[0][1].get("sweep")
    folder = Path(sweep) if sweep else Path(os.path.commonpath([str(path) for path in folders]))
    if not sweep and len(runs) == 1:
        folder = folder.parent
    errors = {str(result["folder"]): str(result["error"]) for _, result in jobs if result["error"]}
    write_sweep(runs, folder, errors)
    console = output_console()
    console.print()
    console.print(rich_sweep(runs), soft_wrap=True)
    console.print(f"sweep: {near(folder / 'sweep.html')}", markup=False, soft_wrap=True)
    tracked = [result for _, result in jobs if result.get("tracked")]
    if tracked:
        from edgepipe.tracking import track_sweep

        settings = Tracking.model_validate(tracked[0]["tracking"])
        _attempt(lambda: track_sweep(folder, settings, [str(result["tracked"]) for result in tracked]))
    failed = [(overrides, result) for overrides, result in jobs if result["exit_code"]]
    if failed:
        error_console().print(f"{len(failed)} of {len(jobs)} jobs did not end well", style="red")
