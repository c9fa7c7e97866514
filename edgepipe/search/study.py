"""`edgepipe search`: sample settings of a recipe with Optuna, cheap trials first, and end with the best recipe.

A study is an SQLite file in the search's folder: the same command in a second process shares it, and after a kill
goes on with it. Every trial runs through the store, so trials that begin alike share their first steps. With settings
for cheap trials all points are tried cheaply, and then the most promising ones are run in full, one after the other.
"""

from __future__ import annotations

import importlib.util
import math
import random
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepipe.base.files import write_text
from edgepipe.base.marks import claim, ran_here
from edgepipe.base.stopping import Stopped
from edgepipe.base.text import without_passwords
from edgepipe.data.task import with_task
from edgepipe.engine.run import describe, run
from edgepipe.errors import EdgepipeError, InputError, RecipeError
from edgepipe.plugins import did_you_mean
from edgepipe.recipe.compose import compose, to_yaml
from edgepipe.recipe.schema import Recipe
from edgepipe.recipe.searched import Span, search_space
from edgepipe.records.metrics import Metrics, quality, read_metrics
from edgepipe.records.pareto import OBJECTIVES, OBJECTIVES_OF_TASKS, QUALITY_GOALS, choose, misses, promising
from edgepipe.report.terminal import Arguments, error_console, output_console
from edgepipe.store.locks import held
from edgepipe.store.store import Store

if TYPE_CHECKING:
    from edgepipe.report.sweep import Run

_HEARTBEAT_SECONDS = 60
_WAIT_SECONDS = 2
_DRAWN_AGAIN = 10  # known points in a row; few are left then
_CHANCES = 1000
_FULL_SHARE = 4  # of so many points one is run in full, unless --full says otherwise


@dataclass(frozen=True)
class Search:
    """What one search is: fixed overrides, what is sampled, what it aims at, and the overrides of a cheap trial."""

    fixed: list[str]
    space: dict[str, list[str] | Span]
    objectives: list[str]
    cheap: list[str]
    folder: Path
    recipe: str  # as composed with the first value of everything, in YAML

    def place(self, trial: Any, *, cheap: bool) -> Path:
        """The folder of a trial's run."""
        return self.folder / ("cheap" if cheap else "trials") / f"{trial.number:04d}"

    def described(self) -> str:
        """Equal for searches that may share a study."""
        return repr((self.recipe, sorted(self.fixed), sorted(self.space.items()), self.objectives, sorted(self.cheap)))

    def points(self) -> float:
        """How many different points there are."""
        return math.prod(
            len(set(values)) if isinstance(values, list) else values.high - values.low + 1 if values.whole else math.inf
            for values in self.space.values()
        )


def _parser() -> Arguments:
    parser = Arguments("edgepipe search", description="Sample settings of a recipe; end with the best one.")
    parser.add_argument("overrides", nargs="+", help="recipe=NAME, overrides, and KEY=a,b or KEY='interval(low,high)'")
    parser.add_argument("--trials", type=int, default=30, help="points of the whole study, of all processes together")
    parser.add_argument("--minutes", type=float, help="begin no trial that would end later, by the longest one so far")
    parser.add_argument("--objectives", default="quality,size_bytes,times_faster", help=", ".join(OBJECTIVES))
    parser.add_argument(
        "--cheap",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="setting of a cheap trial that each point gets first",
    )
    parser.add_argument("--full", type=int, help="with --cheap: points that are then run in full; default: a quarter")
    parser.add_argument(
        "--cheap-share", type=float, default=0.4, help="with --cheap and --minutes: share of the time for cheap trials"
    )
    parser.add_argument("--out", type=Path, help="folder of the study; default: outputs/search/RECIPE")
    return parser


def main_search(argv: list[str]) -> int:
    """`edgepipe search recipe=NAME KEY=a,b … [--trials N]`: 0 a recipe that meets the goal, 1 only a nearest miss."""
    args = _parser().read(argv, mixed=True)
    if args is None:
        return 0
    if importlib.util.find_spec("optuna") is None:
        raise InputError("search needs optuna, not installed here: pip install 'edgepipe[search]'")
    objectives = [name.strip() for name in args.objectives.split(",")]
    for name in objectives:
        if name not in OBJECTIVES:
            raise RecipeError(f"command line: --objectives: unknown '{name}'.{did_you_mean(name, OBJECTIVES)}")
    if len(set(objectives)) < len(objectives):
        raise RecipeError(f"command line: --objectives: {args.objectives} names one of them twice")
    for name, given, least in (("trials", args.trials, 1), ("full", args.full, 1), ("minutes", args.minutes, 0)):
        if given is not None and (not least <= given < math.inf or given == 0):  # nor NaN
            raise RecipeError(f"command line: --{name}: {'more than 0' if least == 0 else 'at least 1'}, found {given}")
    if not 0 < args.cheap_share < 1:
        raise RecipeError(f"command line: --cheap-share: between 0 and 1, found {args.cheap_share}")
    if args.full is not None and not args.cheap:
        raise RecipeError("command line: --full: without --cheap every point is run in full: see --trials")
    fixed, space = search_space(args.overrides)
    first = [f"{key}={_first(values)}" for key, values in space.items()]
    for override in args.cheap:
        key = override.partition("=")[0].lstrip("+~")
        if key in space:
            raise RecipeError(f"command line: --cheap: {key} is searched: a cheap trial cannot set it for all points")
    recipe, _ = compose([*fixed, *first])
    compose([*fixed, *first, *args.cheap])  # every mistake is found before the first trial
    _check_measured(recipe, objectives)
    folder = (args.out or Path("outputs/search") / recipe.name).absolute()
    try:
        claim(folder, "results", "command line: --out", ran_here)
    except OSError as error:
        raise InputError(f"command line: --out: {folder}: {error.strerror or error}: name a folder") from None
    search = Search(fixed, space, objectives, args.cheap, folder, _plain_yaml(recipe))
    start = time.monotonic()
    ends = None if args.minutes is None else start + 60 * args.minutes
    trials = int(min(args.trials, search.points()))
    if search.cheap:
        points = _study(search, recipe.seed, "cheap")
        _sample(
            points,
            partial(_cheap_trial, search),
            search.space,
            trials,
            ends and start + args.cheap_share * (ends - start),
        )
        study = _study(search, recipe.seed)
        _promote(search, points, study, args.full or max(1, args.trials // _FULL_SHARE), ends)
    else:
        points, study = None, _study(search, recipe.seed)
        _sample(study, partial(_full_trial, search), search.space, trials, ends)
    return _finish(search, study, points)


def _check_measured(recipe: Recipe, objectives: list[str]) -> None:
    """Refuse objectives that are measured for other tasks only.

    Raises:
        RecipeError: names the objective and the task.
    """
    asked = {name: task for task, names in OBJECTIVES_OF_TASKS.items() for name in names if name in objectives}
    if not asked:
        return
    task = with_task(recipe.data.settings.open(Store(Path(recipe.store.root)).cache), recipe.task).signature.task
    for name, wanted in asked.items():
        if wanted != task:
            raise RecipeError(
                f"command line: --objectives: {name} is measured for {wanted}, and this recipe's task is {task}: "
                "take quality, which is the measure of any task"
            )


def _first(values: list[str] | Span) -> str:
    return values[0] if isinstance(values, list) else _number(values.low, values)


def _number(value: float, span: Span) -> str:
    return str(int(value)) if span.whole else f"{value:.4g}"


def _study(search: Search, seed: int, name: str = "search") -> Any:
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
            directions=["maximize" if OBJECTIVES[name] else "minimize" for name in search.objectives],
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


def _sample(
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
    known = {_point(trial) for trial in trials}
    chance = random.Random(len(trials))
    for _ in range(_CHANCES):
        point = {key: _by_chance(values, chance) for key, values in space.items()}
        if repr(sorted(point.items())) not in known:
            return point
    return None


def _by_chance(values: list[str] | Span, chance: random.Random) -> str | float:
    if isinstance(values, list):
        return chance.choice(values)
    low, high = values.low, values.high
    return chance.randint(int(low), int(high)) if values.whole else chance.uniform(low, high)


def _tried(study: Any) -> set[str]:
    """The different points whose trials ended."""
    return {_point(trial) for trial in _ended(study)}


def _point(trial: Any) -> str:
    return repr(sorted(trial.params.items()))


def _ended(study: Any) -> list[Any]:
    from optuna.trial import TrialState

    return list(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))


def _fits(study: Any, ends: float | None) -> bool:
    """Whether another trial of the study, as long as its longest, ends in time."""
    longest = max((trial.duration.total_seconds() for trial in _ended(study)), default=0.0)
    return ends is None or time.monotonic() + longest < ends


def _promote(search: Search, points: Any, study: Any, full: int, ends: float | None) -> None:
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
                    if _point(trial) not in taken
                ]
                if len(counted) >= full or not open_points:
                    return
                known = [(list(trial.values), trial.user_attrs["misses"]) for trial in open_points]
                best = open_points[promising(known, search.objectives)]
                study.enqueue_trial(best.params, user_attrs={"point": _point(best)})
        study.optimize(partial(_full_trial, search), n_trials=1)


def _cheap_trial(search: Search, trial: Any) -> list[float]:
    metrics = _run(search, [*_chosen(search, trial), *search.cheap], search.place(trial, cheap=True), trial)
    return _judge(search, trial, metrics, cheap=True)


def _full_trial(search: Search, trial: Any) -> list[float]:
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
        if not (cheap and name in QUALITY_GOALS):
            trial.set_constraint(name, share)
    values = _values(metrics, search.objectives)
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
    return _number(trial.suggest_float(key, values.low, values.high), values)


def _run(search: Search, chosen: list[str], place: Path, trial: Any) -> Metrics:
    """One run in a folder of its own; a setting that cannot be run ends the trial, not the search.

    An interrupted trial is the next one.
    """
    import optuna

    from edgepipe.report.html import write_report

    try:
        recipe, plan = compose([*search.fixed, *chosen])
        outcome = run(recipe, plan, place, overrides=[*search.fixed, *chosen])
        metrics = outcome.metrics
        failure = metrics.failure.message if metrics.failure else None
        if metrics.failure is not None and metrics.failure.error == "KeyboardInterrupt":
            raise Stopped(outcome.exit_code - 128)
        if failure is None:
            write_report(metrics, place / "report.html")
            write_text(place / "recipe.yaml", _plain_yaml(recipe))
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


def _values(metrics: Metrics, objectives: list[str]) -> list[float]:
    found = []
    for name in objectives:
        if name == "quality":
            answers = quality(metrics.final)
            value = answers.value if answers is not None else None
        else:
            value = getattr(metrics.versus_baseline, name, None)
            value = getattr(metrics.final, name, None) if value is None else value
        if value is None:
            raise RecipeError(f"command line: --objectives: {name} is not measured for this recipe's task")
        found.append(float(value))
    return found


def _plain_yaml(recipe: Recipe) -> str:
    """The recipe as a file that `recipe=FILE` reads, every setting written out."""
    content = describe(recipe)
    for key in ("name", "trust_code", "tracking"):
        content.pop(key, None)
    for part in ("model", "data"):
        content[part].pop("trust_code", None)
    return "# @package _global_\n" + to_yaml(content)


def _finish(search: Search, study: Any, points: Any) -> int:
    from optuna.trial import TrialState

    from edgepipe.report.sweep import write_sweep

    done, runs = _runs(search, study)
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING))
    ended = [*_ended(study), *(_ended(points) if points else [])]
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
        (f"{len({_point(trial) for trial in tried})} points tried cheaply, " if points else "")
        + f"{len({_point(trial) for trial in done})} run in full, {len(failures)} failed"
        + (f", {len(running)} not ended" if running else ""),
        f"{'best' if met else 'nothing meets the goal; nearest miss'}: {' '.join(runs[index][0])}: {shown}",
    ]
    if not met:
        from edgepipe.report.table import goal_line

        metrics = runs[index][1]
        lines += [f"  {goal_line(result)}" for result in (metrics.goal if metrics else []) if not result.met]
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
