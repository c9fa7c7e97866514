"""Why a result had to be computed: what differs from the nearest one that is stored, in words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgepipe.base.files import read_json
from edgepipe.store.keys import KEY, RECORD

_MACHINE = "machine: another one, or another processor, number of cores or version of Python or ONNX Runtime"
_TASK = "task: another one, with other settings, or its source changed"
_STEP = {
    "input": "input: another model comes in from the step before",
    "code": "code: the source of edgepipe or of the pass changed",
    "teacher": "teacher: the baseline is another model",
    "task": _TASK,
    "machine": _MACHINE,
}
_MEASUREMENT = {
    "artifact": "this model was not measured before",
    "baseline": "it is compared with another baseline",
    "code": "code: the source of the measurements changed",
    "data": "evaluation data: other content",
    "task": _TASK,
    "machine": _MACHINE,
}


def why_missing(root: Path, parts: Mapping[str, Any]) -> list[str]:
    """What differs from the nearest stored result of the same pass, in words; for a key that is not stored."""
    known = ((path, content.get("key")) for path, content in _contents(root, f"steps/*/{RECORD}"))
    same = [(path, _leaves(item)) for path, item in known if item and item.get("pass") == parts["pass"]]
    differing = _differing(same, _leaves(parts))
    if differing is None:
        return ["no result of this pass is stored"]
    return [_difference(name, old, new, _STEP) for name, old, new in differing]


def why_not_measured(root: Path, parts: Mapping[str, Any]) -> list[str]:
    """What differs from the nearest stored measurement, of the same model if there is one, in words."""
    known = ((path, item) for path, item in _contents(root, f"measurements/*/{KEY}") if item.keys() == parts.keys())
    differing = _differing([(path, _leaves(item)) for path, item in known], _leaves(parts), first="artifact")
    if differing is None:
        return [_MEASUREMENT["artifact"]]
    new = any(name == "artifact" for name, _, _ in differing)
    return [
        _difference(name, old, now, _MEASUREMENT)
        for name, old, now in differing
        if not (new and name == "baseline")  # what another model was compared with says nothing of this one
    ]


def _contents(root: Path, pattern: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The JSON files that a pattern finds, without those that are damaged or just removed."""
    for path in root.glob(pattern):
        with suppress(OSError, ValueError):
            content = read_json(path)
            if isinstance(content, dict):
                yield path, content


def _leaves(value: Any, place: str = "") -> dict[str, Any]:
    """A nested mapping as {dotted name: value}."""
    if isinstance(value, Mapping):
        found: dict[str, Any] = {}
        for key, item in value.items():
            found |= _leaves(item, f"{place}.{key}" if place else str(key))
        return found
    return {place: value}


def _differing(
    known: Iterable[tuple[Path, dict[str, Any]]], wanted: dict[str, Any], first: str = ""
) -> list[tuple[str, Any, Any]] | None:
    """(name, old, new) of what differs from the nearest; those of the same `first` are nearer than all others."""
    nearest: tuple[bool, int, float] | None = None
    found: list[tuple[str, Any, Any]] | None = None
    for path, leaves in known:
        names = [name for name in sorted({*leaves, *wanted}) if leaves.get(name) != wanted.get(name)]
        with suppress(OSError):  # just removed
            rank = (first in names, len(names), -path.with_name(RECORD).stat().st_mtime)
            if nearest is None or rank < nearest:
                nearest, found = rank, [(name, leaves.get(name), wanted.get(name)) for name in names]
    return found


def _difference(name: str, old: Any, new: Any, fixed: Mapping[str, str]) -> str:
    if name in fixed:
        return fixed[name]
    if name.partition(".")[0] in ("data", "files"):
        return f"{name}: other content"
    return f"{name}: {_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    text = "absent" if value is None else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
