"""`edgepipe compress`: from a model's file and pictures to a bundle, in one command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgepipe.__main__ import main
from tests.start import bright


def test_a_model_and_pictures_become_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bright.network(Path("m.onnx"))
    bright.pictures(Path("p"))
    quick = ["measure.latency_seconds=0.1", "passes.q.pass=quantize_static", "passes.q.keep_float=never"]
    assert main(["compress", "m.onnx", "--data", "p", "verify=[]", *quick]) == 0
    metrics = json.loads(Path("outputs/compress/m_int8/metrics.json").read_text())
    assert metrics["status"] == "ok"
    assert metrics["passes"][-1]["measurements"]["quality"]["top1"]["value"] == 1.0
    assert main(["bundle", "verify", "outputs/compress/m_int8"]) == 0
    assert "values of 0 to 1" in Path("outputs/compress/m_int8.yaml").read_text()
