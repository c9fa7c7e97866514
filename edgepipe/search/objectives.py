"""What a search aims at: whether it is measured, which way it is better, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgepipe.base.suggest import did_you_mean
from edgepipe.data.task import with_task
from edgepipe.errors import RecipeError
from edgepipe.plugins import loadable
from edgepipe.recipe.schema import Recipe
from edgepipe.records.figures import numbers
from edgepipe.records.metrics import Metrics
from edgepipe.records.pareto import QUALITY, objectives_of
from edgepipe.records.quality import TaskRecord, quality
from edgepipe.store.store import Store


def aims(names: Sequence[str], recipe: Recipe | None) -> dict[str, bool]:
    """Objectives, and whether higher is better.

    Args:
        recipe: None: of any task; it is asked for its data where a measure of one task is among them.
    Raises:
        RecipeError: one is unknown, or measured for other tasks only.
    """
    records = [TaskRecord.of(name, kind) for name, kind in loadable("tasks").items()]
    any_task = objectives_of(records)
    for name in names:
        if name not in any_task:
            raise RecipeError(f"command line: --objectives: unknown '{name}'.{did_you_mean(name, any_task)}")
    if recipe is None or set(names) <= objectives_of([]).keys():
        return {name: any_task[name] for name in names}
    found = recipe.task_name
    if found is None:
        found = with_task(recipe.data.settings.open(Store(Path(recipe.store.root)).cache), None).signature.task
    known = objectives_of([record for record in records if record.name == found])
    for name in names:
        if name not in known:
            wanted = " and ".join(record.name for record in records if record.measure(name) is not None)
            raise RecipeError(
                f"command line: --objectives: {name} is measured for {wanted}, and this recipe's task is {found}: "
                "take quality, which is the measure of any task"
            )
    return {name: known[name] for name in names}


def values_of(metrics: Metrics, objectives: Mapping[str, bool]) -> list[float]:
    """The values of the objectives in a run's metrics.

    Raises:
        RecipeError: one is not measured.
    """
    known = numbers(metrics.task, metrics.final, metrics.versus_baseline)
    found = []
    for name in objectives:
        answers = quality(metrics.final, metrics.task) if name == QUALITY else None
        value = answers.value if answers is not None else known[name].value if name in known else None
        if value is None:
            raise RecipeError(f"command line: --objectives: {name} is not measured for this recipe's task")
        found.append(value)
    return found
