"""The frozen recipe: what a user wrote, validated whole. Imports neither torch nor Hydra."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from edgepipe.base.suggest import did_you_mean
from edgepipe.base.text import holds_password
from edgepipe.contract import DataSource, Pass
from edgepipe.contract.settings import PathText, Settings
from edgepipe.contract.target import Budget, Target
from edgepipe.data.settings import PixelSettings
from edgepipe.errors import RecipeError
from edgepipe.measure.settings import MeasureSettings
from edgepipe.passes.lower import Lower
from edgepipe.plugins import entries, find
from edgepipe.recipe.goals import (
    Goal,
    Named,
    canonical,
    goal_of,
    kind_of_task,
    named_tolerances,
    problem,
    tolerance,
    unknown_goal,
)
from edgepipe.records.metrics import Tolerance
from edgepipe.verify.settings import AGREEMENT, EXAMPLES

_FROZEN = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


PARTS = {"model": "sources", "data": "data"}
"""Parts of a recipe that name a source, each with the registry's group of it."""


class Step(BaseModel):
    """One label of the recipe: the name of a pass and its settings."""

    model_config = _FROZEN

    name: str
    settings: Pass


class Model(BaseModel):
    """Where the network comes from: the source's name and its settings."""

    model_config = _FROZEN

    source: str
    settings: Any


class Data(BaseModel):
    """Where the examples come from: the source's name and its settings."""

    model_config = _FROZEN

    source: str
    settings: DataSource


class StoreSettings(Settings):
    """Where finished steps are kept."""

    root: PathText = Field(
        "outputs/.store", min_length=1, description="folder of the store; may be shared between projects"
    )


class Tracking(Settings):
    """Where finished runs are logged, beside their folder."""

    backend: Literal["mlflow"] = "mlflow"
    uri: str | None = Field(
        None,
        description="a server (http://HOST:5000) or a database (sqlite:///FILE); null: $MLFLOW_TRACKING_URI, "
        "else sqlite:///outputs/mlflow.db",
    )
    experiment: str = Field("edgepipe", min_length=1, description="experiment that the runs belong to")
    log_model: bool = Field(True, description="log final/ as well: what to deploy")

    @field_validator("uri")
    @classmethod
    def _a_place_without_a_password(cls, uri: str | None) -> str | None:
        if uri is None:
            return uri
        if re.match(r"[a-z][a-z0-9+.-]*://.", uri) is None or uri.startswith("file:"):
            raise ValueError("MLflow keeps runs on a server or in a database: http://HOST:5000 or sqlite:///FILE")
        if holds_password(uri):
            raise ValueError(
                "a password or token would be written into every run's files: leave it out and set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_TOKEN, or the whole address as "
                "MLFLOW_TRACKING_URI"
            )
        return uri


def _inner(error: ValidationError, kind_of_settings: type[BaseModel]) -> ValidationError:
    """The inner model's problems as line errors, which pydantic then prefixes with the outer location."""
    details = []
    for line in error.errors():
        place = tuple(part for part in line["loc"])
        if line["type"] == "extra_forbidden":
            hint = did_you_mean(str(place[-1]), _fields_at([str(part) for part in place[:-1]], kind_of_settings))
            kind = PydanticCustomError("unknown_key", "{text}", {"text": f"unknown key.{hint}"})
            details.append(InitErrorDetails(type=kind, loc=place, input=line["input"]))
        else:
            text = "missing" if line["type"] == "missing" else line["msg"]
            kind = PydanticCustomError("bad_value", "{text}", {"text": text})
            details.append(InitErrorDetails(type=kind, loc=place, input=line["input"]))
    return ValidationError.from_exception_data("recipe", details)


def _build(kind: Any, value: Mapping[str, Any]) -> Any:
    try:
        return kind.model_validate(dict(value))
    except ValidationError as error:
        raise _inner(error, kind) from None


def _refuse(key: str, text: str, value: object) -> ValidationError:
    return ValidationError.from_exception_data("recipe", [problem(key, text, value)])


def _build_step(value: Any) -> Any:
    if isinstance(value, Step):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"a step is a mapping with `pass: NAME` and the pass's settings; found {value!r}")
    name = value.get("pass")
    if not isinstance(name, str):
        raise _refuse("pass", "missing: every step names its pass, as in `pass: quantize_static`", value)
    try:
        kind = find("passes", name)
    except RecipeError as error:
        raise _refuse("pass", str(error), name) from None
    return Step(name=name, settings=_build(kind, {key: item for key, item in value.items() if key != "pass"}))


def _build_source(what: str, wrapper: type[Model] | type[Data], value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, wrapper):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"`{what}` is a mapping with `source: NAME` and its settings; found {value!r}")
    try:
        kind = find(PARTS[what], value.get("source"))
    except RecipeError as error:
        raise _refuse("source", str(error), value.get("source")) from None
    inner = {key: item for key, item in value.items() if key != "source"}
    if "trust_code" in kind.model_fields:
        if "trust_code" in inner:
            raise _refuse("trust_code", "pass it on the command line: trust_code=true", inner["trust_code"])
        inner["trust_code"] = bool(info.data.get("trust_code", False))
    return wrapper(source=str(value["source"]), settings=_build(kind, inner))


def _model(value: Any, info: ValidationInfo) -> Any:
    return _build_source("model", Model, value, info)


def _data(value: Any, info: ValidationInfo) -> Any:
    return _build_source("data", Data, value, info)


def _known(target: Target, name: str) -> bool:
    """Whether a budget can be judged: measured here or in the browser, or estimated from the profile's facts."""
    if name in ("storage_mb", "memory_mb") or (name == "latency_ms" and target.name == "host"):
        return True
    facts = (target.clock_ghz, target.int8_macs_per_cycle, target.float32_macs_per_cycle, target.share_of_peak)
    timed = (target.verify is not None and find("places", target.verify).timed) or all(
        fact is not None for fact in facts
    )
    return timed and (name == "latency_ms" or target.active_watts is not None)


def _task(value: Any) -> Any:
    if value is None or isinstance(value, Named):
        return value
    name, said = (value.get("name"), {**value}) if isinstance(value, Mapping) else (value, {})
    said.pop("name", None)
    if not isinstance(name, str):
        raise ValueError(
            "a task is a name, as in task=multilabel, or a mapping with `name` and its settings, as in "
            "task.name=multilabel task.threshold=0.4"
        )
    try:
        kind = find("tasks", name)
    except RecipeError as error:
        raise ValueError(str(error)) from None
    return Named(name=name, settings=_build(kind, said))


def _goal(value: Any, info: ValidationInfo) -> Any:
    """Costs, and what the recipe's task measures; of any task where the recipe leaves it open."""
    if value is None or isinstance(value, Goal):
        return Goal() if value is None else value
    if not isinstance(value, Mapping):
        raise ValueError(f"`goal` is a mapping, as in {{times_smaller: 2}}; found {value!r}")
    name, task = kind_of_task(info)
    said = {str(key): item for key, item in value.items()}
    if said.keys() <= Goal.model_fields.keys():
        return _build(Goal, said)
    said, kind = canonical(said, task), goal_of(task)
    known, any_task = kind.model_fields, goal_of(None).model_fields
    said = {key: item for key, item in said.items() if item is not None or key in known or key not in any_task}
    problems = [problem(key, unknown_goal(key, name, known), said[key]) for key in said if key not in known]
    try:
        found = _build(kind, {key: item for key, item in said.items() if key in known})
    except ValidationError as error:
        problems += [problem(".".join(map(str, each["loc"])), each["msg"], each["input"]) for each in error.errors()]
    if problems:
        raise ValidationError.from_exception_data("recipe", problems)
    return found


def _verify_target(value: Any) -> Any:
    known = entries("places")
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"no target of verification: {value!r}.{did_you_mean(str(value), known)}")
    return value


class Recipe(Settings):
    """A whole recipe. Field order matters: `trust_code` is read while `model` is built."""

    model_config = _FROZEN

    name: str = Field(description="file name of the recipe, without .yaml")
    description: str = Field("", description="one sentence for `list recipes`")
    trust_code: bool = Field(False, description="allow model=python and data=python to run the user's own code")
    seed: int = Field(0, ge=0, lt=2**32, description="seed of every random choice")
    task: Annotated[Named | None, BeforeValidator(_task)] = Field(
        None, description="a task's name, or a mapping {name: NAME} with its settings; null: labels and outputs say it"
    )
    model: Annotated[Model, BeforeValidator(_model)]
    data: Annotated[Data, BeforeValidator(_data)]
    target: Target = Target()
    passes: dict[str, Annotated[Step, BeforeValidator(_build_step)]] = Field(default_factory=dict)
    baseline: str | None = Field(None, description="step that compression starts from; null: the loaded model")
    lowering: Lower = Field(default_factory=Lower, description="how torch models become ONNX")
    measure: MeasureSettings = MeasureSettings()
    goal: Annotated[SerializeAsAny[Goal], BeforeValidator(_goal)] = Goal()
    verify: Annotated[
        tuple[Annotated[str, BeforeValidator(_verify_target)], ...],
        BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    ] = Field((), description="run the deployed file there too: `edgepipe list places` shows where")
    verify_examples: int = Field(EXAMPLES, ge=1, description="evaluation examples that `verify` runs, at most")
    verify_agreement: float = Field(
        AGREEMENT, ge=0, le=1, description="share of them that must be answered as on this machine"
    )
    require_verify: bool = Field(False, description="a target that this machine lacks the means for has failed")
    store: StoreSettings = StoreSettings()
    tracking: Tracking | None = Field(None, description="null: runs are logged nowhere but in their folder")
    tolerances: Annotated[
        dict[str, Annotated[Tolerance, BeforeValidator(tolerance)]], BeforeValidator(named_tolerances)
    ] = Field(
        {}, description="how far `check` lets a metric be worse than its baseline; before the baseline file's own"
    )

    @property
    def task_name(self) -> str | None:
        """Name of the task; None: labels and outputs say it."""
        return None if self.task is None else self.task.name

    @property
    def goals(self) -> dict[str, float]:
        """What must be reached: the target's budget, then the recipe's own goal."""
        return {**self.target.budget.model_dump(exclude_none=True), **self.goal.model_dump(exclude_none=True)}

    @model_validator(mode="after")
    def _target_can_be_verified(self) -> Recipe:
        if self.target.verify is not None and self.target.verify not in entries("places"):
            known = did_you_mean(self.target.verify, entries("places"))
            text = f"target.verify: no target of verification.{known}"
            raise PydanticCustomError("baseline", "{text}", {"text": text})
        return self

    @model_validator(mode="after")
    def _budgets_can_be_judged(self) -> Recipe:
        for name in Budget.model_fields:
            if name in self.goals and not _known(self.target, name):
                text = (
                    f"goal.{name}: the target '{self.target.name}' states no facts to estimate it from: choose a "
                    "profile that does, as in target=raspberry_pi_5, or take the goal out"
                )
                raise PydanticCustomError("baseline", "{text}", {"text": text})
        return self

    @model_validator(mode="after")
    def _baseline_is_a_step(self) -> Recipe:
        if self.baseline is not None and self.baseline not in self.passes:
            hint = did_you_mean(self.baseline, self.passes)
            raise PydanticCustomError(
                "baseline", "{text}", {"text": f"baseline: names no step of `passes`: '{self.baseline}'.{hint}"}
            )
        return self


def problems_of(error: ValidationError) -> list[tuple[str, str, Any]]:
    """(dotted key, sentence, value found) of every problem of a recipe."""
    found: dict[str, tuple[str, Any]] = {}
    for line in error.errors():
        place = [str(part) for part in line["loc"]]
        # Of a setting that may be one thing or another, pydantic says which it tried: no key of the recipe.
        tried = next((at for at, part in enumerate(place) if _TRIED.match(part)), len(place))
        alternative, place = tried < len(place), place[:tried]
        key = ".".join(place)
        text = line["msg"]
        if line["type"] == "extra_forbidden":
            text = f"unknown key.{did_you_mean(place[-1], _fields_at(place[:-1]))}"
        elif line["type"] == "missing":
            text = "missing"
        elif line["type"] == "baseline":
            key, _, text = text.partition(": ")
        text = text.removeprefix("Value error, ").replace("a valid tuple", "a list, as in [1,2]")
        text = re.sub(r"a valid dictionary or instance of \w+", "a mapping", text)
        if alternative and key in found:
            before, value = found[key]
            found[key] = f"{before}, or: {text}", value
        else:
            while key in found:
                key += " "  # two problems of one key
            found[key] = text, line["input"]
    return [(key.rstrip(), text, value) for key, (text, value) in found.items()]


_TRIED = re.compile(r"(constrained-\w+|literal\[.*|tuple\[.*|list\[.*|dict\[.*|function-\w+.*|int|float|str|bool)$")


def _fields_at(place: list[str], kind: Any = None) -> list[str]:
    """Names of the settings at a place of the recipe, or of the settings `kind`."""
    kind = kind or Recipe
    for part in place:
        field = kind.model_fields.get(part)
        kinds = [] if field is None else [field.annotation, *get_args(field.annotation)]
        kind = next((item for item in kinds if isinstance(item, type) and issubclass(item, BaseModel)), None)
        if kind is None:
            return []
    return [name for name in kind.model_fields if kind is not Recipe or name != "name"]


def validate(content: Mapping[str, Any]) -> Recipe:
    """Build the recipe from plain YAML content.

    Raises:
        ValidationError: with every problem at once; see `problems_of`.
    """
    return Recipe.model_validate(dict(content))


def with_pixels(recipe: Recipe) -> Recipe:
    """The recipe, its pictures given as whole numbers where the model takes such: preprocessing follows the model."""
    settings = recipe.data.settings
    if not isinstance(settings, PixelSettings) or not recipe.model.settings.takes_pixels():
        return recipe
    data = recipe.data.model_copy(update={"settings": settings.as_pixels()})
    return recipe.model_copy(update={"data": data})
