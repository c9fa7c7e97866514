"""Which task says what a model's outputs mean, where a recipe leaves it open: the labels, unless outputs object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgepipe.contract import Dataset, Split, Task, Tensor
from edgepipe.data import coded
from edgepipe.data.task import with_task
from edgepipe.plugins import find
from edgepipe.recipe.schema import Recipe
from edgepipe.store.digests import code_digest
from edgepipe.store.store import Store
from edgepipe.tasks.agreement import Agreement

ANY = "agreement"
"""The name of the task that takes any outputs and needs no labels."""


@dataclass(frozen=True)
class Judged:
    """A task by its name; `why`: what to tell people of how it came to be, empty where there is nothing to tell."""

    name: str
    task: Task
    why: str = ""

    def key(self) -> list[Any]:
        """What a stored result that the task had a say in depends on: its name, settings and code."""
        return [self.name, self.task.model_dump(mode="json"), code_digest(type(self.task))]


def named(name: str) -> Judged:
    """The task of this name with its default settings."""
    return Judged(name, find("tasks", name)())


def opened(recipe: Recipe, store: Store) -> tuple[Dataset, Judged]:
    """The recipe's data, and the task that the recipe names, else the one that the data is of.

    Raises:
        DataError: the examples cannot be used, or their labels are none of the task that the recipe names.
    """
    data = with_task(coded.opened(recipe.data.settings, store.cache), recipe.task_name)
    if recipe.task is None:
        return data, named(data.signature.task)
    judged = Judged(recipe.task.name, recipe.task.settings)
    check_labels(judged, data)
    return data, judged


def check_labels(judged: Judged, data: Dataset) -> None:
    """Whether the labels are of a task that the recipe names, before anything is computed.

    Raises:
        DataError: they are not.
    """
    labels = data.labels(Split.EVALUATION) if judged.task.labelled else None
    if labels is not None:
        judged.task.targets(labels, data.signature)


def by_model(judged: Judged, onnx: Path) -> Judged:
    """The task with what the model's own file says of its answers.

    Args:
        onnx: the loaded model, or what it was lowered to.
    Raises:
        ModelError, RecipeError: as `Task.with_model`.
    """
    from edgepipe.onnx.files import metadata_of

    return Judged(judged.name, judged.task.with_model(metadata_of(onnx)), judged.why)


def asks_the_model(judged: Judged) -> bool:
    """Whether anything of the task may stand in the model's file."""
    return type(judged.task).with_model is not Task.with_model


def by_outputs(judged: Judged, data: Dataset, outputs: Sequence[Tensor]) -> Judged:
    """The task of the labels; where outputs cannot be judged so, or nothing but them says it, the one that fits all.

    Without labels a model is taken to be of a task only where its one output looks like one of this task.

    Args:
        judged: what the data says.
        outputs: of the loaded model, as `outputs_of` gives them.
    """
    given = data.labels(Split.EVALUATION) is not None
    misfit = judged.task.misfit(outputs)
    if misfit is None and (given or len(outputs) == 1 or not judged.task.labelled):
        return judged
    why = ""
    if given:
        why = (
            f"the labels are those of {judged.name}, but {misfit}: the model is judged by how near its outputs stay to "
            f"the baseline's (task={ANY}), and the labels by nobody. Name the task that it is made for with task=NAME"
        )
    return Judged(ANY, Agreement(), why)


def outputs_of(onnx: Path, data: Dataset) -> Sequence[Tensor]:
    """The outputs of numbers, for one example each: as the graph declares them, else as the first example is answered.

    An output whose first axis does not count examples has its shape, too, without the first axis.
    """
    from edgepipe.onnx.files import load_structure
    from edgepipe.onnx.tensor_types import declared

    found = [item for item in map(declared, load_structure(onnx).graph.output) if item.dtype is not None]
    if all(item.shape is not None for item in found):
        return [
            Tensor(
                name=item.name,
                dtype=str(item.dtype),
                shape=tuple("any" if axis is None else axis for axis in (item.shape or ())[1:]),
            )
            for item in found
        ]
    from edgepipe.onnx.sequences import opened

    answers = opened(onnx, data.signature).ask(next(data.batches(Split.EVALUATION, 1, [0])).inputs)
    arrays = {item.name: np.asarray(answers[item.name]) for item in found}
    return [Tensor(name=name, dtype=str(value.dtype), shape=value.shape[1:]) for name, value in arrays.items()]
