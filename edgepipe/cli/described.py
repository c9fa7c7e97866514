"""What `edgepipe list` and the reference pages say of one name: one record, shown in the terminal or as Markdown."""

from __future__ import annotations

import html
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edgepipe.contract import Format, ModelSource, Pass, Place, Task

FLAGS = {
    Pass: {"needs_teacher": "uses the recipe's baseline as a teacher", "timed": "its result depends on this machine"},
    Task: {"trains": "passes that train take it"},
    Format: {
        "fixed_shapes": "every axis must be a number: export.shapes gives those that have names",
        "exact": "an int8 file rounds as ONNX Runtime does",
    },
    Place: {"installs": "`edgepipe targets install` prepares it", "timed": "its milliseconds are real"},
}
"""Class attributes that a reader wants to know of where they are true."""
REQUIRED = "required"


@dataclass(frozen=True)
class Setting:
    """One setting; those of a nested part stand behind it, as `student.name`."""

    name: str
    type: str
    default: str
    description: str


@dataclass(frozen=True)
class Described:
    """A name of the registry in words.

    Attributes:
        summary: the first line of the docstring; `text`: the paragraphs behind it, a line each.
        kinds: of a pass, `onnx -> onnx`.
        facts: (what, value) of the class besides its settings.
        measures: of a task, (name, what, which way is better, change), the headline first.
    """

    name: str
    summary: str
    text: tuple[str, ...]
    kinds: str
    facts: tuple[tuple[str, str], ...]
    measures: tuple[tuple[str, str, str, str], ...]
    settings: tuple[Setting, ...]


def described(name: str, kind: type[Any]) -> Described:
    """All that is said of a class under a name."""
    summary, _, rest = inspect.cleandoc(kind.__doc__ or "").partition("\n")  # not its base's, as getdoc says
    return Described(
        name,
        summary.strip(),
        tuple(_paragraphs(rest)),
        f"{kind.reads} -> {kind.writes}" if issubclass(kind, Pass) else "",
        tuple(_facts(kind)),
        tuple(_measures(kind)) if issubclass(kind, Task) else (),
        tuple(settings_of(kind)),
    )


def markdown(it: Described, needs: str = "") -> str:
    """A reference page.

    Args:
        needs: how to install what it needs; "": nothing.
    """
    lines = [f"# {it.name}", "", it.summary, ""]
    for paragraph in it.text:
        lines += [re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[\g<0>](https://arxiv.org/abs/\1)", paragraph), ""]
    facts = [*([("Takes and gives", f"`{it.kinds}`")] if it.kinds else []), *it.facts]
    facts += [("Install", f"`{needs}`")] if needs else []
    lines += [f"- **{what}**: {value}" for what, value in facts]
    lines += [""] if facts else []
    if it.measures:
        lines += ["## Measures", "", "| measure | what it is | better | its change |", "|:---|:---|:---|:---|"]
        lines += [f"| `{name}` | {_cell(what)} | {better} | `{change}` |" for name, what, better, change in it.measures]
        lines += [""]
    if it.settings:
        lines += ["## Settings", "", *settings_table(it.settings), ""]
    return "\n".join(lines).rstrip() + "\n"


def settings_table(settings: Iterable[Setting]) -> Iterator[str]:
    """Settings as a Markdown table."""
    yield from ("| setting | type | default | what it does |", "|:---|:---|:---|:---|")
    for item in settings:
        default = "**required**" if item.default == REQUIRED else code(item.default)
        yield f"| `{item.name}` | {code(item.type)} | {default} | {_cell(item.description)} |"


def code(text: str) -> str:
    """A word of code in a cell: a bar would end the cell, and in backticks not every reader takes an escape."""
    return f"<code>{html.escape(text, quote=False).replace('|', '&#124;')}</code>" if "|" in text else f"`{text}`"


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs of a docstring; `Source:` begins one."""
    for part in re.split(r"\n\s*\n|\n(?=Sources?:)", text.strip()):
        words = " ".join(part.split())
        if words:
            yield words


def _facts(kind: type[Any]) -> Iterator[tuple[str, str]]:
    if issubclass(kind, Pass):
        for what, words in (
            ("Requires", kind.requires),
            ("Provides", kind.provides),
            ("Removes", kind.removes),
            ("Reads data", tuple(map(str, kind.data))),
        ):
            if words:
                yield what, ", ".join(words)
    if issubclass(kind, ModelSource):
        yield "Gives", f"an artifact of kind {kind.kind}"
    for base, flags in FLAGS.items():
        if issubclass(kind, base):
            yield from (("Note", said) for flag, said in flags.items() if getattr(kind, flag))


def _measures(kind: type[Task]) -> Iterator[tuple[str, str, str, str]]:
    for measure in kind.measures:
        yield measure.name, measure.description, measure.better, measure.change_name


def settings_of(kind: type[BaseModel], before: str = "") -> Iterator[Setting]:
    """Fields as people write them; those of a part stand behind it."""
    for name, field in kind.model_fields.items():
        if name == "trust_code":
            continue
        inner = _part(field.annotation)
        default = REQUIRED if field.is_required() else _default(field)
        yield Setting(before + name, type_name(field.annotation) + _limits(field), default, field.description or "")
        if inner is not None and not before:
            yield from settings_of(inner, f"{name}.")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return json.dumps(value, default=str)


def _part(annotation: Any) -> type[BaseModel] | None:
    """The settings that a setting holds, alone or where it is not null."""
    if get_origin(annotation) is Annotated:
        return _part(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return next((found for found in map(_part, get_args(annotation)) if found is not None), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def _limits(field: FieldInfo) -> str:
    """` (at least 0, below 1)`; nothing where there are no bounds."""
    metadata = list(field.metadata)
    annotation = field.annotation
    for member in get_args(annotation) if get_origin(annotation) in (Union, UnionType) else ():
        if get_origin(member) is Annotated:
            metadata += [each for item in get_args(member)[1:] for each in getattr(item, "metadata", [item])]
    found = [
        f"{word} {_figure(getattr(item, name))}"
        for item in metadata
        for name, word in _BOUNDS.items()
        if isinstance(getattr(item, name, None), (int, float))
    ]
    return f" ({', '.join(dict.fromkeys(found))})" if found else ""


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def type_name(annotation: Any) -> str:
    """The type of a setting as people write it: `int | null`, `dict[str, int]`; constraints are left out."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_name(inner[0])
    if origin in (Union, UnionType):
        return " | ".join(map(type_name, inner))
    if origin is Literal:
        return " | ".join(map(repr, inner)).replace("None", "null")
    if origin is not None:
        return f"{origin.__name__}[{', '.join(map(type_name, inner))}]"
    if annotation in (None, type(None)):
        return "null"
    return "..." if annotation is Ellipsis else getattr(annotation, "__name__", None) or str(annotation)


def needed(kind: type[Any]) -> tuple[str, ...]:
    """Distributions or modules that a class needs installed."""
    return tuple(kind.needs) if issubclass(kind, Format) else tuple(getattr(kind, "libraries", ()))


def extra_of(name: str, libraries: tuple[str, ...], extras: Mapping[str, tuple[str, ...]]) -> str:
    """The extra of edgepipe that brings what a name needs, the one of its own name first; "": all is always there."""
    wanted = set(map(_plain, libraries))
    bringing = [extra for extra, brought in extras.items() if extra == name or wanted & set(map(_plain, brought))]
    return name if name in bringing else next(iter(bringing), "")


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
