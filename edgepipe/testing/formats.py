"""Whether a format keeps its contract."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import SkipTest

import numpy as np

from edgepipe.base.importable import importable
from edgepipe.contract import Format, Signature, Tensor, Written
from edgepipe.contract.artifact import file_sha256
from edgepipe.errors import PassError
from edgepipe.onnx.session import Session
from edgepipe.testing.broken import call, json_only, made, must
from edgepipe.testing.runs import inputs_of
from edgepipe.testing.toys import SIGNATURE, classifier, two_ends

_NEAR = 1e-3
"""Of the largest value: what float32 in another order, and a runtime of its own, may differ by."""
_TWO = Signature(inputs=(Tensor(name="left", shape=(4,)), Tensor(name="right", shape=(4,))))


def check_format(checked: type[Format] | Format) -> None:
    """Hold a format against its contract: a classifier, then a model with two inputs and outputs.

    Raises:
        Broken: names the method.
        SkipTest: what it needs is not installed; says what installs it.
    """
    it: Format = made(checked, Format)
    who = type(it).__name__
    for module, how in it.needs.items():
        must(isinstance(how, str) and how, f"{who}.needs", f"does not say what installs {module}")
        if not importable(module):
            raise SkipTest(f"{who} needs {module}: {how}")
    with tempfile.TemporaryDirectory() as folder:
        toy = classifier(Path(folder) / "model.onnx")
        first = _written(it, who, toy, Path(folder) / "one", SIGNATURE)
        second = _written(it, who, toy, Path(folder) / "two", SIGNATURE)
        contents = [[file_sha256(path) for path in written.files] for written in (first, second)]
        same = contents[0] == contents[1] or not it.stable
        must(same, f"{who}.write", "the same model gives other bytes the second time")
        try:
            _written(it, who, two_ends(Path(folder) / "two.onnx"), Path(folder) / "three", _TWO, refusable=True)
        except PassError:
            return  # it cannot express two inputs, and says so


def _written(it: Format, who: str, onnx: Path, out: Path, signature: Signature, *, refusable: bool = False) -> Written:
    out.mkdir()
    before = file_sha256(onnx)
    beside = sorted(path.name for path in onnx.parent.iterdir())
    where = f"{who}.write"
    written = it.write(onnx, out, 0) if refusable else call(where, it.write, onnx, out, 0)
    must(isinstance(written, Written), where, f"returned {written!r}, and a Written is wanted")
    must(written.files, where, "names no files, and the first is the model")
    for path in written.files:
        must(path.is_file() and out in path.parents, where, f"names {path}, no file in the folder that it was given")
    left = {path for path in out.rglob("*") if path.is_file()} - set(written.files)
    must(not left, where, f"leaves {sorted(path.name for path in left)}, which it does not name")
    must(file_sha256(onnx) == before, where, "changes the ONNX file that it was given")
    must(sorted(path.name for path in onnx.parent.iterdir()) == beside, where, "writes beside the ONNX file")
    json_only(f"{where}: facts", written.facts)
    given = inputs_of(signature, 5)
    wanted = Session(onnx).ask(given)
    found = call(f"{who}.write: answers", written.answers, given)
    must(
        list(found) == list(wanted),
        f"{where}: answers",
        f"gives outputs {list(found)}, and the ONNX file has {list(wanted)}",
    )
    for name, values in wanted.items():
        must(
            found[name].shape == values.shape,
            f"{where}: answers",
            f"'{name}' is {list(found[name].shape)} for 5 examples, and the ONNX file's {list(values.shape)}",
        )
        far = float(np.abs(found[name].astype(np.float64) - values).max())
        must(
            far <= _NEAR * float(np.abs(values).max()),
            f"{where}: answers",
            f"'{name}' differs by up to {far:.2g} from what the ONNX file answers",
        )
    return written
