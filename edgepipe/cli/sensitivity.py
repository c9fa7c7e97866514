"""`edgepipe sensitivity`: what each layer alone costs, in int8 or pruned."""

from __future__ import annotations

from pathlib import Path

from edgepipe.errors import RecipeError
from edgepipe.recipe.compose import compose
from edgepipe.recipe.schema import with_pixels
from edgepipe.report.sensitivity import rich_sensitivity
from edgepipe.report.terminal import Arguments, output_console
from edgepipe.search.sensitivity import publish, sensitivity


def _parser() -> Arguments:
    parser = Arguments(
        "edgepipe sensitivity",
        description="How the model answers with each layer alone in int8, as the recipe's quantize_static does it.",
    )
    parser.add_argument("overrides", nargs="+", help="recipe=NAME and overrides, as for a run")
    parser.add_argument("--examples", type=int, default=500, help="evaluation examples, spread over the split")
    parser.add_argument("--prune", type=float, metavar="RATIO", help="also: each prunable layer alone pruned")
    parser.add_argument("--out", type=Path, help="folder of the results; default: outputs/sensitivity/RECIPE")
    return parser


def main_sensitivity(argv: list[str]) -> int:
    """`edgepipe sensitivity recipe=NAME [overrides] [--prune RATIO]`: a table; also as JSON, Markdown and HTML."""
    args = _parser().read(argv, mixed=True)
    if args is None:
        return 0
    if args.examples < 1:
        raise RecipeError(f"command line: --examples: at least 1, found {args.examples}")
    if args.prune is not None and not 0 < args.prune < 1:
        raise RecipeError(f"command line: --prune: a share between 0 and 1, found {args.prune:g}")
    recipe, plan = compose(args.overrides)
    recipe = with_pixels(recipe)
    folder = (args.out or Path("outputs/sensitivity") / recipe.name).absolute()
    result = sensitivity(recipe, plan, most=args.examples, ratio=args.prune, folder=folder)
    publish(result, folder)
    console = output_console()
    console.print(rich_sensitivity(result), soft_wrap=True)
    console.print(f"page: {folder / 'sensitivity.html'}", markup=False, soft_wrap=True)
    return 0
