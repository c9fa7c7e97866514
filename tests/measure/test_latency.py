from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgepipe.errors import MeasureError
from edgepipe.measure.latency import latency, median_ratio, paired_latency
from edgepipe.measure.memory import probe
from tests.measure.graphs import small_network


def test_a_model_against_itself_is_about_as_fast_as_itself(tmp_path: Path) -> None:
    path = small_network(tmp_path / "m.onnx")
    found = paired_latency(path, path, np.zeros((1, 3, 16, 16), np.float32), seconds=0.3)
    assert found.rounds >= 7
    assert 0.5 < found.times_faster < 2  # generous: the machine may be busy
    assert found.times_faster_ci95[0] <= found.times_faster <= found.times_faster_ci95[1]
    assert 0 < found.step.p50_ms <= found.step.p90_ms


def test_latency_alone_has_its_median_below_its_90th_percentile(tmp_path: Path) -> None:
    found = latency(small_network(tmp_path / "m.onnx", batch=4), np.zeros((1, 3, 16, 16), np.float32), seconds=0.1)
    assert 0 < found.p50_ms <= found.p90_ms
    assert found.runs >= 7


def test_the_bootstrap_interval_is_fixed_by_its_seed_and_holds_the_median() -> None:
    ratios = [[1.9, 2.0, 2.1], [2.05, 1.95, 7.0]]
    middle, interval = median_ratio(ratios, seed=3)
    assert middle == pytest.approx(2.025)
    assert interval[0] <= middle <= interval[1]
    assert median_ratio(ratios, seed=3) == (middle, interval)
    assert median_ratio([[2.0] * 9], seed=0) == (2.0, (2.0, 2.0))


def test_openings_that_disagree_widen_the_interval_though_their_rounds_agree() -> None:
    low, high = median_ratio([[0.96] * 50, [1.00] * 50, [1.04] * 50], seed=0)[1]
    assert low <= 0.96
    assert high >= 1.04


def test_the_probe_reports_load_time_and_peak_memory_of_a_fresh_process(tmp_path: Path) -> None:
    found = probe(small_network(tmp_path / "m.onnx"), {"x": np.zeros((1, 3, 16, 16), np.float32)}, runs=1)
    assert 0 < found.load_ms < 60_000
    assert 10e6 < found.peak_rss_bytes < 2e9


def test_a_model_that_a_fresh_process_cannot_run_is_explained(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match=r"m\.onnx: a fresh process could not load and run it: (.|\n)*"):
        probe(small_network(tmp_path / "m.onnx"), {"x": np.zeros((1, 4, 16, 16), np.float32)})


def test_the_settings_and_the_machine_import_neither_onnx_nor_a_runtime() -> None:
    code = (
        "import sys, json; import edgepipe.measure.settings, edgepipe.targets.host, edgepipe.measure.findings;"
        "print(json.dumps([m for m in ('torch','onnx','onnxruntime','numpy') if m in sys.modules]))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout) == []
