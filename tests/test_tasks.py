"""Regression, embeddings, classification without labels: on tables, signals and token numbers, whole runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgepipe.__main__ import main
from edgepipe.records.gate import accept, compare
from edgepipe.records.metrics import Measurements, Metrics, read_metrics
from edgepipe.report.table import markdown_table
from edgepipe.verify.places.x86 import X86Avx2

RNG = np.random.default_rng(0)
WIDE = RNG.standard_normal((13, 64)).astype(np.float32) / 4
NARROW = RNG.standard_normal((64, 5)).astype(np.float32) / 8


def network(path: Path, outputs: int) -> Path:
    """A table of 13 columns through 64 hidden units to `outputs` numbers."""
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w", "b"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("MatMul", ["r", "v"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 13])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", outputs])],
        [
            numpy_helper.from_array(WIDE, "w"),
            numpy_helper.from_array(np.zeros(64, np.float32), "b"),
            numpy_helper.from_array(NARROW[:, :outputs].copy(), "v"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def answers(x: Any, outputs: int) -> Any:
    return np.maximum(x @ WIDE, 0) @ NARROW[:, :outputs]


def run(tmp_path: Path, outputs: int, labels: Any, *more: str) -> tuple[int, Metrics]:
    x = np.random.default_rng(1).standard_normal((300, 13)).astype(np.float32)
    content = {} if labels is None else {"labels": labels(x[:200])}
    np.savez(tmp_path / "e.npz", inputs=x[:200], **content)
    np.savez(tmp_path / "c.npz", inputs=x[200:])
    code = main(
        [
            "recipe=ptq",
            "model=onnx",
            f"model.path={network(tmp_path / 'm.onnx', outputs)}",
            "data=npz",
            f"data.evaluation={tmp_path}/e.npz",
            f"data.calibration={tmp_path}/c.npz",
            f"store.root={tmp_path}/store",
            f"hydra.run.dir={tmp_path}/run",
            "measure.latency_seconds=0.1",
            "passes.quantize.keep_float=never",  # so few products are no faster in int8
            *more,
        ]
    )
    return code, Metrics.model_validate_json((tmp_path / "run" / "metrics.json").read_text())


def value(measured: Measurements | None, name: str) -> float:
    """What was reached in a measure."""
    assert measured is not None
    found = measured.quality[name].value
    assert found is not None
    return found


def test_numbers_as_labels_are_judged_by_mae_and_r2_with_goal_gate_and_table(tmp_path: Path) -> None:
    noise = np.random.default_rng(2).standard_normal((200, 1)).astype(np.float32) / 10
    goal = ["~goal", "+goal={mae_rise: 0.02, r2: 0.5}"]
    code, found = run(tmp_path, 1, lambda x: answers(x, 1) + noise, *goal)
    assert code == 0
    base, final, versus = found.baseline, found.final, found.versus_baseline
    assert base is not None and final is not None and versus is not None
    assert value(base, "mae") == pytest.approx(float(np.abs(noise).mean()), rel=0.02)
    rise = versus.quality["mae"]
    assert rise.drop == pytest.approx(value(final, "mae") - value(base, "mae"), abs=1e-9)
    assert rise.ci95 is not None and rise.drop is not None and rise.ci95[0] <= rise.drop <= rise.ci95[1]
    assert final.top1 is None and versus.agreement is None
    assert 0.5 < value(final, "r2") < 1
    assert final.int8_share.matmul == 1.0
    head = markdown_table(found).splitlines()[2]
    assert "| R2 | drop (95%) | MAE |" in head and "int8 matmul" in head
    assert (tmp_path / "run" / "report.html").read_text().count("top-1") == 0
    baseline = accept(found)
    assert {"mae", "r2"} <= set(baseline.metrics)
    far = {"mae": final.quality["mae"].model_copy(update={"value": 10.0, "ci95": (9.0, 11.0)})}
    worse = found.model_copy(update={"final": final.model_copy(update={"quality": final.quality | far})})
    assert {item.name: item.status for item in compare(worse, baseline)}["mae"] == "worse"


def test_an_embedding_is_judged_by_its_cosine_to_the_float_model(tmp_path: Path) -> None:
    code, found = run(tmp_path, 5, None, "task=embedding", "~goal", "+goal={cosine: 0.99}")
    assert code == 0
    assert value(found.baseline, "cosine") == pytest.approx(1.0)
    final = found.final
    assert 0.99 < value(final, "cosine") < 1 and value(final, "cosine_p01") <= value(final, "cosine")
    assert final is not None and final.top1 is None
    manifest = (tmp_path / "run" / "final" / "manifest.json").read_text()
    assert '"task":"embedding"' in manifest
    assert "cosine" in (tmp_path / "run" / "final" / "README.md").read_text()
    assert run(tmp_path, 5, None, "task=embedding", "~goal", "+goal={cosine: 0.9999999}")[0] == 1


def test_a_regression_without_labels_is_compared_with_the_float_model(tmp_path: Path) -> None:
    code, found = run(tmp_path, 2, None, "task=regression", "~goal")
    assert code == 0
    assert (value(found.baseline, "mae"), value(found.baseline, "r2")) == (0, 1)
    assert 0.95 < value(found.final, "r2") < 1


def test_numbers_as_labels_cannot_be_classes_and_the_shapes_must_fit(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, 1, lambda x: answers(x, 1), "task=classification", "~goal")[0] == 2
    assert "classification needs integer labels" in capfd.readouterr().err
    assert run(tmp_path, 2, lambda x: answers(x, 3), "~goal")[0] == 2
    assert "gives 2 values for an example, compared with 3" in capfd.readouterr().err


def test_token_numbers_reach_the_model_as_integers(tmp_path: Path) -> None:
    table = RNG.standard_normal((50, 8)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["t", "ids"], ["e"]),
            helper.make_node("MatMul", ["e", "w"], ["m"]),
            helper.make_node("ReduceMean", ["m"], ["y"], axes=[1], keepdims=0),
        ],
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(table, "t"), numpy_helper.from_array(table[:8, :4].copy(), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "t.onnx")
    ids = RNG.integers(0, 50, (90, 6))
    np.savez(tmp_path / "e.npz", inputs=ids[:60])
    np.savez(tmp_path / "c.npz", inputs=ids[60:])
    argv = ["recipe=ptq", "model=onnx", f"model.path={tmp_path}/t.onnx", "data=npz", "task=embedding", "~goal"]
    argv += [f"data.evaluation={tmp_path}/e.npz", f"data.calibration={tmp_path}/c.npz", f"store.root={tmp_path}/s"]
    assert main([*argv, f"hydra.run.dir={tmp_path}/run", "measure.latency_seconds=0.1"]) == 0
    found = Metrics.model_validate_json((tmp_path / "run" / "metrics.json").read_text())
    assert value(found.final, "cosine") > 0.99
    example = [sys.executable, str(tmp_path / "run" / "final" / "example.py"), "--json", "--runs", "3"]
    assert json.loads(subprocess.run(example, check=True, capture_output=True, text=True).stdout)["golden"] == "ok"


@pytest.mark.skipif(X86Avx2().lacking() is not None, reason=str(X86Avx2().lacking()))
def test_vectors_of_an_embedding_are_verified_as_vectors(tmp_path: Path) -> None:
    assert run(tmp_path, 5, lambda x: np.arange(len(x)) % 5, "task=embedding", "~goal")[0] == 0
    assert main(["verify", str(tmp_path / "run"), "--on", "x86_avx2", "--examples", "8"]) == 0
    (proof,) = read_metrics(tmp_path / "run").proofs
    assert (proof.status, proof.top1, proof.top1_here) == ("ok", None, None)
