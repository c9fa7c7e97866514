"""What every part of a recipe has in common: frozen, no unknown keys, no flag where a number belongs, `~` is home."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class PathMark:
    """Marks a setting that names a file or folder in text; one of type `Path` needs no mark."""


PathText = Annotated[str, PathMark]


def at_home(text: str) -> str:
    """A path whose leading `~` or `~user` is written out; as it is where there is no such user."""
    return os.path.expanduser(text)  # noqa: PTH111  Path.expanduser raises where this keeps the text


_AT_MOST: dict[str, float] = {
    "seed": 2**32 - 1,
    "epochs": 100_000,
    "patience": 100_000,
    "batch_size": 65_536,
    "batch": 65_536,
    "num_classes": 100_000,
    "round_to": 65_536,
    "threads": 4_096,
    "lr": 1_000,
    "weight_decay": 1_000,
    "temperature": 1e6,
}
"""What no run could use, by the name of the setting; any other number ends at `_ANY_AT_MOST`."""
_ANY_AT_MOST = 1e15


class Settings(BaseModel):
    """Base class of a recipe's parts."""

    # A class keyword (`class P(Settings, frozen=True)`) would break mypy --strict in subclasses.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_flag_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Python counts `true` as 1; in a recipe it is a mistake."""
        kinds = set(_alternatives(cls.model_fields[info.field_name or ""].annotation))
        if isinstance(value, bool) and {int, float} & kinds and bool not in kinds:
            raise ValueError("a number is wanted")
        return value

    @field_validator("*")
    @classmethod
    def _within_reason(cls, value: Any, info: ValidationInfo) -> Any:
        """A million classes or a rate of 1e300 is a slip, and would end a run late and in other words."""
        most = _AT_MOST.get(info.field_name or "", _ANY_AT_MOST)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) > most:
            raise ValueError(f"beyond reason: at most {most:,.0f}")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _tilde_is_home(cls, value: Any, info: ValidationInfo) -> Any:
        """No shell expands the `~` of `data.root=~/pictures`, and none reads a recipe's file."""
        if not isinstance(value, (str, Path)) or not str(value).startswith("~"):
            return value
        field = cls.model_fields[info.field_name or ""]
        return at_home(str(value)) if PathMark in field.metadata or _is_place(field.annotation) else value


def _is_place(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return PathMark in get_args(annotation) or _is_place(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return any(_is_place(member) for member in get_args(annotation))
    return annotation is Path


def _alternatives(annotation: Any) -> Iterator[Any]:
    """What a value may be: the members of a union, without their constraints."""
    if get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _alternatives(member)
    elif get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    else:
        yield annotation
