"""How well the model answers some labelled examples, with each preprocessing that it may have learned from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgepipe.base.scratch import scratch
from edgepipe.contract import Dataset, DataSource, Measure, Split, Task
from edgepipe.data import coded
from edgepipe.data.task import with_task
from edgepipe.engine.step import Steps
from edgepipe.engine.task import opened
from edgepipe.errors import EdgepipeError, RecipeError
from edgepipe.measure.answers import Model, answered, targets_of
from edgepipe.recipe.explain import told
from edgepipe.recipe.plan import make_plan, unusable
from edgepipe.recipe.schema import Recipe, problems_of, validate, with_pixels
from edgepipe.store.store import Store

EXAMPLES = 50
"""Labelled examples that tell a right preprocessing from a wrong one."""
ROUNDS = 3
"""One thing is changed at a time: values, order of channels, fit."""
_CHANCE = 0.06
"""Share of its value by which the headline differs by chance on so few examples."""


@dataclass(frozen=True)
class Tried:
    """What differs in words, with the source and the task so set.

    Attributes:
        value: the headline measure; None: nothing to judge by.
        others: what the task makes of these answers: itself otherwise set, each with what differs.
    """

    words: str
    source: DataSource
    task: Task
    value: float | None = None
    others: Sequence[tuple[str, Task]] = ()


@dataclass(frozen=True)
class Scored:
    """What was found out by running the model.

    Attributes:
        task: name of the task that it is judged by.
        measure: the headline of this task.
        tried: the preprocessings, the one that was given first; one where there is nothing to choose.
        best: the one that is better than all others by more than chance.
        train: examples that calibration may be drawn from.
        why: of the task, where there is something to say.
    """

    task: str
    measure: Measure
    tried: Sequence[Tried]
    best: Tried
    train: int
    why: str


def scored(content: dict[str, Any], root: Path, progress: Callable[[str], None] = lambda _text: None) -> Scored:
    """Load the model, decide its task, and try preprocessings of the data on `EXAMPLES` examples.

    Args:
        content: of a recipe, without passes.
        root: of the store.
    Raises:
        EdgepipeError: model or data cannot be used, in the words of a run.
    """
    try:
        recipe = with_pixels(validate({**content, "passes": {}}))
    except ValidationError as error:
        raise RecipeError("\n".join(told(*problem, {}, []) for problem in problems_of(error))) from None
    wrong = unusable(recipe)
    if wrong:
        raise RecipeError("\n".join(wrong))
    store = Store(root, progress)
    with store.in_use(), scratch("new") as folder:
        whole, _ = opened(recipe, store)
        train, evaluation = whole.count(Split.TRAIN) or whole.count(Split.CALIBRATION), whole.count(Split.EVALUATION)
        recipe = _small(recipe, evaluation)
        data, judged = opened(recipe, store)
        steps = Steps(recipe, make_plan(recipe), folder, store, data, judged)
        progress("loading the model")
        onnx = steps.lowered(steps.settle().content.artifact).onnx
        trial = _Trial(onnx, steps.judged.name, store.cache, progress)
        best = trial.first(recipe.data.settings, steps.data, steps.judged.task)
        if best.value is not None:
            best = trial.preprocessed(trial.retold(best))
            best = trial.retold(best)
        return Scored(steps.judged.name, steps.judged.task.measures[0], trial.tried, best, train, steps.judged.why)


class _Trial:
    """Scores one thing changed at a time.

    Attributes:
        tried: so far.
    """

    def __init__(self, onnx: Path, name: str, cache: Path, progress: Callable[[str], None]) -> None:
        self._onnx, self._name, self._cache, self._progress = onnx, name, cache, progress
        self.tried: list[Tried] = []

    def first(self, source: DataSource, data: Dataset, task: Task) -> Tried:
        """As it was given; what cannot be scored at all is an error here."""
        self.tried.append(self._scored(Tried("", source, task), data))
        return self.tried[0]

    def preprocessed(self, best: Tried) -> Tried:
        """The best of what the source tells of other preprocessings; of these again, while they get better."""
        for _ in range(ROUNDS):
            before = best
            for words, source in before.source.alternatives():
                if not any(source == each.source and before.task == each.task for each in self.tried):
                    best = self._better_of(best, before, words, source, before.task)
            if best is before:
                break
        return best

    def retold(self, best: Tried) -> Tried:
        """The best of what the task tells of itself otherwise set."""
        before = best
        for words, task in before.others:
            best = self._better_of(best, before, words, before.source, task)
        return best

    def _better_of(self, best: Tried, before: Tried, change: str, source: DataSource, task: Task) -> Tried:
        found = Tried(f"{before.words}, {change}".lstrip(", "), source, task)
        self._progress(f"trying {found.words}")
        with suppress(EdgepipeError):  # what the model does not take so is no candidate
            found = self._scored(found, with_task(coded.opened(source, self._cache), self._name))
        self.tried.append(found)
        return found if _better(task.measures[0], found.value, best.value) else best

    def _scored(self, tried: Tried, data: Dataset) -> Tried:
        """With its headline on labelled examples; as it is where there are no labels."""
        task = tried.task
        if not task.labelled or data.labels(Split.EVALUATION) is None:
            return tried
        answers = answered(Model.of(self._onnx, data), data, task).answers
        targets = targets_of(task, data, answers)
        if targets is None:
            return tried
        value = task.measured(answers, targets)[task.measures[0].name].value
        return replace(tried, value=value, others=task.alternatives(answers, targets))


def _better(measure: Measure, value: float | None, than: float | None) -> bool:
    """By more than chance."""
    if value is None or than is None:
        return False
    gain = value - than if measure.better == "higher" else than - value
    return gain > _CHANCE * max(abs(than), abs(value))


def _small(recipe: Recipe, evaluation: int) -> Recipe:
    """The same with few examples to judge, where the source can be told to take few."""
    settings = recipe.data.settings
    if "evaluation_size" not in type(settings).model_fields or evaluation <= EXAMPLES:
        return recipe
    small = settings.model_copy(update={"evaluation_size": EXAMPLES})
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"settings": small})})
