"""The side-by-side benchmark on a tiny model: its judge, its watching of processes, its table; no environments."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quantizers import __main__ as command
from benchmarks.quantizers import run as running
from benchmarks.quantizers.environments import CannotInstall, python_of
from benchmarks.quantizers.judge import QEMU, Judge
from benchmarks.quantizers.run import Ran, ToolFailed, run
from benchmarks.quantizers.table import Row, table
from benchmarks.quantizers.tools import TOOLS, Environment, Tool
from edgepipe.data.npz import NpzData
from tests.measure.graphs import small_network
from tests.small import npz

HERE = Environment("here", ("nothing==1.0",), "onnxruntime")


def watched(folder: Path, code: str, limit: int = 60) -> dict[str, float]:
    watch = str(Path(running.__file__).with_name("watch.py"))
    result = folder / "watched.json"
    subprocess.run(
        [sys.executable, "-I", watch, result, folder / "log", str(limit), sys.executable, "-c", code], check=True
    )
    return dict(json.loads(result.read_text()))


def script(tool: str, mode: str) -> Tool:
    """A tool as listed, but run by this interpreter."""
    listed = TOOLS[tool]
    return Tool(listed.name, listed.title, listed.settings, listed.script, mode, HERE)


@pytest.fixture(scope="module")
def fixture(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path, Path]:
    """(folder, model, calibration, evaluation)."""
    folder = tmp_path_factory.mktemp("quantizers")
    small_network(folder / "m.onnx")
    return folder, folder / "m.onnx", npz(folder / "c.npz", 40, 1), npz(folder / "e.npz", 120, 2)


@pytest.fixture(scope="module")
def ran(fixture: tuple[Path, Path, Path, Path]) -> Ran:
    folder, model, calibration, evaluation = fixture
    tool = script("ort_u8s8", "u8s8")
    return run(tool, Path(sys.executable), model, calibration, evaluation, folder / "ort", limit=120)


def judge_of(fixture: tuple[Path, Path, Path, Path]) -> Judge:
    folder, model, calibration, evaluation = fixture
    data = NpzData(evaluation=evaluation, calibration=calibration).open(folder / "hashes")
    return Judge(model, data, old_cpu_pictures=8, seconds=0.02, work=folder / "logits")


def test_peak_memory_counts_the_child_and_not_the_parent(tmp_path: Path) -> None:
    hold = bytearray(300_000_000)  # of this process: a child that merely starts must not be charged with it
    small = watched(tmp_path, "pass")["peak_bytes"]
    large = watched(tmp_path, "x = bytearray(b'1') * 200_000_000")["peak_bytes"]
    assert small < 100_000_000 < 200_000_000 < large, len(hold)


def test_processor_time_includes_grandchildren(tmp_path: Path) -> None:
    spin = "import time\nwhile time.process_time() < 0.5: pass"
    took = watched(tmp_path, f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin!r}])")
    assert 0.5 <= took["cpu_seconds"] < 5


def test_a_tool_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    took = watched(tmp_path, "import subprocess; subprocess.run(['sleep', '60'])", limit=1)
    assert took["code"] == -9
    assert took["seconds"] < 20


def test_the_runtimes_own_quantizer_stores_int8_and_is_judged(
    fixture: tuple[Path, Path, Path, Path], ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    judged = judge_of(fixture).judge(ran.model, "ort", None)
    assert judged.int8_share.conv == 1.0
    assert judged.times_smaller > 2
    assert judged.agreement > 0.9
    assert judged.old_cpu is None
    assert judged.paired.times_faster > 0
    assert ran.seconds > 0
    assert ran.peak_bytes > 30_000_000


def test_the_float_model_against_itself_is_a_draw(
    fixture: tuple[Path, Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    judged = judge_of(fixture).judge(fixture[1], "self", fixture[1])
    assert (judged.drop, judged.agreement, judged.times_smaller) == (0.0, 1.0, 1.0)
    assert judged.int8_share.conv == 0.0
    assert judged.paired_with_reference is not None


@pytest.mark.skipif(shutil.which(QEMU) is None, reason=f"{QEMU} is not installed (Debian: qemu-user-static)")
def test_sums_that_saturate_are_seen_on_the_emulated_haswell(tmp_path: Path) -> None:
    # 8-bit weights of one sign and bright pictures: every pair of products is above what 16 bits hold.
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = np.full((10, 4, 3, 3), 127, np.int8)
    weight[5:] = 60
    stored = [
        numpy_helper.from_array(value, name)
        for name, value in {
            "s": np.float32(1 / 255), "z": np.uint8(0), "os": np.float32(20),
            "w": weight, "ws": np.ones(10, np.float32), "wz": np.zeros(10, np.int8),
            "b": np.zeros(10, np.int32), "bs": np.full(10, 1 / 255, np.float32), "bz": np.zeros(10, np.int32),
        }.items()
    ]  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "bs", "bz"], ["bd"], axis=0),
        helper.make_node("Conv", ["xd", "wd", "bd"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "os", "z"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "os", "z"], ["cd"]),
        helper.make_node("Flatten", ["cd"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "m.onnx")
    images = np.linspace(0.9, 1, 8 * 36, dtype=np.float32).reshape(8, 4, 3, 3)
    np.savez(tmp_path / "e.npz", images=images, labels=np.zeros(8, np.int64))
    data = NpzData(evaluation=tmp_path / "e.npz").open(tmp_path / "hashes")
    judge = Judge(tmp_path / "m.onnx", data, old_cpu_pictures=8, seconds=0.02, work=tmp_path / "logits")
    assert judge.old_cpu(tmp_path / "m.onnx", "m") is not None
    exact, there = (np.load(tmp_path / "logits" / f"m.{name}.npy") for name in ("exact", "haswell"))
    assert (there[:, :5] < exact[:, :5]).all()
    np.testing.assert_array_equal(there[:, 5:], exact[:, 5:])


def test_a_tool_that_fails_is_a_row_with_its_reason(fixture: tuple[Path, Path, Path, Path]) -> None:
    folder, model, calibration, evaluation = fixture
    with pytest.raises(ToolFailed, match=r"failed: .*(Error|error)") as failure:
        run(
            script("nncf", "fast"),
            Path(sys.executable),
            folder / "no.onnx",
            calibration,
            evaluation,
            folder / "nncf",
            limit=60,
        )
    text = table(
        [Row(TOOLS["nncf"], failure=str(failure.value))],
        float_top1=0.5,
        float_bytes=model.stat().st_size,
        float_old_cpu=None,
        pictures=(40, 120, 8),
        where="today",
    )
    (row,) = [line for line in text.splitlines() if line.startswith("| NNCF")]
    assert str(failure.value) in row
    assert row.count("|") == text.splitlines()[0].count("|")


def test_an_environment_that_cannot_be_made_says_what_pip_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(CannotInstall, match=r"does not install: .*edgepipe-bench-none"):
        python_of(Environment("none", ("edgepipe-bench-none==1.0",), "none"), tmp_path)


def test_one_command_prints_the_table_with_edgepipe_run_as_a_user_would(
    fixture: tuple[Path, Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, model, calibration, evaluation = fixture
    code = command.main(
        [
            *("--model", str(model), "--calibration", str(calibration), "--evaluation", str(evaluation)),
            *("--tools", "edgepipe", "--haswell-size", "4", "--seconds", "0.02", "--out", str(folder / "out")),
        ]
    )
    text = capsys.readouterr().out
    assert code == 0, text
    (row,) = [line for line in text.splitlines() if line.startswith("| edgepipe")]
    assert "100%" in row
    assert (folder / "out" / "table.md").read_text(encoding="utf-8") in text
    assert (folder / "out" / "edgepipe" / "run" / "final" / "model.onnx").is_file()


def test_an_unknown_tool_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SystemExit, match="no tool 'tflite'; there are: ort_u8s8"):
        command.main(["--model", "m.onnx", "--evaluation", "e.npz", "--tools", "tflite"])
