"""What a pass promises is checked after it: its input stays, its output is what it says, its facts are JSON."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from edgepipe.__main__ import main
from edgepipe.contract import Artifact, Job, Kind, Pass
from edgepipe.records.metrics import read_metrics
from tests.registered import register
from tests.small import arguments

BREAKS: dict[str, Callable[[Artifact, Job], object]] = {}
"""What the pass of the case does beside copying its input."""


class Breaking(Pass):
    """Copies the model, and breaks what it promised."""

    reads: ClassVar[Kind] = Kind.ONNX
    writes: ClassVar[Kind] = Kind.ONNX

    def apply(self, model: Artifact, job: Job) -> Artifact:
        shutil.copyfile(model.onnx, job.out / "model.onnx")
        made = job.seal(Kind.ONNX, model.signature)
        returned: Any = BREAKS["now"](model, job)
        return made if returned is None else returned


def fact(value: object) -> Callable[[Artifact, Job], None]:
    def put(_model: Artifact, job: Job) -> None:
        job.facts["found"] = value  # type: ignore[assignment]

    return put


def append_unseen(model: Artifact, _job: Job) -> None:
    """Change a byte of the input, its size and times as before."""
    before = model.onnx.stat()
    content = bytearray(model.onnx.read_bytes())
    content[-1] ^= 1
    model.onnx.write_bytes(bytes(content))
    os.utime(model.onnx, ns=(before.st_atime_ns, before.st_mtime_ns))


def write(text: str) -> Callable[[Artifact, Job], None]:
    def put(model: Artifact, job: Job) -> None:
        {"input": model.path, "out": job.out, "beside": job.out.parent}[text].joinpath("more.bin").write_bytes(b"1")

    return put


def elsewhere(model: Artifact, _job: Job) -> Artifact:
    return model


CASES: dict[str, tuple[Callable[[Artifact, Job], object], str]] = {
    "changed input": (append_unseen, "it changed its input, which is not its own: .*model.onnx: damaged"),
    "more in its input": (write("input"), "it changed its input, which is not its own: .*more.bin: not named"),
    "written after sealing": (write("out"), "what it sealed is not what lies in artifact/: .*more.bin"),
    "written beside": (write("beside"), "it wrote more.bin beside artifact/, and its files belong into job.out"),
    "its input returned": (elsewhere, "it promised onnx in artifact/ and returned onnx in .*steps"),
    "no artifact": (lambda model, _job: model.onnx, "it returned something of type pathlib.*, and not the artifact"),
    "a numpy number": (fact(np.int64(3)), "facts\\['found'\\] is .*3.*, of type numpy.int64, and facts are JSON"),
    "an array within": (fact({"a": [1, np.ones(2)]}), r"facts\['found'\]\['a'\]\[1\] is array.*of type numpy.ndarray"),
    "not a number": (fact(float("nan")), r"facts\['found'\] is nan"),
    "a key that is no text": (fact({3: "x"}), r"facts\['found'\] is a dict with the key 3, of type int"),
    "an object": (fact(Path("x")), r"facts\['found'\] is .*, of type pathlib"),
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the model is loaded and measured."""
    folder = tmp_path_factory.mktemp("loaded")
    assert main(arguments(folder, "~passes.quantize", "~passes.export", f"hydra.run.dir={folder}/run")) == 0
    return folder


@pytest.mark.parametrize("case", sorted(CASES))
def test_a_broken_promise_is_the_passs_defect_and_costs_no_other_step(
    case: str,
    loaded: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    breaks, wanted = CASES[case]
    monkeypatch.setitem(BREAKS, "now", breaks)
    register(monkeypatch, "passes", breaking=f"{__name__}:Breaking")
    store = Path(shutil.copytree(loaded / "store", tmp_path / "store"))
    argv = [*arguments(loaded, f"hydra.run.dir={tmp_path}/run"), f"store.root={store}"]
    argv += ["~passes.quantize", "~passes.export", "+passes.odd.pass=breaking"]
    assert main(argv) == 1
    failure = read_metrics(tmp_path / "run").failure
    assert failure is not None
    assert (failure.step, failure.error) == ("odd", "PassError")
    assert failure.message.startswith("odd: breaking: broke its contract: ")
    assert failure.message.endswith("This is a defect of the pass, not of your recipe")
    assert re.search(wanted, failure.message), failure.message
    assert len(list((store / "steps").iterdir())) == 1  # the pass's own result was not kept
    capfd.readouterr()
    damaged = "input" in case and "returned" not in case
    assert main(["store", "verify", "--root", str(store)]) == (1 if damaged else 0)
    assert ("damaged" in capfd.readouterr().err) == damaged
