"""What every kit does: make what is checked, call its methods, and say in a sentence what is broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import ValidationError

from edgepipe.engine.checks import not_json
from edgepipe.errors import EdgepipeError
from edgepipe.plugins import NOUNS

Value = TypeVar("Value")


class Broken(AssertionError):
    """A broken promise of a contract; the sentence begins with `CLASS.method`."""


def must(kept: object, where: str, sentence: str) -> None:
    """Raise `Broken` unless a promise is kept.

    Args:
        where: `CLASS.method`.
    """
    if not kept:
        raise Broken(f"{where}: {sentence}")


def call(where: str, method: Callable[..., Value], *given: Any, **named: Any) -> Value:
    """What a method returns; an exception is a broken promise of the method."""
    try:
        return method(*given, **named)
    except Broken:
        raise
    except Exception as error:
        raise Broken(f"{where}: raised {type(error).__name__}: {error}") from error


def complete(where: str, given: Any, contract: Any) -> None:
    """What a noun gives must have all of a protocol, of which nothing is inherited and so nothing else asks."""
    for name in (*contract.__annotations__, *vars(contract)):
        if not name.startswith("_") and not hasattr(given, name):
            kind = type(given).__name__
            raise Broken(f"{kind}.{name}: is not defined, and `{where}` must give what has all of {contract.__name__}")


def refuses(where: str, kind: type[EdgepipeError], what: str, method: Callable[..., Any], *given: Any) -> None:
    """A method must refuse something with an error for people."""
    try:
        method(*given)
    except kind:
        return
    except Exception as error:
        raise Broken(
            f"{where}: {what} ends in {type(error).__name__} ({error}), which a user reads as a crash: raise "
            f"edgepipe.errors.{kind.__name__} with what was found and what to do"
        ) from error
    raise Broken(f"{where}: takes {what}: raise edgepipe.errors.{kind.__name__} with what was found and what to do")


def made(what: Any, base: Any) -> Any:
    """An instance of what is checked: whole, described, and one whose settings survive a recipe.

    Raises:
        Broken: it is none of its noun, lacks methods or attributes, or has settings that JSON cannot hold.
    """
    kind: Any = what if isinstance(what, type) else type(what)
    noun = next(noun for noun in NOUNS.values() if noun.base is base)
    name = kind.__name__
    must(issubclass(kind, base), name, f"is no subclass of edgepipe.contract.{base.__name__}")
    for method in sorted(getattr(kind, "__abstractmethods__", ())):
        raise Broken(f"{name}.{method}: is not defined, and every {noun.word} has it")
    for attribute in noun.declares:
        must(hasattr(kind, attribute), f"{name}.{attribute}", f"is not declared, and every {noun.word} has it")
    must((kind.__doc__ or "").strip(), name, "has no docstring; its first line is what `edgepipe list` shows")
    if isinstance(what, type):
        try:
            what = kind()
        except ValidationError as error:
            raise Broken(f"{name}: has settings that must be given: check an instance. {error}") from error
    fields = call(f"{name}.model_dump", what.model_dump, mode="json")
    again = call(f"{name}.model_validate", kind.model_validate, json.loads(json.dumps(fields)))
    must(again == what, f"{name}.model_dump", f"settings come back from JSON as others: {again!r}")
    for key, field in kind.model_fields.items():
        must(field.description, f"{name}.{key}", "has no Field(description=…), which `edgepipe list` shows")
    return what


def json_only(where: str, value: object) -> None:
    """What is recorded must be JSON."""
    for place, wrong in not_json(value, "it"):
        raise Broken(f"{where}: {place} is {wrong}, and only JSON values can be recorded")


def said(where: str, found: object, fields: Any) -> None:
    """What `problems` and `misfits` give must be (setting, sentence) pairs."""
    must(isinstance(found, list), where, f"returned {found!r}, and a list of (setting, sentence) is wanted")
    assert isinstance(found, list)
    for item in found:
        must(
            isinstance(item, tuple) and len(item) == 2 and all(isinstance(text, str) for text in item),
            where,
            f"returned {item!r}, and (setting, sentence) is wanted",
        )
        must(item[0].split(".")[0] in fields, where, f"speaks of a setting '{item[0]}', and there is none")
