"""What every part of a recipe has in common: frozen, without unknown keys, and no flag where a number belongs."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


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


def _alternatives(annotation: Any) -> Iterator[Any]:
    """What a value may be: the members of a union, without their constraints."""
    if get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _alternatives(member)
    elif get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    else:
        yield annotation
