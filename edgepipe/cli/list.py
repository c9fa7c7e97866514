"""`edgepipe list passes|recipes|models|data|targets [NAME]`: what there is, and its settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel
from rich.table import Table

from edgepipe.base.suggest import did_you_mean
from edgepipe.errors import RecipeError
from edgepipe.plugins import DATA, MODELS, pass_class, pass_names, source_class
from edgepipe.recipe.files import read_yaml
from edgepipe.report.terminal import wide_console

Listed = TypeVar("Listed")


def main_list(argv: list[str]) -> int:
    """`edgepipe list passes|recipes|models|data|targets [NAME]`."""
    whats = ("passes", "recipes", "models", "data", "targets")
    if not argv or argv[0] not in whats:
        found = f"'{argv[0]}' is unknown.{did_you_mean(argv[0], whats)}" if argv else "say what to list."
        raise RecipeError(f"command line: list: {found} One of: {', '.join(whats)}")
    console = wide_console()
    what = argv[0]
    if what in ("recipes", "targets"):
        import yaml

        from edgepipe.recipe.lookup import group_options, recipe_names

        table = Table(box=None, padding=(0, 2), show_header=False)
        paths = recipe_names() if what == "recipes" else group_options("target")
        for name, path in sorted(_only(what, paths, argv[1:]).items()):
            try:
                content = read_yaml(path)
            except (OSError, ValueError, yaml.YAMLError):
                content = None
            described = isinstance(content, dict)
            table.add_row(name, str(content.get("description", "")) if described else f"not a recipe: {path}")
            if what == "targets" and argv[1:] and described:
                for row in _facts(content):
                    table.add_row(*row)
        console.print(table)
        return 0
    classes = _only(what, _named_classes(what), argv[1:])
    for name, kind in classes.items():
        kinds = f"  [{kind.reads} -> {kind.writes}]" if what == "passes" else ""  # type: ignore[attr-defined]
        console.print(f"{name}{kinds}  {_first_line(kind.__doc__)}", markup=False, style="bold")
        console.print(_settings_table(kind))
    if what == "models":
        from edgepipe.recipe.lookup import group_options

        console.print(
            f"shortcuts: {', '.join(f'model={name}' for name in sorted(group_options('model')))}", markup=False
        )
    return 0


def _named_classes(what: str) -> dict[str, type[BaseModel]]:
    if what == "passes":
        return {name: pass_class(name) for name in sorted(pass_names())}
    names = MODELS if what == "models" else DATA
    return {name: source_class(what.removesuffix("s"), name) for name in sorted(names)}


def _only(what: str, known: Mapping[str, Listed], wanted: Sequence[str]) -> dict[str, Listed]:
    """Those that are asked for; all if none is."""
    for name in wanted:
        if name not in known:
            raise RecipeError(f"command line: list {what}: unknown '{name}'.{did_you_mean(name, known)}")
    return {name: known[name] for name in wanted or known}


def _settings_table(kind: type[BaseModel]) -> Table:
    table = Table(box=None, padding=(0, 2), show_header=False)
    for name, field in kind.model_fields.items():
        if name == "trust_code":
            continue
        annotation = str(field.annotation) if "[" in str(field.annotation) or "|" in str(field.annotation) else None
        kind_name = (annotation or _type_name(field.annotation)).replace("typing.", "").replace("None", "null")
        default = (
            "required" if field.is_required() else json.dumps(field.get_default(call_default_factory=True), default=str)
        )
        table.add_row(f"  {name}", kind_name, default, field.description or "", style=None)
    return table


def _type_name(annotation: Any) -> str:
    return getattr(annotation, "__name__", None) or str(annotation).replace("typing.", "").replace("NoneType", "null")


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _facts(target: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(name, value, source) of what a target states."""
    for name, fact in target.items():
        for each in fact if isinstance(fact, list) else [fact]:
            if isinstance(each, dict) and "source" in each:
                yield f"  {name}", _plain(each.get("value")), str(each["source"])
            elif isinstance(each, dict):
                yield from ((f"  {name}.{key}", _plain(value), "") for key, value in each.items())
            elif name not in ("name", "description"):
                yield f"  {name}", _plain(each), ""


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
