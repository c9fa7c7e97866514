"""`edgepipe search`: sample settings of a recipe, cheap trials first, and end with the best recipe."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

from edgepipe.base.marks import claim, ran_here
from edgepipe.errors import InputError, RecipeError
from edgepipe.recipe.compose import compose
from edgepipe.recipe.searched import search_space
from edgepipe.records.figures import ALIKE, OLD_NAMES
from edgepipe.records.pareto import COSTLY, QUALITY
from edgepipe.report.terminal import Arguments
from edgepipe.search.best import finish
from edgepipe.search.objectives import aims
from edgepipe.search.space import Search, first_of, plain_yaml
from edgepipe.search.study import carry_out


def _parser() -> Arguments:
    parser = Arguments("edgepipe search", description="Sample settings of a recipe; end with the best one.")
    parser.add_argument("overrides", nargs="+", help="recipe=NAME, overrides, and KEY=a,b or KEY='interval(low,high)'")
    parser.add_argument("--trials", type=int, default=30, help="points of the whole study, of all processes together")
    parser.add_argument("--minutes", type=float, help="begin no trial that would end later, by the longest one so far")
    parser.add_argument(
        "--objectives",
        default="quality,size_bytes,times_faster",
        help=f"{QUALITY} (the headline measure of the task), any other measure of it, {ALIKE}, {', '.join(COSTLY)}",
    )
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
    names = [OLD_NAMES.get(name.strip(), name.strip()) for name in args.objectives.split(",")]
    if len(set(names)) < len(names):
        raise RecipeError(f"command line: --objectives: {args.objectives} names one of them twice")
    aims(names, None)
    for name, given, least in (("trials", args.trials, 1), ("full", args.full, 1), ("minutes", args.minutes, 0)):
        if given is not None and (not least <= given < math.inf or given == 0):  # nor NaN
            raise RecipeError(f"command line: --{name}: {'more than 0' if least == 0 else 'at least 1'}, found {given}")
    if not 0 < args.cheap_share < 1:
        raise RecipeError(f"command line: --cheap-share: between 0 and 1, found {args.cheap_share}")
    if args.full is not None and not args.cheap:
        raise RecipeError("command line: --full: without --cheap every point is run in full: see --trials")
    fixed, space = search_space(args.overrides)
    first = [f"{key}={first_of(values)}" for key, values in space.items()]
    for override in args.cheap:
        key = override.partition("=")[0].lstrip("+~")
        if key in space:
            raise RecipeError(f"command line: --cheap: {key} is searched: a cheap trial cannot set it for all points")
    recipe, _ = compose([*fixed, *first])
    compose([*fixed, *first, *args.cheap])  # every mistake is found before the first trial
    objectives = aims(names, recipe)
    folder = (args.out or Path("outputs/search") / recipe.name).absolute()
    try:
        claim(folder, "results", "command line: --out", ran_here)
    except OSError as error:
        raise InputError(f"command line: --out: {folder}: {error.strerror or error}: name a folder") from None
    search = Search(fixed, space, objectives, args.cheap, folder, plain_yaml(recipe))
    study, points = carry_out(
        search, recipe.seed, trials=args.trials, full=args.full, minutes=args.minutes, cheap_share=args.cheap_share
    )
    return finish(search, study, points)
