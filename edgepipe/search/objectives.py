"""What a search aims at: whether it is measured, and what was measured."""

from __future__ import annotations

from pathlib import Path

from edgepipe.data.task import with_task
from edgepipe.errors import RecipeError
from edgepipe.recipe.schema import Recipe
from edgepipe.records.metrics import Metrics
from edgepipe.records.pareto import OBJECTIVES_OF_TASKS
from edgepipe.records.quality import quality
from edgepipe.store.store import Store


def refuse_unmeasured(recipe: Recipe, objectives: list[str]) -> None:
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


def values_of(metrics: Metrics, objectives: list[str]) -> list[float]:
    """The values of the objectives in a run's metrics.

    Raises:
        RecipeError: one is not measured.
    """
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
