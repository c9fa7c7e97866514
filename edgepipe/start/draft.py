"""A recipe for somebody's model and data, made by looking at them and by running the model on a few examples."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from edgepipe.base.text import printable
from edgepipe.contract import Tensor
from edgepipe.contract.target import Target
from edgepipe.errors import EdgepipeError, RecipeError
from edgepipe.plugins import entries, find
from edgepipe.recipe.files import read_yaml
from edgepipe.recipe.lookup import group_options, recipe_names
from edgepipe.start.look import Seen, data_at, model_at
from edgepipe.start.scored import Scored, scored

DROP = 0.01
"""How much worse the first measure may become when nobody says."""
_NEAR_NOTHING = 0.02
_GENERAL, _FOR_TOKENS = "ptq", "ptq_dynamic"
"""Recipes whose steps are taken; the second where all inputs are numbers of tokens."""


@dataclass(frozen=True)
class Wish:
    """What somebody said.

    Attributes:
        model: a file, a folder or the name of a network; data: a folder, a .zip or a file.
        task, target: names; None: found out, and this machine.
        drop: of the first measure, at most.
        settings: more of the recipe, as dotted keys to values.
    """

    model: str
    data: str
    task: str | None = None
    target: str | None = None
    drop: float = DROP
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Draft:
    """A recipe and what was found out for it.

    Attributes:
        content: the recipe's own keys, as YAML has them.
        remarks: key ("data.mean", "task") to why it is so.
        findings: sentences for people, of what they should look at before they go on.
    """

    name: str
    target: str
    content: Mapping[str, Any]
    remarks: Mapping[str, str]
    findings: Sequence[str]


def draft(wish: Wish, root: Path, progress: Callable[[str], None] = lambda _text: None) -> Draft:
    """Look, run, decide.

    Args:
        root: of the store that the run will use.
    Raises:
        EdgepipeError: the model or the data is none that is known, or cannot be used.
    """
    said = _nested(wish.settings)
    target = _target(wish.target)
    model, given = _model(wish, said.pop("model", {}))
    inputs = _inputs(model)
    data, told = _data(wish, said.pop("data", {}), inputs)
    remarks = {"model": f"{given.guess.why}{_shapes(inputs)}", "data": told.guess.why}
    content: dict[str, Any] = {"name": "new", "model": model, "data": data, **said}
    if wish.task:
        content["task"] = wish.task
    fields = find("data", data["source"]).model_fields
    most = None if "calibration_size" in data else getattr(fields.get("calibration_size"), "default", None)
    if most:
        data["calibration_size"] = 1  # for now: there may be less than the default asks for
    result = scored(content, root, progress)
    if most:
        data["calibration_size"] = max(1, min(int(most), result.train))
    findings = [result.why] if result.why else []
    findings += _preprocessed(result, content, remarks)
    if not inputs and "image_size" in fields and "image_size" not in data:
        findings.append(
            "the size of pictures that the network was trained with is not known: it is data.image_size, which now "
            "stands at its default"
        )
    content["task"] = content.get("task", result.task)
    remarks.setdefault("task", "as you said" if wish.task else "as the labels and the outputs say")
    content["passes"] = said.get("passes") or _passes(inputs, remarks)
    content.setdefault("goal", {"quality_drop": wish.drop})
    ready = _provable(target)
    if ready and "verify" not in content:
        content["verify"] = ready
    del content["name"]
    return Draft(_name(wish), wish.target or "host", content, remarks, findings)


def _nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        place = found
        *parts, last = key.split(".")
        for part in parts:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise RecipeError(f"command line: {key}: {part} has a value of its own already")
        place[last] = value
    return found


def _model(wish: Wish, said: dict[str, Any]) -> tuple[dict[str, Any], Seen]:
    if "source" in said:
        seen = Seen(str(said["source"]), _guess_of("sources", str(said["source"]), wish.model))
    else:
        seen = model_at(wish.model)
    return {"source": seen.source, **seen.guess.settings, **said}, seen


def _guess_of(group: str, name: str, place: str) -> Any:
    from edgepipe.contract.guess import Guess, Sure
    from edgepipe.data.contents import contents_of

    kind = find(group, name)
    found = kind.guess(contents_of(Path(place), "--data"), ()) if group == "data" else kind.guess(place)
    if found is not None:
        return found
    key = next((each for each in ("path", "root", "name") if each in kind.model_fields), None)
    return Guess({key: place} if key else {}, Sure.POSSIBLE, "as you said")


def _data(wish: Wish, said: dict[str, Any], inputs: Sequence[Tensor]) -> tuple[dict[str, Any], Seen]:
    if "source" in said:
        seen = Seen(str(said["source"]), _guess_of("data", str(said["source"]), wish.data))
    else:
        seen = data_at(wish.data, inputs)
    return {"source": seen.source, **seen.guess.settings, **said}, seen


def _inputs(model: Mapping[str, Any]) -> tuple[Tensor, ...]:
    kind = find("sources", model["source"])
    try:
        found: tuple[Tensor, ...] = kind(**{key: value for key, value in model.items() if key != "source"}).takes()
    except (EdgepipeError, ValidationError):  # whoever validates or loads it tells
        return ()
    return found


def _shapes(inputs: Sequence[Tensor]) -> str:
    if not inputs:
        return ""
    shown = ", ".join(f"{printable(item.name)} {item.dtype} {list(item.shape)}" for item in inputs[:4])
    return f"; takes {shown}{' and more' if len(inputs) > 4 else ''}"


def _target(name: str | None) -> Target:
    known = group_options("target")
    if name is None or name not in known:
        if name is None or name == "host":
            return Target()
        from edgepipe.base.suggest import did_you_mean

        raise RecipeError(f"command line: --target: there is no target '{name}'.{did_you_mean(name, known)}")
    return Target.model_validate(read_yaml(known[name]))


def _provable(target: Target) -> list[str]:
    """Where the answers can be proven: the target's kind of processor, else the first that this machine can be."""
    names = [target.verify] if target.verify else sorted(entries("places"))
    ready = [name for name in names if find("places", name)().lacking() is None]
    return ready if target.verify else ready[-1:]


def _preprocessed(result: Scored, content: dict[str, Any], remarks: dict[str, str]) -> list[str]:
    data = content["data"]
    first, best, count = result.tried[0], result.best, len(result.tried)
    if first.value is None:
        return ["the data has no labels to score with: whether the preprocessing is the model's own was not checked"]
    text = result.measure.text
    remarks["task"] = f"{result.measure.title} {text(best.value or 0)} on a few examples of the float model"
    found = []
    if best is not first:
        changed = _changed(first.source, best.source)
        data.update(changed)
        retold, said = _changed(first.task, best.task), content.get("task", result.task)
        if retold:
            content["task"] = {**(said if isinstance(said, Mapping) else {"name": said}), **retold}
        why = f"{best.words}: {result.measure.title} {text(best.value or 0)}, and {text(first.value)} as it was"
        remarks |= {f"data.{key}": f"the best of {count} on a few examples ({why})" for key in changed}
        found.append(f"found out: {why}")
    if result.measure.unit == "share" and result.measure.better == "higher" and (best.value or 0) < _NEAR_NOTHING:
        found.append(
            f"the float model answers hardly anything rightly ({result.measure.title} {text(best.value or 0)}), with "
            f"each of {count} preprocessings: check classes and their order, the size, and the kind of labels, before "
            "hours are spent"
        )
    return found


def _changed(before: BaseModel, after: BaseModel) -> dict[str, Any]:
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    return {key: value for key, value in new.items() if old[key] != value}


def _passes(inputs: Sequence[Tensor], remarks: dict[str, str]) -> dict[str, Any]:
    tokens = bool(inputs) and all(item.dtype.startswith(("int", "uint", "bool")) and item.shape for item in inputs)
    pictures = any(len(item.shape) == 3 for item in inputs)
    recipe = _FOR_TOKENS if tokens and not pictures else _GENERAL
    content = read_yaml(recipe_names()[recipe])
    remarks["passes"] = f"as in recipe={recipe}: {content['description']}"
    passes: dict[str, Any] = content["passes"]
    return passes


def _name(wish: Wish) -> str:
    stem = Path(wish.model.rstrip("/")).stem or "model"
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_") + "_int8"


def as_yaml(found: Draft, command: str) -> str:
    """The recipe as a commented file; each remark stands at its key."""
    lines = ["# @package _global_", f"# Written by `{command}`: change what you like.", "defaults:"]
    lines += [f"  - /target: {found.target}", "  - _self_", ""]
    for key, value in found.content.items():
        lines += _block(key, value, found.remarks)
    return "\n".join(lines) + "\n"


def _block(key: str, value: Any, remarks: Mapping[str, str]) -> list[str]:
    remark = f"   # {remarks[key]}" if key in remarks else ""
    if not isinstance(value, Mapping):
        return [f"{key}: {_flow(value)}{remark}", ""]
    lines = [f"{key}:{remark}"]
    for name, item in value.items():
        inner = f"   # {remarks[f'{key}.{name}']}" if f"{key}.{name}" in remarks else ""
        lines.append(f"  {name}: {_flow(item)}{inner}")
    return [*lines, ""]


def _flow(value: Any) -> str:
    """On one line, quoted where YAML would read another thing."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True).strip()
    return text.removesuffix("\n...").strip()
