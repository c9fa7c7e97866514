"""Networks of any number of inputs and outputs, of any type, with free axes and with a state, through every pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgepipe.__main__ import main
from edgepipe.contract import Job, Split
from edgepipe.contract.artifact import Artifact
from edgepipe.data.npz import NpzData
from edgepipe.onnx.answers import NamedAnswers
from edgepipe.onnx.sequences import opened
from edgepipe.onnx.tensor_types import declared
from edgepipe.passes.quantize_dynamic import QuantizeDynamic
from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.passes.quantize_weights import QuantizeWeights
from edgepipe.passes.to_float16 import ToFloat16
from edgepipe.records.metrics import Metrics
from edgepipe.sources.onnx_file import OnnxModel
from tests.any_models import KINDS
from tests.small import QUICK, ptq

STATE = {"state": {"h": "hn", "c": "cn"}, "steps": 7}
EVERY = {
    "static": QuantizeStatic(keep_float="never"),
    "accurate": QuantizeStatic(keep_float="never", preset="accurate"),
    "least error": QuantizeStatic(keep_float="never", observer="least_error", keep_worst=1),
    "auto": QuantizeStatic(),
    "dynamic": QuantizeDynamic(),
    "weights": QuantizeWeights(smallest=64, bits=8, block_size=16),
    "float16": ToFloat16(),
    "computing in float16": ToFloat16(mode="compute"),
}


class Desk:
    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        KINDS[kind](folder)
        more = STATE if kind == "a state" else {}
        data = NpzData(evaluation=folder / "e.npz", calibration=folder / "c.npz", **more)
        self.data = data.open(folder / "cache")
        self.model = OnnxModel(path=str(folder / "m.onnx")).load(self._new(), self.data.signature, 0, self._job())

    def _new(self) -> Path:
        path = self.folder / f"out{len(list(self.folder.iterdir()))}"
        path.mkdir()
        return path

    def _job(self) -> Job:
        return Job(self._new(), self._new(), self.data, 0, "it")

    def answers(self, model: Artifact) -> dict[str, np.ndarray]:
        asked = NamedAnswers(opened(model.onnx, self.data.signature))
        parts = [asked(batch.inputs) for batch in self.data.batches(Split.EVALUATION, 8)]
        return {name: np.concatenate([part[name].ravel() for part in parts]) for name in parts[0]}


def ends(item: onnx.ValueInfoProto) -> tuple[str, np.dtype | None, list[int | None]]:
    told = declared(item)
    return told.name, told.dtype, [size if isinstance(size, int) else None for size in told.shape or ()]


@pytest.fixture(scope="module", params=KINDS)
def desk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp(request.param.replace(" ", "_")), request.param)


@pytest.mark.parametrize("which", EVERY)
def test_every_pass_keeps_names_types_free_axes_and_answers(desk: Desk, which: str) -> None:
    if which in ("dynamic", "weights") and "height" in str(desk.model.signature):
        pytest.skip("nothing but convolutions")
    job = desk._job()
    small = EVERY[which].apply(desk.model, job)
    if which == "static":
        assert job.facts["int8_nodes"] > 0
    before, now = (onnx.load(item.onnx).graph for item in (desk.model, small))
    assert list(map(ends, now.input)) == list(map(ends, before.input))
    assert list(map(ends, now.output)) == list(map(ends, before.output))
    wanted, got = desk.answers(desk.model), desk.answers(small)
    for name, value in wanted.items():
        if value.dtype.kind == "f":
            error = np.linalg.norm(got[name] - value) / np.linalg.norm(value)
            assert error < 0.1, (name, error)


def command(folder: Path, kind: str, *more: str) -> list[str]:
    own = KINDS[kind](folder)
    return [*ptq(folder), "task=agreement", f"hydra.run.dir={folder}/run", *QUICK, *own, *more]


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_run_is_measured_bundled_and_proven_by_all_outputs(kind: str, tmp_path: Path) -> None:
    proven = ["verify=[x86_avx2]", "verify_examples=4"]  # skipped where there is no emulator
    assert main(command(tmp_path, kind, "passes.quantize.keep_float=never", *proven)) == 0
    found = Metrics.model_validate_json((tmp_path / "run" / "metrics.json").read_text())
    assert found.final is not None
    assert found.final.quality["cosine"].value > 0.99
    assert found.final.examples == {"a state": 20, "free height and width": 12}.get(kind, 24)
    (proof,) = found.proofs
    assert proof.status == "skipped" or (proof.status, proof.alike) == ("ok", 1.0)
    assert main(["bundle", "verify", str(tmp_path / "run" / "final")]) == 0
