"""A recipe's task, and the goals and tolerances that hang on it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edgepipe.errors import RecipeError
from edgepipe.plugins import entries, find
from edgepipe.recipe.compose import compose
from edgepipe.recipe.goals import Goal, goal_of, misfits
from edgepipe.recipe.schema import Recipe

PTQ = ["recipe=ptq", "model=onnx", "model.path=x.onnx", "data=npz", "data.evaluation=x.npz", "~goal"]


def recipe(*overrides: str) -> Recipe:
    return compose([*PTQ, *overrides])[0]


def refusal(*overrides: str) -> str:
    with pytest.raises(RecipeError) as found:
        recipe(*overrides)
    return str(found.value)


@pytest.mark.parametrize("name", ["agreement", "classification", "embedding", "multilabel", "regression"])
def test_a_task_is_said_by_its_name(name: str) -> None:
    found = recipe(f"task={name}")
    assert found.task_name == name
    assert found.task is not None
    assert isinstance(found.task.settings, find("tasks", name))


def test_a_task_has_settings_in_one_mapping_or_key_by_key() -> None:
    for said in (["task={name: multilabel, threshold: 0.4}"], ["task.name=multilabel", "task.threshold=0.4"]):
        task = recipe(*said).task
        assert task is not None
        assert str(task) == "multilabel (threshold=0.4)"
        assert task.plain() == {"name": "multilabel", "scores": "auto", "threshold": 0.4}
    named = recipe("task=regression").task
    assert named is not None
    assert named.plain() == "regression"
    assert recipe().task is None


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("task=multilable", "unknown task 'multilable'. Did you mean 'multilabel'?"),
        ("task={name: multilabel, treshold: 0.4}", "task.treshold: unknown key. Did you mean 'threshold'?"),
        ("task={name: multilabel, threshold: 2}", "task.threshold: Input should be less than 1. Found: 2."),
        ("task={threshold: 0.4}", "a mapping with `name` and its settings, as in task.name=multilabel"),
        ("task=5", "task: a task is a name"),
    ],
)
def test_a_task_that_there_is_not_is_refused(said: str, told: str) -> None:
    assert told in refusal(said)


def test_the_goals_of_a_task_are_its_measures_their_changes_alike_and_the_costs() -> None:
    goals = ["goal.f1=0.3", "goal.f1_drop=0.1", "goal.average_precision=0.5", "goal.alike=0.9", "goal.times_smaller=2"]
    found = recipe("task=multilabel", *goals).goals
    assert found == {"f1": 0.3, "f1_drop": 0.1, "average_precision": 0.5, "alike": 0.9, "times_smaller": 2.0}


def test_a_goal_that_the_task_does_not_have_is_refused_with_those_that_it_has() -> None:
    told = refusal("task=regression", "goal.top1=0.5", "goal.times_smaler=2")
    assert (
        "goal.top1: the task 'regression' has no such goal. It has alike, mae, mae_rise, quality_drop, r2, "
        "r2_drop, and the costs: take one, or remove it: ~goal.top1. Found: 0.5."
    ) in told
    assert "goal.times_smaler: the task 'regression' has no such goal. Did you mean 'times_smaller'?" in told


def test_a_goal_of_another_task_that_is_null_is_none() -> None:
    argv = [item for item in PTQ if item != "~goal"]
    with pytest.raises(RecipeError, match=r"goal.accuracy_drop: the task 'regression' has no such goal."):
        compose([*argv, "task=regression", "goal.accuracy_drop=0.1"])
    found = compose([*argv, "task=regression", "goal.accuracy_drop=null"])[0].goals
    assert found == {"times_smaller": 3.5, "quality_drop": 0.01}
    assert "goal.accuracy_dorp" in refusal("task=regression", "goal.accuracy_dorp=null")


@pytest.mark.parametrize("task", ["agreement", "classification", "embedding", "multilabel", "regression"])
def test_the_goal_of_the_general_recipe_is_one_of_every_task(task: str) -> None:
    argv = [item for item in PTQ if item != "~goal"]
    assert compose([*argv, f"task={task}"])[0].goals == {"times_smaller": 3.5, "quality_drop": 0.01}


def test_without_a_task_a_goal_of_any_task_is_taken_and_no_other() -> None:
    assert recipe("goal.f1=0.3", "goal.mae_rise=1").goals == {"f1": 0.3, "mae_rise": 1.0}
    assert "goal.accuracy_dorp: no task measures it, and it is no cost. Did you mean 'accuracy_drop'?" in refusal(
        "goal.accuracy_dorp=0.1"
    )


def test_what_the_recipe_left_open_is_refused_once_the_task_is_known() -> None:
    assert misfits(["mae", "times_smaller"], "regression", find("tasks", "regression")) == []
    (told,) = misfits(["accuracy_drop", "cosine"], "agreement", find("tasks", "agreement"))
    assert told.startswith("goal.accuracy_drop: the task 'agreement' has no such goal.")


def test_agreement_is_the_old_name_of_alike() -> None:
    assert recipe("goal.agreement=0.9").goals == {"alike": 0.9}
    assert list(recipe("tolerances.agreement=0.05").tolerances) == ["alike"]
    assert "'agreement' is the old name of 'alike': leave one of them out" in refusal(
        "goal.agreement=0.9", "goal.alike=0.9"
    )


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("goal.top1=2", "goal.top1: Input should be less than or equal to 1. Found: 2."),
        ("goal.top1=true", "goal.top1: a number is wanted. Found: True."),
        ("goal=3", "goal: `goal` is a mapping, as in {times_smaller: 2}; found 3"),
        ("goal.times_smaller=-1", "goal.times_smaller: Input should be greater than 0. Found: -1."),
    ],
)
def test_a_goal_that_nothing_can_reach_is_refused(said: str, told: str) -> None:
    assert told in refusal(said)


def test_tolerances_are_of_what_the_task_measures_and_of_costs() -> None:
    found = recipe("task=multilabel", "tolerances.f1=5%", "tolerances.size_bytes=10%").tolerances
    assert {name: (item.worse_by, item.relative) for name, item in found.items()} == {
        "f1": (0.05, True),
        "size_bytes": (0.1, True),
    }
    assert "tolerances.f1: no metric that can be checked. Known: " in refusal("task=regression", "tolerances.f1=1")


def test_a_recipe_as_plain_values_holds_the_goals_of_its_task() -> None:
    found = recipe("task=multilabel", "goal.f1=0.3")
    assert found.model_dump(mode="json")["goal"]["f1"] == 0.3


@pytest.mark.parametrize("name", sorted(entries("tasks")))
def test_every_goal_of_a_task_says_which_way(name: str) -> None:
    task = find("tasks", name)
    fields: dict[str, Any] = goal_of(task).model_fields
    for measure in task.measures:
        assert fields[measure.name].description.endswith("at least" if measure.better == "higher" else "at most")
        assert fields[measure.change_name].description.endswith("at most")
    with pytest.raises(ValidationError):
        Goal.model_validate({task.measures[0].name: 1})
