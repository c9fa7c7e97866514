"""What a recipe says of right and good enough: its task, its goals, and how far the gate lets a number be worse.

Costs are the same for every task. Measures are the task's own: where the recipe names its task, a goal that this task
does not have is refused at once, with the names that it has; else when the model and the data have said which it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, ValidationInfo, create_model
from pydantic_core import InitErrorDetails, PydanticCustomError

from edgepipe.base.suggest import did_you_mean
from edgepipe.contract import Measure, Task
from edgepipe.contract.settings import Settings
from edgepipe.plugins import loadable
from edgepipe.records.figures import ALIKE, OLD_NAMES, QUALITY_DROP, TOLERATED
from edgepipe.records.metrics import Tolerance


class Named(BaseModel):
    """A task by its name, with its settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    settings: SerializeAsAny[Task]

    def __str__(self) -> str:
        said = ", ".join(f"{name}={getattr(self.settings, name)}" for name in sorted(self.settings.model_fields_set))
        return f"{self.name} ({said})" if said else self.name

    def plain(self) -> str | dict[str, Any]:
        """As a recipe says it: a name, or a mapping where it has settings."""
        said = self.settings.model_dump(mode="json")
        return {"name": self.name, **said} if said else self.name


class Goal(Settings):
    """What the final artifact must reach against the baseline; a miss exits 1. Null: no goal.

    These are the costs; `goal_of` adds what a task measures.
    """

    times_smaller: float | None = Field(None, gt=0, description="baseline bytes / final bytes, at least")
    times_faster: float | None = Field(None, gt=0, description="baseline latency / final latency, at least")
    size_bytes: int | None = Field(None, gt=0, description="bytes of the final ONNX file, at most")
    latency_p50_ms: float | None = Field(None, gt=0, description="median latency here, in milliseconds, at most")
    peak_rss_bytes: int | None = Field(None, gt=0, description="peak memory of a process that runs it, at most")
    storage_mb: float | None = Field(None, gt=0, description="megabytes of the final file, at most")
    memory_mb: float | None = Field(None, gt=0, description="peak megabytes of a process that runs it, at most")
    latency_ms: float | None = Field(None, gt=0, description="milliseconds on the target, at most; else an estimate")
    energy_mj: float | None = Field(None, gt=0, description="millijoules on the target, an estimate, at most")


def goals_of(measures: Iterable[Measure]) -> dict[str, tuple[Any, Any]]:
    """Fields of the goals that measures bring: each itself, its change, that of the first, and `alike`."""
    fields: dict[str, tuple[Any, Any]] = {}
    share: dict[str, Any] = {"ge": 0, "le": 1}
    for item in measures:
        side = "at least" if item.better == "higher" else "at most"
        bounds = share if item.unit == "share" else {}
        fields[item.name] = (float | None, Field(None, description=f"{item.description}, {side}", **bounds))
        fields[item.change_name] = (
            float | None,
            Field(None, description=f"how much worse {item.title} is than the baseline's, at most"),
        )
    worse = "how much worse the task's first measure is than the baseline's, at most; the same goal for every task"
    fields[QUALITY_DROP] = (float | None, Field(None, description=worse))
    fields[ALIKE] = (float | None, Field(None, description="share answered as the baseline answers, at least", **share))
    return fields


@cache
def goal_of(task: type[Task] | None) -> type[Goal]:
    """The goals of a task, costs included; None: of any task."""
    measures = [item for kind in ([task] if task is not None else _tasks()) for item in kind.measures]
    return create_model("Goal", __base__=Goal, __module__=__name__, **goals_of(measures))  # type: ignore[call-overload,no-any-return]


def _tasks() -> list[type[Task]]:
    return list(loadable("tasks").values())


def canonical(said: Mapping[str, Any], task: type[Task] | None) -> dict[str, Any]:
    """Names of goals or tolerances as they are today: some had another one.

    Raises:
        ValueError: one is said by both names.
    """
    known = goal_of(task).model_fields
    found: dict[str, Any] = {}
    for name, value in said.items():
        now = name if name in known else OLD_NAMES.get(name, name)
        if now != name and now in said:
            raise ValueError(f"'{name}' is the old name of '{now}': leave one of them out")
        found[now] = value
    return found


def unknown_goal(goal: str, task: str | None, known: Iterable[str]) -> str:
    """A sentence for a goal that there is not.

    Args:
        task: its name; None: the recipe leaves it open.
        known: the goals that there are, costs included.
    """
    names = sorted(known)
    near = did_you_mean(goal, names)
    if task is None:
        return f"no task measures it, and it is no cost.{near}"
    own = ", ".join(name for name in names if name not in Goal.model_fields)
    near = near if "Did you" in near else ""
    return (
        f"the task '{task}' has no such goal.{near} It has {own}, and the costs: take one, or remove it: ~goal.{goal}"
    )


def misfits(goals: Iterable[str], name: str, task: type[Task]) -> list[str]:
    """A line for each goal that a task does not have, for a recipe that left the task open."""
    known = goal_of(task).model_fields
    return [f"goal.{goal}: {unknown_goal(goal, name, known)}" for goal in goals if goal not in known]


def tolerated(task: type[Task] | None) -> list[str]:
    """Names that the gate can judge: costs, and what the task measures."""
    return sorted({*TOLERATED, *goal_of(task).model_fields.keys()} - {*Goal.model_fields} | TOLERATED.keys())


def kind_of_task(info: ValidationInfo) -> tuple[str | None, type[Task] | None]:
    """(name, class) of the task that the recipe names, if it names one that there is."""
    task: Named | None = info.data.get("task")
    return (None, None) if task is None else (task.name, type(task.settings))


def tolerance(value: Any) -> Any:
    """How far a metric may be worse, as a recipe says it: `0.01`, `5%` or a mapping."""
    if isinstance(value, str):
        number, percent = value.removesuffix("%").strip(), value.endswith("%")
        try:
            return {"worse_by": float(number) / (100 if percent else 1), "relative": percent}
        except ValueError:
            pass
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        return {"worse_by": value}
    elif isinstance(value, (Mapping, Tolerance)):
        return value
    raise ValueError("a tolerance is a number in the metric's own unit, or a share of its value, as in 5%")


def named_tolerances(value: Any, info: ValidationInfo) -> Any:
    """Tolerances under the names of today; those that the recipe's task does not have are refused."""
    if not isinstance(value, Mapping):
        return value
    _, task = kind_of_task(info)
    said = canonical({str(key): item for key, item in value.items()}, task)
    known = tolerated(task)
    if problems := [
        problem(key, f"no metric that can be checked.{did_you_mean(key, known)}", item)
        for key, item in said.items()
        if key not in known
    ]:
        raise ValidationError.from_exception_data("recipe", problems)
    return said


def problem(key: str, text: str, value: Any) -> InitErrorDetails:
    """One problem of a recipe, as pydantic carries it."""
    return InitErrorDetails(type=PydanticCustomError("refused", "{text}", {"text": text}), loc=(key,), input=value)
