"""Whether a place of proof keeps its contract."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import SkipTest

import numpy as np

from edgepipe.contract import Place, PlaceAnswers, Processor
from edgepipe.contract.artifact import file_sha256
from edgepipe.onnx.session import Session
from edgepipe.testing.broken import call, complete, made, must
from edgepipe.testing.runs import inputs_of
from edgepipe.testing.toys import SIGNATURE, classifier
from edgepipe.verify.inputs import write_inputs

_COUNT = 5
_NEAR = 1e-3
"""Of the largest value: float32 in another order."""


def check_place(checked: type[Place] | Place) -> None:
    """Hold a place against its contract.

    Raises:
        Broken: names the method.
        SkipTest: this machine lacks what it takes; says how to get it.
    """
    it: Place = made(checked, Place)
    who = type(it).__name__
    if it.installs:
        must(type(it).install is not Place.install, f"{who}.install", "is not defined, and `installs` promises it")
    lacking = call(f"{who}.lacking", it.lacking)
    must(lacking is None or (isinstance(lacking, str) and lacking), f"{who}.lacking", f"returned {lacking!r}")
    if lacking is not None:
        raise SkipTest(f"{who}: {lacking}")
    processors = call(f"{who}.processors", it.processors)
    must(processors, f"{who}.processors", "gives none, and nothing is lacking")
    for processor in processors:
        complete(f"{who}.processors", processor, Processor)
    names = [processor.name for processor in processors]
    must(len(set(names)) == len(names), f"{who}.processors", f"two have one name: {names}")
    for processor in processors:
        _check_processor(processor)


def _check_processor(processor: Processor) -> None:
    who = type(processor).__name__
    must(isinstance(processor.name, str) and processor.name, f"{who}.name", "is no name")
    must(isinstance(processor.threads, int) and processor.threads >= 1, f"{who}.threads", f"is {processor.threads!r}")
    identity = call(f"{who}.identity", processor.identity)
    must(
        isinstance(identity, dict) and all(isinstance(text, str) for item in identity.items() for text in item),
        f"{who}.identity",
        f"returned {identity!r}, and versions by name, all texts, are wanted",
    )
    must(call(f"{who}.identity", processor.identity) == identity, f"{who}.identity", "asked twice it is another one")
    where = f"{who}.answer"
    with tempfile.TemporaryDirectory() as folder:
        model, inputs, work = classifier(Path(folder) / "model.onnx"), Path(folder) / "inputs", Path(folder) / "work"
        inputs.mkdir()
        work.mkdir()
        given = inputs_of(SIGNATURE, _COUNT + 2)
        write_inputs(inputs, model, SIGNATURE, [given], _COUNT + 2)
        before = file_sha256(model), file_sha256(inputs / "0.npy")
        told: list[int] = []
        found = call(where, processor.answer, model, inputs, _COUNT, work, told.append)
        must(isinstance(found, PlaceAnswers), where, f"returned {found!r}, and PlaceAnswers are wanted")
        must((file_sha256(model), file_sha256(inputs / "0.npy")) == before, where, "changes what it was given")
        must(isinstance(found.runtime, str) and found.runtime, where, "does not say which runtime answered")
        wanted = Session(model).ask({"input": given["input"][:_COUNT]})
        must(list(found.outputs) == list(wanted), where, f"gives {list(found.outputs)}, not {list(wanted)}")
        for name, values in wanted.items():
            there = found.outputs[name]
            must(len(there) == _COUNT, where, f"'{name}' answers {len(there)} of the first {_COUNT} examples")
            must(there.shape == values.shape, where, f"'{name}' is {list(there.shape)}, not {list(values.shape)}")
            far = float(np.abs(there.astype(np.float64) - values).max())
            must(far <= _NEAR * float(np.abs(values).max()), where, f"'{name}' differs from here by up to {far:.2g}")
        must(
            not processor.timed or (found.milliseconds and min(found.milliseconds) > 0),
            where,
            "promises times (`timed`) and gives none",
        )
        must(all(0 <= count <= _COUNT for count in told), where, f"tells {told} examples done of {_COUNT}")
