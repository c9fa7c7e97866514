"""Schema 1 of metrics.json: figures under names of their own, of three tasks that every reader knew.

Files of it are read as if they were of schema 2, and what people's own scripts read of a classification is written
under the old names for one more version. Nothing else in edgepipe knows these names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgepipe.contract import Measure

TASKS: Mapping[str, tuple[Measure, ...]] = {
    "classification": (
        Measure(
            "top1",
            "top-1",
            "higher",
            "share of examples answered rightly; without labels, as the baseline answers",
            unit="share",
            change="accuracy_drop",
            change_title="top-1 drop",
        ),
        Measure(
            "top5",
            "top-5",
            "higher",
            "share of examples whose label is among the five best-scored",
            unit="share",
            column=False,
        ),
    ),
    "regression": (
        Measure(
            "r2",
            "R2",
            "higher",
            "share of the labels' variance explained; without labels, the baseline's; null: it is near none",
            change="r2_drop",
            change_title="R2 drop",
        ),
        Measure(
            "mae",
            "MAE",
            "lower",
            "mean absolute error, in the unit of the labels",
            worse_by=0.02,
            relative=True,
            change="mae_rise",
            change_title="MAE rise",
        ),
    ),
    "embedding": (
        Measure(
            "cosine",
            "cosine",
            "higher",
            "mean cosine to the baseline's vector of the same example",
            worse_by=0.005,
            change="cosine_drop",
            change_title="cosine drop",
        ),
        Measure(
            "cosine_p01",
            "worst 1%",
            "higher",
            "cosine that 99% of the examples reach",
            worse_by=0.02,
            change="cosine_p01_drop",
            change_title="worst 1% drop",
        ),
    ),
}
"""The tasks as they were."""

_MEASURED = {
    "top1": ("top1", "value"),
    "top1_ci95": ("top1", "ci95"),
    "top5": ("top5", "value"),
    "r2": ("r2", "value"),
    "mae": ("mae", "value"),
    "mae_ci95": ("mae", "ci95"),
    "cosine": ("cosine", "value"),
    "cosine_ci95": ("cosine", "ci95"),
    "cosine_p01": ("cosine_p01", "value"),
}
_COMPARED = {
    "accuracy_drop": ("top1", "drop"),
    "accuracy_drop_ci95": ("top1", "ci95"),
    "mae_rise": ("mae", "drop"),
    "mae_rise_ci95": ("mae", "ci95"),
}
_PROVEN = {"top1": ("quality", "top1"), "top1_here": ("quality_here", "top1")}


def measure(name: str) -> Measure | None:
    """A measure of schema 1."""
    return next((each for measures in TASKS.values() for each in measures if each.name == name), None)


def measurements(content: Any, fields: Mapping[str, Any]) -> Any:
    """Measurements under both kinds of names, whichever they came with.

    Args:
        fields: those that are still written.
    """
    if not isinstance(content, Mapping):
        return content
    found = dict(content)
    if not found.get("quality"):
        found["quality"] = dict(_scores(found))
    return _under_old_names(found, _MEASURED, found["quality"], fields)


def versus(content: Any, fields: Mapping[str, Any]) -> Any:
    """As `measurements`, of a comparison with the baseline."""
    if not isinstance(content, Mapping):
        return content
    found = dict(content)
    if found.get("alike") is None and found.get("agreement") is not None:
        found["alike"] = found["agreement"]
    if not found.get("quality"):
        found["quality"] = {
            name: {"drop": found[old], "ci95": found.get(f"{old}_ci95")}
            for old, (name, part) in _COMPARED.items()
            if part == "drop" and found.get(old) is not None
        }
    found = _under_old_names(found, _COMPARED, found["quality"], fields)
    if "top1" in found["quality"]:
        found["agreement"] = found.get("alike")
    return found


def proof(content: Any) -> Any:
    """As `measurements`, of a proof."""
    if not isinstance(content, Mapping):
        return content
    found = dict(content)
    if found.get("alike") is None and found.get("agreement") is not None:
        found["alike"] = found["agreement"]
    for old, (part, name) in _PROVEN.items():
        if not found.get(part) and found.get(old) is not None:
            found[part] = {name: found[old]}
        found[old] = (found.get(part) or {}).get(name)
    found["agreement"] = found.get("alike") if found["top1"] is not None else found.get("agreement")
    return found


def metrics(content: Any) -> Any:
    """The whole of metrics.json, with the task that it does not name."""
    if not isinstance(content, Mapping):
        return content
    found = dict(content)
    if found.get("schema_version") == 1:
        found["schema_version"] = 2
    if found.get("task") is None:
        found["task"] = _task_of(found)
    return found


def _task_of(content: Mapping[str, Any]) -> dict[str, Any] | None:
    steps = [_get(step, "measurements") for step in content.get("passes") or ()]
    for measured in (content.get("final"), content.get("baseline"), *steps):
        scores = _get(measured, "quality") or dict(_scores(measured if isinstance(measured, Mapping) else {}))
        for name, measures in TASKS.items():
            if measures[0].name in scores:
                return {"name": name, "measures": measures}
    return None


def _scores(content: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for measures in TASKS.values():
        if all(content.get(each.name) is None for each in measures):
            continue
        for each in measures:
            ci95 = content.get(f"{each.name}_ci95")
            score = {"value": content.get(each.name), "ci95": ci95, "better": each.better, "unit": each.unit}
            yield each.name, score


def _under_old_names(
    found: dict[str, Any], names: Mapping[str, tuple[str, str]], quality: Any, fields: Mapping[str, Any]
) -> dict[str, Any]:
    for old, (name, part) in names.items():
        found.pop(old, None)
        if old in fields and isinstance(quality, Mapping) and name in quality:
            found[old] = _get(quality[name], part)
    return found


def _get(record: Any, name: str) -> Any:
    return record.get(name) if isinstance(record, Mapping) else getattr(record, name, None)
