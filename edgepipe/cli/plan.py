"""`edgepipe plan recipe=NAME [overrides]`: the typed steps, and every problem found."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from edgepipe.errors import RecipeError
from edgepipe.plugins import find
from edgepipe.recipe.lacking import lacking_of
from edgepipe.recipe.schema import Recipe
from edgepipe.report.terminal import print_error, wide_console
from edgepipe.targets.estimate import warnings


def main_plan(argv: list[str]) -> int:
    """`edgepipe plan recipe=NAME [overrides]`: the typed steps; problems exit 2."""
    from edgepipe.recipe.compose import compose

    recipe, plan = compose(argv)
    table = Table(box=None, padding=(0, 2))
    for column in ("#", "step", "pass", "reads", "writes", "settings"):
        table.add_column(column)
    for number, step in enumerate(plan.steps):
        settings = step.settings or recipe.model.settings
        changed = {
            name: getattr(settings, name) for name in type(settings).model_fields if name in settings.model_fields_set
        }
        changed.pop("trust_code", None)
        said = (
            "inserted by the plan" if step.inserted else ", ".join(f"{key}={value}" for key, value in changed.items())
        )
        splits = ", ".join(str(split) for split in step.settings.splits()) if step.settings else ""
        reads = f"{step.reads or step.name}" + (f" + {splits} data" if splits else "")
        mark = "  (baseline)" if step.label == plan.baseline else ""
        table.add_row(
            str(number), step.label + mark, step.name if step.settings else "load", reads, str(step.writes), said
        )
    console = wide_console()
    console.print(f"{recipe.name}: {recipe.description}", markup=False)
    task = "by the labels" if recipe.task is None else str(recipe.task)
    console.print(
        f"model: {recipe.model.source}   data: {recipe.data.source}   task: {task}   store: {recipe.store.root}",
        markup=False,
    )
    console.print(table)
    said = ", ".join(f"{key} {value}" for key, value in recipe.goals.items())
    console.print(f"goal: {said or 'none'}", markup=False)
    _preflight(recipe, console)
    lacking = list(lacking_of(recipe))
    for text in lacking:
        print_error(text)
    return RecipeError.exit_code if lacking else 0


def _preflight(recipe: Recipe, console: Console) -> None:
    """What will be slow, unsupported or unproven on the target."""
    console.print(f"target: {recipe.target.name}: {recipe.target.description}", markup=False)
    steps = {label: step.settings for label, step in recipe.passes.items()}
    for text in warnings(recipe.target, steps, recipe.verify):
        console.print(f"  note: {text}", markup=False)
    for name in recipe.verify:
        lacking = find("places", name)().lacking()
        console.print(f"verify: {name}: {f'will be skipped: {lacking}' if lacking else 'ready'}", markup=False)
