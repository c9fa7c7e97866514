"""Reference pages of names, recipes, targets and commands, from what `edgepipe` itself says of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from edgepipe.cli.described import described, extra_of, markdown, needed
from edgepipe.cli.list import GROUPS
from edgepipe.contract.target import Target
from edgepipe.plugins import NOUNS

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
ABOUT = {
    "passes": ("Passes", "A pass takes a model and gives a new one: the steps of a recipe."),
    "tasks": ("Tasks", "A task says what outputs mean, and how right they are. Its measures are goals, too."),
    "data": ("Data sources", "Where examples come from: `data=NAME`."),
    "models": ("Model sources", "Where a network comes from: `model=NAME`."),
    "formats": ("Formats", "Files for other runtimes: `passes.export.formats=[onnx,NAME]`."),
    "places": ("Places", "Where a deployed file is verified: `verify=[NAME]`."),
}


def noun_pages() -> Iterator[tuple[Path, str]]:
    """A page for each built-in name, and an index for each noun."""
    extras = extras_of(ROOT / "pyproject.toml")
    for what, group in GROUPS.items():
        title, about = ABOUT[what]
        word = f"`edgepipe list {what} NAME` prints the same text as its page."
        lines = [f"# {title}", "", f"{about} {word}", "", "| name | what it is |", "|:---|:---|"]
        for name in sorted(NOUNS[group].built_in):
            kind = class_of(group, name)
            extra = extra_of(name, needed(kind), extras)
            it = described(name, kind)
            yield REFERENCE / what / f"{name}.md", markdown(it, f"pip install 'edgepipe[{extra}]'" if extra else "")
            lines.append(f"| [`{name}`]({name}.md) | {it.summary} |")
        yield REFERENCE / what / "index.md", "\n".join(lines) + "\n"


def class_of(group: str, name: str) -> type[Any]:
    """A built-in class: other packages that are installed are no matter of the pages."""
    import importlib

    module, _, found = NOUNS[group].built_in[name].partition(":")
    kind: type[Any] = getattr(importlib.import_module(module), found)
    return kind


def extras_of(project: Path) -> dict[str, tuple[str, ...]]:
    """Extra to the distributions that it brings; read as text, for Python 3.10 knows no TOML."""
    text = project.read_text(encoding="utf-8")
    table = text.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    found = re.findall(r"^(\w+) = \[(.*?)\]$", re.sub(r"#.*", "", table), re.MULTILINE | re.DOTALL)
    quoted = {name: re.findall(r'"([\w.-]+)', inside) for name, inside in found}
    return {name: tuple(names) for name, names in quoted.items() if name not in ("dev", "docs")}


def recipes_page() -> str:
    """Every recipe that ships, as it is."""
    lines = ["# Recipes that ship", "", "Run one with `edgepipe recipe=NAME`; copy one to begin your own.", ""]
    lines += [
        "A recipe names a model, data and a target in its `defaults`, then an ordered mapping of passes. `baseline` is",
        "the step that all others are compared with (by default the one that loads the model), `goal` what the run",
        "must reach.",
        "",
    ]
    for path in sorted((ROOT / "recipes").glob("*.yaml")):
        text = path.read_text(encoding="utf-8").strip()
        lines += [f"## {path.stem}", "", f"{_sentence(yaml.safe_load(text).get('description', ''))}", ""]
        lines += ["```yaml", text, "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def targets_page() -> str:
    """Every target profile, each fact with its source."""
    lines = [
        "# Targets",
        "",
        "A target is the device that a recipe is meant for: `target=NAME`. Each fact has its source; what is reckoned",
        "or assumed says so. `edgepipe list targets NAME` prints one. A profile of your own is a file",
        "`recipes/target/NAME.yaml` in the folder where you work.",
        "",
    ]
    for path in sorted((ROOT / "recipes" / "target").glob("*.yaml")):
        target = Target.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        lines += [f"## {path.stem}", "", _sentence(target.description or "this machine, which is measured"), ""]
        rows = list(_facts(target))
        if rows:
            lines += ["| fact | value | source |", "|:---|:---|:---|", *rows, ""]
    lines += ["## What a profile may say", "", "| key | what it is |", "|:---|:---|"]
    lines += [f"| `{name}` | {field.description or ''} |" for name, field in Target.model_fields.items()]
    return "\n".join(lines).rstrip() + "\n"


def _facts(target: Target) -> Iterator[str]:
    for name in (name for name in Target.model_fields if name in target.model_fields_set - {"name", "description"}):
        value = getattr(target, name)
        for item in value if isinstance(value, tuple) else [value]:
            source = getattr(item, "source", "")
            shown = getattr(item, "value", item)
            if hasattr(shown, "model_dump"):
                shown = ", ".join(f"{key}: {each:g}" for key, each in shown.model_dump(exclude_none=True).items())
            if isinstance(shown, (list, tuple)):
                shown = ", ".join(map(str, shown))
            yield f"| `{name}` | {_cell(str(shown))} | {_cell(source)} |"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", ":")) else ".")
