"""Whether a source of models keeps its contract."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from edgepipe.contract import Artifact, Job, ModelSource, Signature
from edgepipe.contract.artifact import Kind
from edgepipe.engine.checks import Promise, keeps_its_promises
from edgepipe.errors import EdgepipeError
from edgepipe.testing.broken import Broken, call, json_only, made, must, said
from edgepipe.testing.runs import runs
from edgepipe.testing.toys import SIGNATURE, ToyData


def check_source(
    source: type[ModelSource] | ModelSource, *, signature: Signature = SIGNATURE, data: Any = None
) -> None:
    """Hold a source of models against its contract.

    Args:
        signature: what the data gives; of the toy data: one float32 input (3, 16, 16).
        data: the `Dataset` that converted models are compared on; None: the toy data.
    Raises:
        Broken: names the method.
    """
    checked: ModelSource = made(source, ModelSource)
    who, data = type(checked).__name__, data or ToyData()
    must(isinstance(checked.kind, Kind), f"{who}.kind", f"is {checked.kind!r}, and Kind.TORCH or Kind.ONNX is wanted")
    given = call(f"{who}.gives", checked.gives)
    must(isinstance(given, Kind), f"{who}.gives", f"returned {given!r}, and Kind.TORCH or Kind.ONNX is wanted")
    unknown = checked.located - set(type(checked).model_fields) - ModelSource.located
    must(not unknown, f"{who}.located", f"names {sorted(unknown)}, which are no settings")
    digests = call(f"{who}.digests", checked.digests)
    must(isinstance(digests, dict), f"{who}.digests", f"returned {digests!r}, and a dict is wanted")
    json_only(f"{who}.digests", digests)
    must(call(f"{who}.digests", checked.digests) == digests, f"{who}.digests", "asked twice they are others")
    must(isinstance(call(f"{who}.takes_pixels", checked.takes_pixels), bool), f"{who}.takes_pixels", "is no bool")
    said(f"{who}.problems", call(f"{who}.problems", checked.problems), type(checked).model_fields)
    several = call(f"{who}.inputs_misfit", checked.inputs_misfit, ("one", "other"))
    said(f"{who}.inputs_misfit", several, {**type(checked).model_fields, "source": None})
    if len(signature.inputs) == 1 and signature.inputs[0].fixed:
        shape = signature.input_shape
        said(f"{who}.misfits", call(f"{who}.misfits", checked.misfits, shape), type(checked).model_fields)
    with tempfile.TemporaryDirectory() as folder:
        first, second = (_loaded(checked, who, Path(folder) / name, signature, data) for name in ("one", "two"))
        must(first.digest == second.digest, f"{who}.load", "loaded twice, with one seed, it is another model")
        runs(f"{who}.load", first)
    must(call(f"{who}.digests", checked.digests) == digests, f"{who}.load", "changes what it was loaded from")


def _loaded(source: ModelSource, who: str, folder: Path, signature: Signature, data: Any) -> Artifact:
    for name in ("space/out", "state"):
        (folder / name).mkdir(parents=True)
    job = Job(out=folder / "space" / "out", state=folder / "state", data=data, seed=0, label="load")
    artifact = call(f"{who}.load", source.load, job.out, signature, job.seed, job)
    try:
        return keeps_its_promises(who, artifact, job.out, Promise(source.gives()), (), job.facts)
    except EdgepipeError as error:
        raise Broken(f"{who}.load: {error}") from error
