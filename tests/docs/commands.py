"""Reference pages of the command line, of metrics.json, of errors, and of what Python code may use."""

from __future__ import annotations

import argparse
import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import edgepipe.contract
import edgepipe.testing
from edgepipe import errors, pytest_plugin
from edgepipe.cli.described import code
from edgepipe.cli.verbs import HELP, VERBS, WITHOUT_OPTIONS, verb
from edgepipe.records.metrics import Metrics
from edgepipe.report.terminal import Arguments
from tests.docs.contracts import GIVEN

SUB_VERBS = {"store": ("ls", "verify", "gc")}


def commands_page() -> str:
    """Every verb with its options, from the parsers themselves."""
    lines = ["# Command line", "", "```text", HELP.rstrip(), "```", ""]
    lines += [
        "`edgepipe` and `python -m edgepipe` are the same. What begins with `KEY=VALUE` runs a recipe; every value of",
        "a recipe can be changed so: `passes.prune.ratio=0.5`; `~passes.recover` takes a key out, `+goal.alike=0.99`",
        "adds one.",
        "",
    ]
    for name in VERBS:
        for words in [(name, sub) for sub in SUB_VERBS.get(name, ())] or [(name,)]:
            lines += [f"## edgepipe {' '.join(words)}", "", *_verb(*words), ""]
    return "\n".join(lines).rstrip() + "\n"


def _verb(name: str, *more: str) -> list[str]:
    if name in WITHOUT_OPTIONS:
        return [_told(verb(name)), "", "It has no options of its own."]
    parser = _parser(name, *more)
    lines = [parser.description or _told(verb(name)), "", "| argument | what it is | default |", "|:---|:---|:---|"]
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        default = "" if action.default in (None, False, []) or not action.option_strings else f"`{action.default}`"
        if action.required and action.nargs != "*":
            default = "**required**"
        lines.append(f"| {code(_written(action))} | {_cell(action.help or '')} | {default} |")
    return lines


def _written(action: argparse.Action) -> str:
    """An argument as it is typed."""
    value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    if not action.option_strings:
        return f"{value} …" if action.nargs in ("*", "+") else str(value)
    return action.option_strings[-1] + ("" if action.nargs == 0 else f" {value}")


def _parser(name: str, *more: str) -> Arguments:
    """The parser that a verb makes; the verb ends where it would read its arguments."""
    found: list[Arguments] = []

    def read(self: Arguments, argv: list[str], *, mixed: bool = False) -> None:
        del argv, mixed
        found.append(self)

    with mock.patch.object(Arguments, "read", read):
        verb(name)([*more, "--help"])
    return found[0]


def metrics_page() -> str:
    """Every record of metrics.json, from its schema."""
    schema = Metrics.model_json_schema()
    lines = [
        "# metrics.json",
        "",
        "Every run writes `metrics.json`; report, sweep page, gate and tracking read nothing else. `edgepipe schema`",
        "prints this as JSON Schema. `task` names the task with its measures, their direction, unit and tolerance, so",
        "that nobody who reads it needs edgepipe. Fields marked as deprecated are written for one more version; files",
        "of schema 1, and baselines made from them, are read as ever.",
        "",
    ]
    for name, record in [("The whole file", schema), *sorted(schema["$defs"].items())]:
        lines += [f"## {name}", "", _first(record.get("description", "")), ""]
        rows = [_field(key, value, record.get("required", [])) for key, value in record.get("properties", {}).items()]
        lines += ["| key | type | what it is |", "|:---|:---|:---|", *rows, ""] if rows else []
    return "\n".join(lines).rstrip() + "\n"


def _field(key: str, value: dict[str, Any], required: list[str]) -> str:
    told = ("deprecated: " if value.get("deprecated") and "deprecated" not in value.get("description", "") else "") + (
        value.get("description") or ""
    )
    return f"| `{key}` | {_cell(_type(value))}{'' if key in required else ', optional'} | {_cell(told)} |"


def _type(value: dict[str, Any]) -> str:
    """A JSON type in words, with links to the records of this page."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in value:
            return " or ".join(dict.fromkeys(_type(item) for item in value[key]))
    if "enum" in value or "const" in value:
        return " or ".join(f"`{item}`" for item in value.get("enum", [value.get("const")]))
    kind = value.get("type", "any")
    if kind == "array":
        items = value.get("items") or next(iter(value.get("prefixItems", [{}])))
        return f"list of {_type(items)}"
    if kind == "object" and isinstance(value.get("additionalProperties"), dict):
        return f"map to {_type(value['additionalProperties'])}"
    return str(kind)


def errors_page() -> str:
    """Exit codes, and every error that a user can meet."""
    lines = [
        "# Errors and exit codes",
        "",
        "| exit code | what it says |",
        "|---:|:---|",
        "| 0 | good |",
        "| 1 | a pass, a goal or a check failed |",
        "| 2 | the recipe, the command line, or what they name cannot be used |",
        "| 129, 130, 143 | ended by SIGHUP, Ctrl-C, SIGTERM |",
        "",
        "A message says where (file and key), what was found and what to do about it. A traceback is never shown for",
        "what a user can mend; `EDGEPIPE_DEBUG=1` shows the one of an internal error, for a bug report.",
        "",
        "In Python each is a class of `edgepipe.errors`:",
        "",
        "| error | is a | exit code | when |",
        "|:---|:---|---:|:---|",
    ]
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.EdgepipeError)]
    for kind in kinds:
        parents = ", ".join(f"`{base.__name__}`" for base in kind.__bases__)
        lines.append(f"| `{kind.__name__}` | {parents} | {kind.exit_code} | {_first(kind.__doc__ or '')} |")
    return "\n".join(lines) + "\n"


def python_page() -> str:
    """What other code may import, with what it says of itself."""
    lines = [
        "# Python API",
        "",
        "What is listed here is kept stable as [CHANGELOG and deprecations](../explanation/compatibility.md) say.",
        "",
    ]
    if hasattr(edgepipe, "__all__"):
        lines += ["## edgepipe", "", "| name | what it is |", "|:---|:---|", *_names(edgepipe), ""]
    lines += ["## edgepipe.contract", "", "What a pass, task, source, format or place subclasses and is given.", ""]
    lines += ["| name | what it is |", "|:---|:---|", *_names(edgepipe.contract), ""]
    lines += [
        "## edgepipe.testing",
        "",
        _first(edgepipe.testing.__doc__ or ""),
        "",
        "| name | what it is |",
        "|:---|:---|",
    ]
    lines += [*_names(edgepipe.testing), ""]
    lines += ["## edgepipe.errors", "", "See [errors and exit codes](errors.md).", ""]
    lines += ["## Pytest", "", "The fixture `edgepipe_run` comes with the package.", "", *_fixture(), ""]
    lines += [
        "## Reading a run",
        "",
        "`edgepipe.records.metrics.read_metrics(folder)` gives a [Metrics](metrics.md) record.",
        "",
    ]
    lines += ["```python", "from pathlib import Path", "", "from edgepipe.records.metrics import read_metrics", ""]
    lines += [
        'metrics = read_metrics(Path("outputs/RECIPE/DATE_TIME"))',
        "print(metrics.versus_baseline.times_faster)",
        "```",
    ]
    return "\n".join(lines) + "\n"


def _fixture() -> Iterator[str]:
    yield from inspect.getdoc(pytest_plugin.edgepipe_run).splitlines()  # type: ignore[union-attr]


def _names(module: Any) -> Iterator[str]:
    for name in module.__all__:
        found = getattr(module, name)
        classes = inspect.isclass(found) or inspect.isfunction(found)
        told = _first(inspect.getdoc(found) or "") if classes else _alias(module, name)
        link = f"[`{name}`](contracts.md#{name.lower()})" if name in (*GIVEN, *_NOUNS) else f"`{name}`"
        yield f"| {link} | {_cell(told)} |"


def _alias(package: Any, name: str) -> str:
    """What stands below the assignment of a name in a package's modules, else what is assigned."""
    for path in sorted(Path(package.__file__).parent.glob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for node, after in zip(body, [*body[1:], None], strict=True):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
                told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                return _first(str(after.value.value)) if told else f"`{ast.unparse(node.value)}`"  # type: ignore[union-attr]
    return ""


_NOUNS = ("Pass", "Task", "DataSource", "ModelSource", "Format", "Place")


def _told(function: Any) -> str:
    return _first(inspect.getdoc(function) or "")


def _first(text: str) -> str:
    """The first paragraph, on one line."""
    return " ".join(text.strip().split("\n\n")[0].split())


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


INDEX = """# Reference

Written from the source: what stands here is what this version does, and a test fails where it differs.

| page | what it holds |
|:---|:---|
| [Command line](commands.md) | every verb and its options |
| [Recipe](recipe.md) | every key of a recipe, goals among them |
| [Passes](passes/index.md) | steps of a recipe, with settings, defaults and papers |
| [Tasks](tasks/index.md) | what outputs mean; measures and goals |
| [Data sources](data/index.md), [model sources](models/index.md) | what comes in |
| [Formats](formats/index.md), [places](places/index.md) | what goes out, and where it is proven |
| [Recipes that ship](recipes.md), [targets](targets.md) | YAML to run and to copy |
| [metrics.json](metrics.md) | what a run writes down |
| [Errors and exit codes](errors.md) | what a message and a code mean |
| [Contracts](contracts.md), [Python API](python-api.md) | what code of your own subclasses and calls |
| [Compatibility](../explanation/compatibility.md) | what stays as it is, and how something is taken away |
"""
