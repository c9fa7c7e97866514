"""`edgepipe list WHAT [NAME]`: what there is of each noun, of recipes and targets, with its settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from edgepipe.base.importable import importable
from edgepipe.base.suggest import did_you_mean
from edgepipe.cli.described import Setting, described
from edgepipe.contract import Format, Place
from edgepipe.errors import RecipeError
from edgepipe.plugins import entries, find
from edgepipe.recipe.files import read_yaml
from edgepipe.report.terminal import wide_console

Listed = TypeVar("Listed")

GROUPS = {
    "passes": "passes",
    "tasks": "tasks",
    "data": "data",
    "models": "sources",
    "formats": "formats",
    "places": "places",
}
"""What is listed of the registry, each with its group there."""
FILES = {"recipes": "recipes", "targets": "target"}


def main_list(argv: list[str]) -> int:
    """`edgepipe list passes|tasks|data|models|formats|places|recipes|targets [NAME]`."""
    whats = (*GROUPS, *FILES)
    if not argv or argv[0] not in whats:
        found = f"'{argv[0]}' is unknown.{did_you_mean(argv[0], whats)}" if argv else "say what to list."
        raise RecipeError(f"command line: list: {found} One of: {', '.join(whats)}")
    console = wide_console()
    what, *names = argv
    if what in FILES:
        _list_files(console, what, names)
        return 0
    for name in _only(what, entries(GROUPS[what]), names):
        _show(console, GROUPS[what], name, bool(names))
    if what == "models":
        from edgepipe.recipe.lookup import group_options

        shortcuts = ", ".join(f"model={name}" for name in sorted(group_options("model")))
        console.print(f"shortcuts: {shortcuts}", markup=False)
    return 0


def _list_files(console: Console, what: str, names: Sequence[str]) -> None:
    """Recipes or device profiles, a line each."""
    import yaml

    from edgepipe.recipe.lookup import group_options, recipe_names

    table = Table(box=None, padding=(0, 2), show_header=False)
    paths = recipe_names() if what == "recipes" else group_options(FILES[what])
    for name, path in sorted(_only(what, paths, names).items()):
        try:
            content = read_yaml(path)
        except (OSError, ValueError, yaml.YAMLError):
            content = None
        described = isinstance(content, dict)
        table.add_row(name, str(content.get("description", "")) if described else f"not a recipe: {path}")
        if what == "targets" and names and described:
            for row in _facts(content):
                table.add_row(*row)
    console.print(table)


def _show(console: Console, group: str, name: str, whole: bool) -> None:
    """A name with what it is, who brings it if not edgepipe, what it still needs, its settings.

    Args:
        whole: with all that its reference page says.
    """
    entry = entries(group)[name]
    owners = ", ".join(each.owner for each in (entry, *entry.rivals))
    whose = "" if owners == "edgepipe" else f"  ({owners})"
    try:
        kind = find(group, name)
    except RecipeError as error:  # somebody's broken package hides no other
        console.print(f"{name}{whose}", markup=False, style="bold")
        console.print(f"  {error}", markup=False)
        return
    it = described(name, kind)
    kinds = f"  [{it.kinds}]" if it.kinds else ""
    console.print(f"{name}{kinds}{whose}  {it.summary}", markup=False, style="bold")
    lacking = "; ".join(_lacking(kind))
    if lacking:
        console.print(f"  not installed here: {lacking}", markup=False)
    for text in (*it.text, *(f"{what}: {value}" for what, value in it.facts)) if whole else ():
        console.print(f"  {text}", markup=False)
    if whole and it.measures:
        table = Table(box=None, padding=(0, 2), show_header=False)
        for measure, what, better, change in it.measures:
            table.add_row(f"  {measure}", what, better, change)
        console.print(table)
    settings = [item for item in it.settings if whole or "." not in item.name]
    if settings:
        console.print(_settings_table(settings))


def _lacking(kind: type[Any]) -> Iterator[str]:
    """What a class needs and this machine lacks."""
    if issubclass(kind, Format):  # its needs say how to get them, too
        yield from (f"{module}: {how}" for module, how in kind.needs.items() if not importable(module))
        return
    for library in getattr(kind, "libraries", ()):
        try:
            metadata.version(library)
        except metadata.PackageNotFoundError:
            yield library
    if issubclass(kind, Place) and not any(field.is_required() for field in kind.model_fields.values()):
        lacking = kind().lacking()
        if lacking:
            yield lacking


def _only(what: str, known: Mapping[str, Listed], wanted: Sequence[str]) -> dict[str, Listed]:
    """Those that are asked for; all if none is."""
    for name in wanted:
        if name not in known:
            raise RecipeError(f"command line: list {what}: unknown '{name}'.{did_you_mean(name, known)}")
    return {name: known[name] for name in wanted or sorted(known)}


def _settings_table(settings: Sequence[Setting]) -> Table:
    table = Table(box=None, padding=(0, 2), show_header=False)
    for item in settings:
        table.add_row(f"  {item.name}", item.type, item.default, item.description, style=None)
    return table


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
