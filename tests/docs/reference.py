"""Reference pages of names, recipes, targets and commands, from what `edgepipe` itself says of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from edgepipe.cli.described import code, described, extra_of, markdown, needed, settings_of, settings_table
from edgepipe.cli.list import GROUPS
from edgepipe.contract.target import Target
from edgepipe.measure.settings import MeasureSettings
from edgepipe.plugins import NOUNS
from edgepipe.recipe.goals import Goal
from edgepipe.recipe.schema import Recipe, StoreSettings, Tracking

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


WRITTEN = {
    "task": "a name, or a map of `name` and the task's settings",
    "model": "a map of `source` and its settings",
    "data": "a map of `source` and its settings",
    "target": "a profile, named in `defaults`",
    "passes": "an ordered map: a label to `pass` and its settings",
    "lowering": "settings of [lower](passes/lower.md)",
    "goal": "a map, see below",
    "measure": "a map, see below",
    "store": "a map, see below",
    "tracking": "a map, see below; on the command line only",
    "verify": "a list of names",
    "tolerances": "a map: a metric to a share (`10%`) or a number in its unit",
}
"""Keys whose values are no plain settings, in words."""
LINKS = {"task": "tasks/index.md", "model": "models/index.md", "data": "data/index.md", "passes": "passes/index.md"}
LINKS |= {"target": "targets.md", "verify": "places/index.md"}


def recipe_page() -> str:
    """Every key of a recipe."""
    lines = [
        "# Recipe",
        "",
        "A recipe is a YAML file whose first line is `# @package _global_`. Its `defaults` name a model, data and a",
        "target by files of `recipes/model`, `recipes/data` and `recipes/target`; what stands behind them goes over",
        "what they say, and the command line over both. [Recipes that ship](recipes.md) are examples;",
        "`edgepipe recipe=NAME --cfg job` prints one as it is composed.",
        "",
        "| key | what it holds | default | what it does |",
        "|:---|:---|:---|:---|",
    ]
    for item in settings_of(Recipe):
        name = item.name
        if "." in name or name in ("name", "trust_code"):
            continue
        key = f"[`{name}`]({LINKS[name]})" if name in LINKS else f"`{name}`"
        default = "**required**" if item.default == "required" else "" if name in WRITTEN else code(item.default)
        lines.append(f"| {key} | {WRITTEN.get(name) or code(item.type)} | {default} | {_cell(item.description)} |")
    lines += [
        "",
        "`trust_code=true` stands on the command line only. `hydra.run.dir` names the folder of a run,",
        "`hydra.sweep.dir` that of a sweep; a recipe's file may set them below the folder where you work.",
        "",
    ]
    for name, kind, about in (
        (
            "goal",
            Goal,
            "Every [task](tasks/index.md) adds its measures, their changes, `quality_drop` and `alike`.",
        ),
        ("measure", MeasureSettings, ""),
        ("store", StoreSettings, ""),
        ("tracking", Tracking, ""),
    ):
        said = " ".join(part for part in (inspect.cleandoc(kind.__doc__ or "").partition("\n")[0], about) if part)
        lines += [f"## {name}", "", said, "", *settings_table(settings_of(kind)), ""]
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
