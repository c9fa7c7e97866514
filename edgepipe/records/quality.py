"""How well a model answers, as records say it: by the measures of its task, whichever they are.

A record names its task with all that a reader needs of it, so that nobody who reads asks a registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from edgepipe.contract import Figure, Interval, Measure
from edgepipe.records import old

if TYPE_CHECKING:
    from edgepipe.contract import Task


class Record(BaseModel):
    """Base class of what edgepipe writes: no other keys, and nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Score(Record):
    """What was reached in one measure."""

    value: float | None = Field(description="null: it has no meaning on these examples")
    ci95: Interval | None = Field(None, description="95% interval of the value")
    better: Literal["higher", "lower"]
    unit: str = Field("", description="of the value; share: in [0, 1]")


class Drop(Record):
    """One measure against the baseline's on the same examples: positive is worse, whichever way is better."""

    drop: float | None = Field(description="null: it has no meaning on these examples")
    ci95: Interval | None = Field(None, description="paired 95% interval of the drop")


class TaskRecord(Record):
    """The task that says what the outputs mean."""

    name: str
    measures: tuple[Measure, ...] = Field(description="what it measures, the headline first")

    @classmethod
    def of(cls, name: str, task: Task | type[Task]) -> TaskRecord:
        """A task as records hold it, every measure with the name and title of its change."""
        return cls(name=name, measures=tuple(_with_change(measure) for measure in task.measures))

    def measure(self, name: str) -> Measure | None:
        """The measure of this name."""
        return next((measure for measure in self.measures if measure.name == name), None)

    def scores(self, figures: Mapping[str, Figure]) -> dict[str, Score]:
        """What a task measured, in the order of its measures."""
        return {
            measure.name: Score(
                value=figures[measure.name].value,
                ci95=figures[measure.name].ci95,
                better=measure.better,
                unit=measure.unit,
            )
            for measure in self.measures
            if measure.name in figures
        }

    def drops(self, figures: Mapping[str, Figure]) -> dict[str, Drop]:
        """What a task compared, in the order of its measures."""
        return {
            measure.name: Drop(drop=figures[measure.name].value, ci95=figures[measure.name].ci95)
            for measure in self.measures
            if measure.name in figures
        }


def _with_change(measure: Measure) -> Measure:
    word = "drop" if measure.better == "higher" else "rise"
    title = measure.change_title or f"{measure.title} {word}"
    return replace(measure, change=measure.change_name, change_title=title)


class Quality(NamedTuple):
    """How well a model answers, in the headline measure; `value`: higher is better."""

    name: str
    value: float
    text: str
    interval: Interval | None


def quality(measured: BaseModel | Mapping[str, Any] | None, task: TaskRecord | None = None) -> Quality | None:
    """The first measure of the task that has a value; None where nothing is known.

    Args:
        measured: Measurements, or what they are as JSON.
        task: where titles come from; None: a measure is called by its name.
    """
    content = measured.model_dump() if isinstance(measured, BaseModel) else old.measurements(measured or {}, {})
    for name, score in content["quality"].items():
        if score["value"] is None:
            continue
        measure = (task.measure(name) if task else None) or old.measure(name)
        if measure is None:
            measure = Measure(name, name, score["better"], "", unit=score["unit"])
        sign = 1 if score["better"] == "higher" else -1
        return Quality(measure.title, sign * score["value"], measure.text(score["value"]), score["ci95"])
    return None
