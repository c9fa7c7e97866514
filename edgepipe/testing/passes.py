"""Whether a pass keeps its contract."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgepipe.contract import Artifact, Job, Kind, Pass, Split
from edgepipe.engine.checks import Promise, keeps_its_promises
from edgepipe.errors import EdgepipeError
from edgepipe.tasks.classification import Classification
from edgepipe.testing.broken import Broken, call, json_only, made, must, said
from edgepipe.testing.runs import runs
from edgepipe.testing.toys import SIGNATURE, ToyData, onnx_artifact, torch_artifact


def check_pass(
    checked: type[Pass] | Pass, *, behind: Sequence[Pass] = (), model: Artifact | None = None, data: Any = None
) -> None:
    """Hold a pass against its contract.

    Args:
        behind: passes that the model comes through first, where it needs what they make.
        model: None: a toy classifier of the kind that the first of them reads, 3x16x16 pictures of 8 classes.
        data: the `Dataset` of the job; None: the toy's.
    Raises:
        Broken: names the method.
    """
    it: Pass = made(checked, Pass)
    who, data = type(it).__name__, data or ToyData()
    _check_declared(it, who)
    with tempfile.TemporaryDirectory() as folder:
        reads = behind[0].reads if behind else it.reads
        teacher = model or (torch_artifact if reads is Kind.TORCH else onnx_artifact)(Path(folder) / "toy")
        current = teacher
        for number, before in enumerate(behind):
            place = Path(folder) / f"before{number}"
            current = _applied(before, type(before).__name__, current, teacher, place, data)[0]
        must(current.kind is it.reads, f"{who}.reads", f"is {it.reads}, and the model that was given is {current.kind}")
        first, facts = _applied(it, who, current, teacher, Path(folder) / "one", data)
        runs(f"{who}.apply", first)
        second, others = _applied(it, who, current, teacher, Path(folder) / "two", data)
        if not it.timed:
            must(first.digest == second.digest, f"{who}.apply", "applied twice, with one seed, it gives another model")
            must(set(facts) == set(others), f"{who}.apply", f"has facts {sorted(facts)}, then {sorted(others)}")


def _check_declared(it: Pass, who: str) -> None:
    """Everything that is asked before the pass runs."""
    for attribute in ("reads", "writes"):
        found = getattr(it, attribute)
        must(isinstance(found, Kind), f"{who}.{attribute}", f"is {found!r}, and Kind.TORCH or Kind.ONNX is wanted")
    for attribute in ("libraries", "requires", "provides", "removes"):
        found = getattr(it, attribute)
        must(
            isinstance(found, tuple) and all(isinstance(word, str) for word in found),
            f"{who}.{attribute}",
            f"is {found!r}, and a tuple of texts is wanted",
        )
    splits = call(f"{who}.splits", it.splits)
    must(all(isinstance(split, Split) for split in splits), f"{who}.splits", f"returned {splits!r}: no splits")
    must(set(splits) <= set(it.data), f"{who}.splits", f"{splits} are more than `data` declares, {it.data}")
    must(isinstance(call(f"{who}.learns", it.learns), bool), f"{who}.learns", "is no bool")
    needs = call(f"{who}.needs", it.needs)
    must(isinstance(needs, dict), f"{who}.needs", f"returned {needs!r}: a dict of trait to setting is wanted")
    traits = call(f"{who}.traits", it.traits, frozenset(needs))
    must(
        isinstance(traits, frozenset) and set(it.provides) <= traits,
        f"{who}.traits",
        f"returned {traits!r}, without what `provides` promises: {it.provides}",
    )
    told = call(f"{who}.behind", it.behind, None)
    must(told is None or isinstance(told, str), f"{who}.behind", f"returned {told!r}: a sentence, or None")
    fields = type(it).model_fields
    said(f"{who}.problems", call(f"{who}.problems", it.problems), fields)
    said(f"{who}.misfits", call(f"{who}.misfits", it.misfits, SIGNATURE.input_shape), fields)
    several = call(f"{who}.inputs_misfit", it.inputs_misfit, ("one", "other"))
    said(f"{who}.inputs_misfit", several, {**fields, "pass": None})
    json_only(f"{who}.settings", call(f"{who}.settings", it.settings))


def _applied(
    it: Pass, who: str, model: Artifact, teacher: Artifact, folder: Path, data: Any
) -> tuple[Artifact, dict[str, Any]]:
    """The result of a pass, as pure and as sealed as the engine wants it."""
    for name in ("space/out", "state"):
        (folder / name).mkdir(parents=True)
    job = Job(
        out=folder / "space" / "out",
        state=folder / "state",
        data=data,
        seed=0,
        label="it",
        task=Classification(),
        teacher=teacher if it.needs_teacher else None,
    )
    artifact = call(f"{who}.apply", it.apply, model, job)
    try:
        promised = Promise(it.writes, it.provides)
        return keeps_its_promises(who, artifact, job.out, promised, (model,), job.facts), job.facts
    except EdgepipeError as error:
        raise Broken(f"{who}.apply: {error}") from error
