"""`edgepipe search`: sample settings of a recipe with Optuna, cheap trials first, and end with the best recipe.

A study is an SQLite file in the search's folder: the same command in a second process shares it, and after a kill
goes on with it. Every trial runs through the store, so trials that begin alike share their first steps.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepipe.compose import Span, compose, search_space, to_yaml
from edgepipe.errors import EdgepipeError, InputError, RecipeError
from edgepipe.files import write_text
from edgepipe.metrics import Metrics, quality, read_metrics
from edgepipe.recipe import Recipe
from edgepipe.registry import did_you_mean
from edgepipe.run import describe, run
from edgepipe.store import held
from edgepipe.terminal import Arguments, error_console, output_console

OBJECTIVES: dict[str, bool] = {
    "quality": True,
    "top1": True,
    "agreement": True,
    "r2": True,
    "cosine": True,
    "times_smaller": True,
    "times_faster": True,
    "size_bytes": False,
    "latency_p50_ms": False,
    "macs": False,
    "mae": False,
    "peak_rss_bytes": False,
}
"""What a search can aim at, and whether higher is better; `quality` is the measure of the task."""

_HEARTBEAT_SECONDS = 60
_BEATEN_BY = 2
"""A cheap trial that so many others beat in everything is not run in full."""


@dataclass(frozen=True)
class Search:
    """What one search is: fixed overrides, what is sampled, what it aims at, and the overrides of a cheap trial."""

    fixed: list[str]
    space: dict[str, list[str] | Span]
    objectives: list[str]
    cheap: list[str]
    folder: Path

    def described(self) -> str:
        """Equal for searches that may share a study."""
        return repr((sorted(self.fixed), sorted(self.space.items()), self.objectives, sorted(self.cheap)))


def _parser() -> Arguments:
    parser = Arguments("edgepipe search", description="Sample settings of a recipe; end with the best one.")
    parser.add_argument("overrides", nargs="+", help="recipe=NAME, overrides, and KEY=a,b or KEY='interval(low,high)'")
    parser.add_argument("--trials", type=int, default=30, help="trials of the whole study, of all processes together")
    parser.add_argument("--minutes", type=float, help="this process begins no trial after so many minutes")
    parser.add_argument("--objectives", default="quality,size_bytes,times_faster", help=", ".join(OBJECTIVES))
    parser.add_argument("--cheap", action="append", default=[], metavar="KEY=VALUE", help="setting of the cheap trial")
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
    if args.trials < 1:
        raise RecipeError(f"command line: --trials: at least 1, found {args.trials}")
    fixed, space = search_space(args.overrides)
    first = [f"{key}={_first(values)}" for key, values in space.items()]
    recipe, _ = compose([*fixed, *first, *args.cheap])  # every mistake is found before the first trial
    folder = (args.out or Path("outputs/search") / recipe.name).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    search = Search(fixed, space, objectives, args.cheap, folder)
    study = _study(search, recipe.seed)
    _sample(search, study, args.trials, args.minutes)
    return _finish(search, study)


def _first(values: list[str] | Span) -> str:
    return values[0] if isinstance(values, list) else _number(values.low, values)


def _number(value: float, span: Span) -> str:
    return str(int(value)) if span.whole else f"{value:.4g}"


def _study(search: Search, seed: int) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    # Two processes that start at once would both make the tables, and one of them would fail.
    with held(search.folder / "study.lock", "another process opens this study", lambda _: None):
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{search.folder / 'study.db'}",
            engine_kwargs={"connect_args": {"timeout": 120}},
            heartbeat_interval=_HEARTBEAT_SECONDS,  # a killed process's trial is seen as such, and run again
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=2),
        )
        study = optuna.create_study(
            storage=storage,
            study_name="search",
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


def _sample(search: Search, study: Any, trials: int, minutes: float | None) -> None:
    from optuna.study import MaxTrialsCallback
    from optuna.trial import TrialState

    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    if len(study.get_trials(deepcopy=False, states=ended)) >= trials:
        return
    study.optimize(
        lambda trial: _trial(search, study, trial),
        timeout=None if minutes is None else 60 * minutes,
        callbacks=[MaxTrialsCallback(trials, states=ended)],
    )


def _trial(search: Search, study: Any, trial: Any) -> list[float]:
    import optuna

    chosen = [f"{key}={_suggest(trial, key, values)}" for key, values in search.space.items()]
    trial.set_user_attr("overrides", chosen)
    place = search.folder / "trials" / f"{trial.number:04d}"
    if search.cheap:
        metrics = _run(search, [*chosen, *search.cheap], place / "cheap", trial)
        values = _values(metrics, search.objectives)
        others = [
            other.user_attrs["cheap"] for other in study.get_trials(deepcopy=False) if "cheap" in other.user_attrs
        ]
        trial.set_user_attr("cheap", values)
        beaten = sum(_dominates(other, values, search.objectives) for other in others)
        if beaten >= _BEATEN_BY:
            _say(trial, chosen, f"not worth a full run: {beaten} cheap trials are better in everything")
            raise optuna.TrialPruned
    metrics = _run(search, chosen, place, trial)
    trial.set_user_attr("folder", place.relative_to(search.folder).as_posix())
    missed = misses(metrics)
    trial.set_user_attr("misses", missed)
    for name, share in zip((result.name for result in metrics.goal), missed, strict=True):
        trial.set_constraint(name, share)
    values = _values(metrics, search.objectives)
    shown = ", ".join(f"{name} {value:.4g}" for name, value in zip(search.objectives, values, strict=True))
    _say(trial, chosen, shown + ("" if max(missed, default=0) <= 0 else ", misses the goal"))
    return values


def _say(trial: Any, chosen: list[str], text: str) -> None:
    error_console().print(f"trial {trial.number}: {' '.join(chosen)}: {text}", markup=False)


def _suggest(trial: Any, key: str, values: list[str] | Span) -> str:
    if isinstance(values, list):
        return str(trial.suggest_categorical(key, values))
    if values.whole:
        return str(trial.suggest_int(key, int(values.low), int(values.high)))
    return _number(trial.suggest_float(key, values.low, values.high), values)


def _run(search: Search, chosen: list[str], place: Path, trial: Any) -> Metrics:
    """One run in a folder of its own; a setting that cannot be run ends the trial, not the search."""
    import optuna

    from edgepipe.report.html import write_report

    try:
        recipe, plan = compose([*search.fixed, *chosen])
        metrics = run(recipe, plan, place, overrides=[*search.fixed, *chosen]).metrics
        failure = metrics.failure.message if metrics.failure else None
        if metrics.failure is not None and metrics.failure.error == "KeyboardInterrupt":
            raise KeyboardInterrupt
        if failure is None:
            write_report(metrics, place / "report.html")
            write_text(place / "recipe.yaml", _plain_yaml(recipe))
    except EdgepipeError as error:
        failure = str(error)
    if failure is not None:
        trial.set_user_attr("failure", failure)
        _say(trial, chosen, f"failed: {failure}")
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


def misses(metrics: Metrics) -> list[float]:
    """For each line of the goal the share by which it is missed; negative: met with room to spare."""
    return [1.0 if result.margin is None else -result.margin / max(abs(result.wanted), 1e-2) for result in metrics.goal]


def _dominates(one: Sequence[float], other: Sequence[float], objectives: list[str]) -> bool:
    """Whether `one` is at least as good in everything and better in something."""
    signs = [1 if OBJECTIVES[name] else -1 for name in objectives]
    gains = [sign * (a - b) for sign, a, b in zip(signs, one, other, strict=True)]
    return min(gains) >= 0 and max(gains) > 0


def choose(points: Sequence[tuple[list[float], list[float]]], objectives: list[str]) -> tuple[int, bool]:
    """(index of the best, whether it meets the goal) among (objective values, misses of the goal).

    Of those that meet the goal and that no other beats in everything, the one whose ranks in the objectives add up to
    least, the first objective deciding a tie; if none meets it, the one that misses by least in sum.
    """
    meets = [max(missed, default=0) <= 0 for _, missed in points]
    if not any(meets):
        sums = [sum(max(0.0, item) for item in missed) for _, missed in points]
        return sums.index(min(sums)), False
    able = [index for index, good in enumerate(meets) if good]
    front = [i for i in able if not any(_dominates(points[j][0], points[i][0], objectives) for j in able)]
    signs = [1 if OBJECTIVES[name] else -1 for name in objectives]

    def rank(index: int) -> tuple[int, float]:
        mine = points[index][0]
        places = sum(
            sum(sign * points[other][0][k] > sign * mine[k] for other in front) for k, sign in enumerate(signs)
        )
        return places, -signs[0] * mine[0]

    return min(front, key=rank), True


def _plain_yaml(recipe: Recipe) -> str:
    """The recipe as a file that `recipe=FILE` reads, every setting written out."""
    content = describe(recipe)
    for key in ("name", "trust_code"):
        content.pop(key, None)
    for part in ("model", "data"):
        content[part].pop("trust_code", None)
    return "# @package _global_\n" + to_yaml(content)


def _finish(search: Search, study: Any) -> int:
    from optuna.trial import TrialState

    from edgepipe.report.sweep import Run, write_sweep

    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    pruned = study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    if not done:
        why = next((trial.user_attrs["failure"] for trial in pruned if "failure" in trial.user_attrs), "none finished")
        raise EdgepipeError(f"search: no trial came to an end: {why}")
    runs: list[Run] = []
    for trial in done:
        place = search.folder / trial.user_attrs["folder"]
        runs.append((list(trial.user_attrs["overrides"]), read_metrics(place), place))
    write_sweep(runs, search.folder)
    points = [(list(trial.values), list(trial.user_attrs["misses"])) for trial in done]
    index, met = choose(points, search.objectives)
    best = done[index]
    text = (runs[index][2] / "recipe.yaml").read_text(encoding="utf-8")
    write_text(search.folder / "best.yaml", text)
    shown = ", ".join(f"{name} {value:.4g}" for name, value in zip(search.objectives, best.values, strict=True))
    failed = sum("failure" in trial.user_attrs for trial in pruned)
    lines = [
        f"{len(done)} trials in full, {len(pruned) - failed} stopped after the cheap one, {failed} failed",
        f"{'best' if met else 'nothing meets the goal; nearest miss'}: {' '.join(runs[index][0])}: {shown}",
    ]
    if not met:
        from edgepipe.report.table import goal_line

        metrics = runs[index][1]
        lines += [f"  {goal_line(result)}" for result in (metrics.goal if metrics else []) if not result.met]
    lines += [f"recipe: {search.folder / 'best.yaml'}", f"page: {search.folder / 'sweep.html'}"]
    for line in lines:
        output_console().print(line, markup=False, soft_wrap=True)
    return 0 if met else 1
