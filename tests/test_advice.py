"""What messages and documents advise is there: keys, commands, options, passes and extras."""

from __future__ import annotations

import ast
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

import edgepipe
from edgepipe.cli.verbs import VERBS
from edgepipe.plugins import NOUNS, entries, find
from edgepipe.recipe.goals import Named
from edgepipe.recipe.schema import PARTS, Recipe

HOME = Path(edgepipe.__file__).parent
ROOT = HOME.parent
SECTIONS = [name for name in Recipe.model_fields if name not in ("passes", "model", "data", "tolerances")]
MODELS = NOUNS["sources"].built_in
_KEY = re.compile(r"(?<![\w./`'-])(model|data|passes|" + "|".join(SECTIONS) + r")((?:\.[A-Za-z_][\w-]*)+)(?![\w(/])")
_OF_FILES = {
    "onnx",
    "keras",
    "pth",
    "pt",
    "h5",
    "tflite",
    "ort",
    "pte",
    "json",
    "safetensors",
    "npz",
    "xml",
    "py",
    "skops",
}


def said(path: Path) -> Iterator[tuple[str, str]]:
    """(place, text) of every text of a source file that may be shown; of an f-string, `{}` for what is filled in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and not isinstance(node, ast.ClassDef):
                silent.add(id(first.value))
        if isinstance(node, ast.JoinedStr):
            silent |= {id(part) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            text = node.value
        else:
            continue
        yield f"{path.relative_to(ROOT)}:{node.lineno}", text


TEXTS = [item for path in sorted(HOME.rglob("*.py")) for item in said(path)]
DOCUMENTS = [
    (f"{path.relative_to(ROOT)}:{number}", line)
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if path.is_file()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
]


def fields_of(kinds: list[object], place: list[str]) -> list[object]:
    """What may stand at a place below some settings; empty: nothing."""
    for part in place:
        found: list[object] = []
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel) and part in kind.model_fields:
                annotation = kind.model_fields[part].annotation
                found += [annotation, *get_args(annotation)]
            elif (isinstance(kind, type) and kind is dict) or getattr(kind, "__origin__", None) is dict:
                found.append(object)
        kinds = found
    return kinds


def known(section: str, place: list[str]) -> bool:
    if section in PARTS:
        kinds: list[object] = [find(PARTS[section], name) for name in entries(PARTS[section])]
        return place == ["source"] or bool(fields_of(kinds, place))
    if section == "passes":
        kinds = [find("passes", name) for name in entries("passes")]
        return len(place) < 2 or place[1] == "pass" or bool(fields_of(kinds, place[1:]))
    if section == "goal" and len(place) == 1:
        return True  # a task's measures are goals, and a task may be anybody's
    if section == "task":
        return bool(fields_of([Named, *(find("tasks", name) for name in entries("tasks"))], place))
    return bool(fields_of([Recipe], [section, *place]))


def keys(text: str) -> Iterator[tuple[str, list[str]]]:
    for found in _KEY.finditer(text):
        place = found[2].strip(".").split(".")
        if place[-1] not in _OF_FILES:
            yield found[1], place


def test_a_key_that_is_none_is_found() -> None:
    text = "set model.num_class, data.rooot or passes.x.no and hydra.run.dir: model.kwargs.size is one, m.onnx none"
    assert [known(*key) for key in keys(text)] == [False, False, False, True]


def test_every_key_that_is_named_is_a_key() -> None:
    checked, wrong = 0, []
    for place, text in [*TEXTS, *DOCUMENTS]:
        if " " not in text and "=" not in text:
            continue  # no sentence
        for section, rest in keys(text):
            checked += 1
            if not known(section, rest):
                wrong.append(f"{place}: {section}.{'.'.join(rest)}")
    assert not wrong
    assert checked > 200


@pytest.mark.parametrize("name", MODELS)
def test_a_source_of_models_names_its_own_keys_only(name: str) -> None:
    kind = find("sources", name)
    for file in modules(kind):
        for place, text in said(file):
            for section, rest in keys(text):
                assert section != "model" or rest[0] in {*kind.model_fields, "source"}, f"{place}: {text}"


def modules(kind: type) -> set[Path]:
    """Source files of a class and of what it is made of."""
    inside = [item.__module__.split(".") for item in kind.__mro__ if item.__module__.startswith("edgepipe.sources.")]
    return {Path(HOME, *names[1:]).with_suffix(".py") for names in inside}


OF_SOURCES = {
    "sources/tensorflow/to_onnx.py": ("tensorflow",),
    "sources/tensorflow/tflite.py": ("tensorflow",),
    "torch/timm_networks.py": ("timm",),
    "sources/huggingface/folder.py": ("huggingface",),
    "sources/huggingface/to_onnx.py": ("huggingface",),
    "sources/keras/to_onnx.py": ("keras",),
    "sources/sklearn/to_onnx.py": ("sklearn",),
    "onnx/adopt.py": ("keras", "sklearn", "tensorflow"),
    "torch/artifact.py": ("torchvision", "python"),
    "torch/factory.py": ("python",),
    "torch/torchvision_networks.py": ("torchvision",),
}
"""Modules that serve some sources only."""


def test_what_serves_every_source_names_a_source_with_a_key_that_not_all_have() -> None:
    kinds = {name: find("sources", name) for name in MODELS}
    own = {file for kind in kinds.values() for file in modules(kind)}
    checked = 0
    for path in sorted({*HOME.rglob("*.py")} - own):
        served = OF_SOURCES.get(path.relative_to(HOME).as_posix(), MODELS)
        for place, text in said(path):
            for found in _KEY.finditer(text):
                key = found[2].split(".")[1]
                if (
                    key in _OF_FILES
                    or found[1] != "model"
                    or text[found.end() :].startswith((":", "="))
                    or " " not in text
                ):
                    continue  # the place of a fault, and no advice
                having = {name for name, kind in kinds.items() if key in kind.model_fields}
                checked += 1
                assert having >= set(served) or any(name in text for name in having), f"{place}: {text}"
    assert checked >= 3


def test_every_command_option_pass_and_extra_that_is_named_is_there() -> None:
    verbs = set(VERBS)
    options = {found for _, text in TEXTS for found in re.findall(r"^(--[a-z][a-z-]+)$", text)}
    options |= {"--help", "--version", "--require-verify", "--multirun", "--cfg", "--config-dir", "--resolve", "--info"}
    options |= {"--shell-completion", "--hydra-help", "--package"}
    extras = set(importlib.metadata.metadata("edgepipe").get_all("Provides-Extra") or ())
    wrong, checked = [], 0
    for place, text in [*TEXTS, *DOCUMENTS]:
        for quoted in [
            *re.findall(r"`((?:python -m )?edgepipe [^`]+)`", text),
            *re.findall(r": (edgepipe [a-z]+ [^.]*)", text),
        ]:
            words = quoted.removeprefix("python -m ").split()[1:]
            checked += 1
            verb = next((word for word in words if not word.startswith(("-", "{"))), "recipe=")
            if "=" not in verb and verb not in verbs and "{" not in verb:
                wrong.append(f"{place}: {quoted}")
            wrong += [f"{place}: {word}" for word in words if re.fullmatch(r"--[a-z-]+", word) and word not in options]
        for name in re.findall(r"`pass: (\w+)`", text):
            checked += 1
            if name not in entries("passes") and name != "NAME":
                wrong.append(f"{place}: pass: {name}")
        for names in re.findall(r"edgepipe\[([\w,]+)\]", text):
            checked += 1
            wrong += [f"{place}: edgepipe[{name}]" for name in names.split(",") if name not in extras]
    assert not wrong
    assert checked > 30
