"""One trial of a search: the point that it draws, its run, and how the run is judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgepipe.base.files import write_text
from edgepipe.base.stopping import Stopped
from edgepipe.base.text import without_passwords
from edgepipe.engine.run import run
from edgepipe.errors import EdgepipeError
from edgepipe.recipe.compose import compose
from edgepipe.recipe.searched import Span
from edgepipe.records.metrics import Metrics
from edgepipe.records.pareto import misses, of_quality
from edgepipe.report.html import write_report
from edgepipe.report.terminal import error_console
from edgepipe.search.objectives import values_of
from edgepipe.search.space import Search, number_of, plain_yaml


def cheap_trial(search: Search, trial: Any) -> list[float]:
    """The objectives of a point, run with the settings of a cheap trial."""
    metrics = _run(search, [*_chosen(search, trial), *search.cheap], search.place(trial, cheap=True), trial)
    return _judge(search, trial, metrics, cheap=True)


def full_trial(search: Search, trial: Any) -> list[float]:
    """The objectives of a point, run as the recipe has it."""
    metrics = _run(search, _chosen(search, trial), search.place(trial, cheap=False), trial)
    return _judge(search, trial, metrics, cheap=False)


def _chosen(search: Search, trial: Any) -> list[str]:
    chosen = [f"{key}={_suggest(trial, key, values)}" for key, values in search.space.items()]
    trial.set_user_attr("overrides", chosen)
    return chosen


def _judge(search: Search, trial: Any, metrics: Metrics, *, cheap: bool) -> list[float]:
    trial.set_user_attr("folder", search.place(trial, cheap=cheap).relative_to(search.folder).as_posix())
    missed = misses(metrics)
    trial.set_user_attr("misses", missed)
    for name, share in missed.items():
        if not (cheap and of_quality(name)):
            trial.set_constraint(name, share)
    values = values_of(metrics, search.objectives)
    shown = ", ".join(f"{name} {value:.4g}" for name, value in zip(search.objectives, values, strict=True))
    missing = "" if cheap or max(missed.values(), default=0) <= 0 else ", misses the goal"
    _say(trial, shown + missing)
    return values


def _say(trial: Any, text: str) -> None:
    what = "cheap trial" if trial.study.study_name == "cheap" else "trial"
    error_console().print(f"{what} {trial.number}: {' '.join(trial.user_attrs['overrides'])}: {text}", markup=False)


def _suggest(trial: Any, key: str, values: list[str] | Span) -> str:
    if isinstance(values, list):
        return str(trial.suggest_categorical(key, values))
    if values.whole:
        return str(trial.suggest_int(key, int(values.low), int(values.high)))
    return number_of(trial.suggest_float(key, values.low, values.high), values)


def _run(search: Search, chosen: list[str], place: Path, trial: Any) -> Metrics:
    """One run in a folder of its own; a setting that cannot be run ends the trial, not the search.

    An interrupted trial is the next one.
    """
    import optuna

    try:
        recipe, plan = compose([*search.fixed, *chosen])
        outcome = run(recipe, plan, place, overrides=[*search.fixed, *chosen])
        metrics = outcome.metrics
        failure = metrics.failure.message if metrics.failure else None
        if metrics.failure is not None and metrics.failure.error == "KeyboardInterrupt":
            raise Stopped(outcome.exit_code - 128)
        if failure is None:
            write_report(metrics, place / "report.html")
            write_text(place / "recipe.yaml", plain_yaml(recipe))
    except EdgepipeError as error:
        failure = str(error)
    except KeyboardInterrupt:
        point = {name: value for name, value in trial.user_attrs.items() if name == "point"}
        trial.study.enqueue_trial(trial.params, user_attrs=point)
        raise
    if failure is not None:
        failure = without_passwords(failure)
        trial.set_user_attr("failure", failure)
        _say(trial, f"failed: {failure}")
        raise optuna.TrialPruned
    return metrics
