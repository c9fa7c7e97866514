"""What the engine checks after every pass and model source, before their result is stored.

A pass is a pure function of its artifact; nobody can tell a result of one that is not. All of these are defects of
the pass, so each message says so: no change of a recipe helps.

Source: onnx/ir-py, `passes/_pass_infra.py` (preconditions, postconditions and purity, checked by the runner).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from edgepipe.contract.artifact import Artifact, Kind, open_artifact, refuse_strangers
from edgepipe.engine.traits import lacking
from edgepipe.errors import PassError, StoreError

_DEFECT = "This is a defect of the pass, not of your recipe"


class Promise(NamedTuple):
    """What a pass, or a source, says of its result: the kind, and the traits that it provides."""

    writes: Kind
    provides: tuple[str, ...] = ()


def broke(who: str, what: str) -> PassError:
    """A broken promise of `who` (the step and the pass, as "quantize: quantize_static"), in a sentence."""
    return PassError(f"{who}: broke its contract: {what}. {_DEFECT}")


def keeps_its_promises(
    who: str, made: object, out: Path, promised: Promise, inputs: tuple[Artifact, ...], facts: dict[str, Any]
) -> Artifact:
    """The artifact that a pass returned, with all that it promised kept.

    Every file is read once more: 45 MB cost 0.1 s, once, where the pass took seconds; sizes and times alone would miss
    a pass that restores them.

    Args:
        out: the empty folder that the pass was given for its result, alone in its workspace.
        promised: what the result is said to be.
        inputs: the artifacts that it was given to read.
    Raises:
        PassError: it returned something else, wrote elsewhere, changed an input, has facts that are no JSON, or has
            not what the pass provides and no note that says why.
    """
    if not isinstance(made, Artifact):
        raise broke(who, f"it returned something {_kind(made)}, and not the artifact that job.seal gives")
    if made.kind is not promised.writes or made.path != out:
        raise broke(who, f"it promised {promised.writes} in {out.name}/ and returned {made.kind} in {made.path}")
    for artifact in inputs:
        why = _changed(artifact)
        if why is not None:
            raise broke(
                who,
                f"it changed its input, which is not its own: {why}. The step before it is computed again next time",
            )
    why = _changed(made)
    if why is not None:
        raise broke(who, f"what it sealed is not what lies in {out.name}/: {why}")
    beside = sorted(path.name for path in out.parent.iterdir() if path != out)
    if beside:
        raise broke(who, f"it wrote {', '.join(beside)} beside {out.name}/, and its files belong into job.out")
    for place, wrong in not_json(facts, "facts"):
        raise broke(who, f"{place} is {wrong}, and facts are JSON: text, whole and finite numbers, lists, dicts, None")
    without = None if facts.get("notes") else lacking(made, promised.provides)
    if without is not None:
        raise broke(who, f"it promised a model that is {without}, nor does a note (job.add) say why")
    return made


def _changed(artifact: Artifact) -> str | None:
    """What is not as it was sealed, in a few words; None: nothing."""
    try:
        found = open_artifact(artifact.path)
        refuse_strangers(found)
    except StoreError as error:
        return str(error)
    return None if found.digest == artifact.digest else f"{artifact.path}: its manifest is another one"


def not_json(value: object, place: str) -> Iterator[tuple[str, str]]:
    """(place, what is wrong) of everything in a fact that JSON cannot hold."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str):
                yield from not_json(item, f"{place}[{key!r}]")
            else:
                yield place, f"a dict with the key {key!r}, {_kind(key)}"
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from not_json(item, f"{place}[{number}]")
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield place, f"{value}"
    elif value is not None and not isinstance(value, (str, int)):
        yield place, f"{value!r:.60}, {_kind(value)}"


def _kind(value: object) -> str:
    kind = type(value)
    return f"of type {kind.__module__}.{kind.__qualname__}".replace("builtins.", "")
