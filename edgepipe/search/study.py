"""A study of Optuna: settings of a recipe are sampled, cheap trials first.

A study is an SQLite file in the search's folder: the same command in a second process shares it, and after a kill
goes on with it. Every trial runs through the store, so trials that begin alike share their first steps. With settings
for cheap trials all points are tried cheaply, and then the most promising ones are run in full, one after the other.
"""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from edgepipe.errors import InputError, RecipeError
from edgepipe.recipe.searched import Span
from edgepipe.records.pareto import promising
from edgepipe.search.space import Search, by_chance
from edgepipe.search.trial import cheap_trial, full_trial
from edgepipe.store.locks import held

_HEARTBEAT_SECONDS = 60
_WAIT_SECONDS = 2
_DRAWN_AGAIN = 10  # known points in a row; few are left then
_CHANCES = 1000
_FULL_SHARE = 4  # of so many points one is run in full, unless --full says otherwise


def carry_out(
    search: Search, seed: int, *, trials: int, full: int | None, minutes: float | None, cheap_share: float
) -> tuple[Any, Any]:
    """Try the points of a search: (its study, the study of its cheap trials or None).

    Args:
        trials: points of the whole study, of all processes together.
        full: with cheap trials, how many points are then run in full; None: a quarter.
        minutes: no trial begins that would end later; None: as long as it takes.
        cheap_share: of the minutes, for cheap trials.
    """
    start = time.monotonic()
    ends = None if minutes is None else start + 60 * minutes
    most = int(min(trials, search.points()))
    if not search.cheap:
        study = open_study(search, seed)
        sample(study, partial(full_trial, search), search.space, most, ends)
        return study, None
    points = open_study(search, seed, "cheap")
    cheap_ends = ends and start + cheap_share * (ends - start)
    sample(points, partial(cheap_trial, search), search.space, most, cheap_ends)
    study = open_study(search, seed)
    promote(search, points, study, full or max(1, trials // _FULL_SHARE), ends)
    return study, points


def open_study(search: Search, seed: int, name: str = "search") -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    # Two processes that start at once would both make the tables, and one of them would fail.
    with held(search.folder / "study.lock", "another process opens this study", lambda _: None), _readable(search):
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{search.folder / 'study.db'}",
            engine_kwargs={"connect_args": {"timeout": 120}},
            heartbeat_interval=_HEARTBEAT_SECONDS,  # a killed process's trial is seen as such, and run again
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=2),
        )
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=["maximize" if higher else "minimize" for higher in search.objectives.values()],
            load_if_exists=True,
        )
        known = study.user_attrs.get("search")
        if known is None:
            study.set_user_attr("search", search.described())
        elif known != search.described():
            raise RecipeError(
                f"command line: --out: {search.folder} holds the study of another search (other settings, values or "
                "objectives). Name another folder, or run that one's command to go on with it"
            )
        # Processes that share a study, at once or one after the other, must not draw the same points.
        process = int(study.user_attrs.get("processes", 0))
        study.set_user_attr("processes", process + 1)
    study.sampler = optuna.samplers.TPESampler(seed=seed + process, n_startup_trials=8, multivariate=True, group=True)
    return study


@contextmanager
def _readable(search: Search) -> Iterator[None]:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        text = str(error.__cause__ or error).splitlines()[0]
        raise InputError(
            f"{search.folder / 'study.db'}: not the file of a study: {text}. Name another folder with --out"
        ) from None


def sample(
    study: Any,
    objective: Callable[[Any], list[float]],
    space: dict[str, list[str] | Span],
    trials: int,
    ends: float | None,
) -> None:
    """Try so many different points; one that is drawn again comes from the store, and an untried one follows it."""
    from optuna.storages import fail_stale_trials
    from optuna.trial import TrialState

    again = 0
    while len(_tried(study)) < trials and _fits(study, ends) and again < _DRAWN_AGAIN:
        fail_stale_trials(study)
        before = len(_tried(study))
        if before + len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))) >= trials:
            time.sleep(_WAIT_SECONDS)  # another process runs the last ones; what a killed one began is stale soon
            continue
        study.optimize(objective, n_trials=1)
        again = 0 if len(_tried(study)) > before else again + 1
        if again and (point := _untried(study, space)) is not None:
            study.enqueue_trial(point)


def _untried(study: Any, space: dict[str, list[str] | Span]) -> dict[str, str | float] | None:
    """A point by chance that no trial has; None if none was found."""
    trials = study.get_trials(deepcopy=False)
    known = {point_of(trial) for trial in trials}
    chance = random.Random(len(trials))
    for _ in range(_CHANCES):
        point = {key: by_chance(values, chance) for key, values in space.items()}
        if repr(sorted(point.items())) not in known:
            return point
    return None


def _tried(study: Any) -> set[str]:
    """The different points whose trials ended."""
    return {point_of(trial) for trial in ended_trials(study)}


def point_of(trial: Any) -> str:
    """Equal for trials of the same values."""
    return repr(sorted(trial.params.items()))


def ended_trials(study: Any) -> list[Any]:
    """The trials that ran, those that failed included."""
    from optuna.trial import TrialState

    return list(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))


def _fits(study: Any, ends: float | None) -> bool:
    """Whether another trial of the study, as long as its longest, ends in time."""
    longest = max((trial.duration.total_seconds() for trial in ended_trials(study)), default=0.0)
    return ends is None or time.monotonic() + longest < ends


def promote(search: Search, points: Any, study: Any, full: int, ends: float | None) -> None:
    """Run the most promising points of the cheap trials in full."""
    from optuna.storages import fail_stale_trials
    from optuna.trial import TrialState

    while _fits(study, ends):
        fail_stale_trials(study)
        with held(search.folder / "study.lock", "another process chooses its next point", lambda _: None):
            begun = [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.FAIL]
            counted = [trial for trial in begun if trial.state != TrialState.PRUNED]  # a failed point makes room
            if not any(trial.state == TrialState.WAITING for trial in begun):
                taken = {trial.user_attrs["point"] for trial in begun}
                open_points = [
                    trial
                    for trial in points.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
                    if point_of(trial) not in taken
                ]
                if len(counted) >= full or not open_points:
                    return
                known = [(list(trial.values), trial.user_attrs["misses"]) for trial in open_points]
                best = open_points[promising(known, search.objectives)]
                study.enqueue_trial(best.params, user_attrs={"point": point_of(best)})
        study.optimize(partial(full_trial, search), n_trials=1)
