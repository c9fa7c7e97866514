"""What came of a search: its runs on a page, the best recipe as YAML, and what to say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgepipe.base.files import write_text
from edgepipe.errors import EdgepipeError
from edgepipe.records.metrics import read_metrics
from edgepipe.records.pareto import choose
from edgepipe.report.sweep import write_sweep
from edgepipe.report.terminal import error_console, output_console
from edgepipe.search.space import Search
from edgepipe.search.study import ended_trials, point_of

if TYPE_CHECKING:
    from edgepipe.report.sweep import Run


def finish(search: Search, study: Any, points: Any) -> int:
    """Write the pages and the best recipe, and say what they are; the exit code: 0 where it meets the goal, else 1.

    Args:
        points: the study of the cheap trials, or None.
    Raises:
        EdgepipeError: no trial came to an end in full.
    """
    from optuna.trial import TrialState

    done, runs = _runs(search, study)
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING))
    ended = [*ended_trials(study), *(ended_trials(points) if points else [])]
    failures = [trial.user_attrs["failure"] for trial in ended if "failure" in trial.user_attrs]
    tried, cheap = _runs(search, points) if points else ([], [])
    if cheap:
        write_sweep(cheap, search.folder / "cheap")
    if not done:
        elsewhere = "another process still runs the first one: run this command again when it has ended"
        why = elsewhere if running else "the time was over before: raise --minutes"
        why = failures[0] if failures else why
        raise EdgepipeError(f"search: no trial came to an end in full: {why}")
    write_sweep(runs, search.folder)
    index, met = choose([(list(trial.values), trial.user_attrs["misses"]) for trial in done], search.objectives)
    best = done[index]
    text = (runs[index][2] / "recipe.yaml").read_text(encoding="utf-8")
    write_text(search.folder / "best.yaml", text)
    shown = ", ".join(f"{name} {value:.4g}" for name, value in zip(search.objectives, best.values, strict=True))
    lines = [
        (f"{len({point_of(trial) for trial in tried})} points tried cheaply, " if points else "")
        + f"{len({point_of(trial) for trial in done})} run in full, {len(failures)} failed"
        + (f", {len(running)} not ended" if running else ""),
        f"{'best' if met else 'nothing meets the goal; nearest miss'}: {' '.join(runs[index][0])}: {shown}",
    ]
    if not met:
        from edgepipe.report.table import goal_line

        metrics = runs[index][1]
        if metrics is not None:
            lines += [f"  {goal_line(result, metrics.task)}" for result in metrics.goal if not result.met]
        if metrics is not None and metrics.status == "not_verified":
            lines.append(f"  not verified: see {runs[index][2] / 'report.html'}")
    lines += [f"recipe: {search.folder / 'best.yaml'}", f"page: {search.folder / 'sweep.html'}"]
    for line in lines:
        output_console().print(line, markup=False, soft_wrap=True)
    return 0 if met else 1


def _runs(search: Search, study: Any) -> tuple[list[Any], list[Run]]:
    """The trials of a study that came to their end, and their runs."""
    from optuna.trial import TrialState

    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    gone = [trial for trial in done if not (search.folder / trial.user_attrs["folder"] / "metrics.json").is_file()]
    for trial in gone:
        folder = search.folder / trial.user_attrs["folder"]
        error_console().print(f"note: {folder}: its metrics.json is gone, so it is left out", markup=False)
    done = [trial for trial in done if trial not in gone]
    places = [search.folder / trial.user_attrs["folder"] for trial in done]
    runs: list[Run] = []
    for trial, place in zip(done, places, strict=True):
        runs.append((list(trial.user_attrs["overrides"]), read_metrics(place), place))
    return done, runs
