"""The loop: real runs on a small model, through the command line's own entry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from edgepipe.__main__ import main
from edgepipe.contract.artifact import open_artifact
from edgepipe.records.metrics import Metrics
from tests.faults.processes import finish, start
from tests.small import arguments


def metrics(folder: Path) -> Metrics:
    return Metrics.model_validate_json((folder / "metrics.json").read_text())


def test_ptq_on_an_onnx_file_quantizes_every_convolution(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert main(arguments(tmp_path, f"hydra.run.dir={run}")) == 0
    found = metrics(run)
    assert found.status == "ok"
    assert [step.label for step in found.passes] == ["load", "quantize", "export"]
    assert found.final is not None
    assert found.final.int8_share.conv == 1.0
    assert found.versus_baseline is not None
    assert found.versus_baseline.agreement is not None
    assert found.versus_baseline.agreement > 0.9
    assert {"QuantizeLinear", "DequantizeLinear"} <= {
        node.op_type for node in onnx.load(run / "final" / "model.onnx").graph.node
    }
    assert {path.name for path in run.iterdir()} >= {
        "final",
        "steps",
        "recipe.yaml",
        "overrides.yaml",
        "metrics.json",
        "report.html",
    }
    assert "int8 conv" in capfd.readouterr().out


def test_two_empty_stores_give_the_same_bytes_and_a_full_store_computes_nothing(tmp_path: Path) -> None:
    files = []
    for name in ("a", "b"):
        assert main(arguments(tmp_path, f"hydra.run.dir={tmp_path / name}", f"store.root={tmp_path}/s{name}")) == 0
        files.append((tmp_path / name / "final" / "model.onnx").read_bytes())
    assert files[0] == files[1]
    assert main(arguments(tmp_path, f"hydra.run.dir={tmp_path}/c", f"store.root={tmp_path}/sa")) == 0
    assert [step.cached for step in metrics(tmp_path / "c").passes] == [True] * 3
    assert (tmp_path / "c" / "final" / "model.onnx").read_bytes() == files[0]


def test_a_changed_setting_recomputes_from_there_on(tmp_path: Path) -> None:
    assert main(arguments(tmp_path, f"hydra.run.dir={tmp_path}/a")) == 0
    assert main(arguments(tmp_path, f"hydra.run.dir={tmp_path}/b", "passes.quantize.observer=min_max")) == 0
    assert [step.cached for step in metrics(tmp_path / "b").passes] == [True, False, False]


def test_a_failing_pass_exits_1_says_which_and_keeps_what_was_done(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    wrong = ["passes.quantize.exclude=[one_cnov]", f"hydra.run.dir={run}"]
    assert main(arguments(tmp_path, *wrong)) == 1
    found = metrics(run)
    assert found.status == "failed"
    assert found.failure is not None
    assert found.failure.step == "quantize"
    assert "no node or operator 'one_cnov'" in found.failure.message
    assert [step.status for step in found.passes] == ["ok", "failed", "not_run"]
    assert not (run / "final").exists()
    assert (run / "steps" / "00_load" / "model.onnx").is_file()
    assert "Traceback" not in capfd.readouterr().err
    assert main(arguments(tmp_path, f"hydra.run.dir={run}")) == 0
    assert [step.cached for step in metrics(run).passes] == [True, False, False]
    capfd.readouterr()
    assert main(arguments(tmp_path, *wrong)) == 1  # into the folder of a good run: nothing of that one may stay
    assert sorted(path.name for path in (run / "steps").iterdir()) == ["00_load"]
    assert not (run / "final").exists()
    assert "error: passes.quantize.exclude: no node" in capfd.readouterr().err


def test_a_missed_goal_exits_1_and_shows_the_margin(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    argv = [item for item in arguments(tmp_path, f"hydra.run.dir={tmp_path}/run") if item != "~goal"]
    assert main([*argv, "goal.times_smaller=50"]) == 1
    found = metrics(tmp_path / "run")
    assert found.status == "missed_goal"
    assert (tmp_path / "run" / "final" / "model.onnx").is_file()
    assert "MISSED" in capfd.readouterr().out


def test_a_cached_run_imports_no_torch(tmp_path: Path) -> None:
    argv = arguments(tmp_path, f"hydra.run.dir={tmp_path}/run")
    assert main(argv) == 0
    code = (
        "import sys; from edgepipe.__main__ import main; code = main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules, 'torch was imported'; sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, text=True, timeout=120, env=os.environ, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(step.cached for step in metrics(tmp_path / "run").passes)


def test_a_sweep_records_a_failed_job_runs_the_others_and_exits_1(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    argv = arguments(tmp_path, f"hydra.sweep.dir={tmp_path}/sweep", "passes.quantize.exclude=[],[nowhere],[Gemm]")
    assert main(["-m", *argv]) == 1
    found = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert [run["status"] for run in found["runs"]] == ["ok", "failed", "ok"]
    assert "no node or operator 'nowhere'" in found["runs"][1]["failure"]
    page = (tmp_path / "sweep" / "sweep.html").read_text()
    assert page.count("<circle") == 6
    assert (tmp_path / "sweep" / found["runs"][0]["folder"] / "report.html").is_file()
    assert "1 of 3 jobs" in capfd.readouterr().err
    assert len((tmp_path / "sweep" / "sweep.csv").read_text().splitlines()) == 4


def test_labels_make_accuracy_and_without_labels_agreement_is_it(tmp_path: Path) -> None:
    assert main(arguments(tmp_path / "a", f"hydra.run.dir={tmp_path}/ra", labels=True)) == 0
    assert main(arguments(tmp_path / "b", f"hydra.run.dir={tmp_path}/rb", labels=False)) == 0
    labelled, bare = metrics(tmp_path / "ra"), metrics(tmp_path / "rb")
    assert labelled.final is not None
    assert labelled.final.top1 is not None
    assert labelled.final.top1 < 0.5  # labels drawn by chance
    assert bare.versus_baseline is not None
    assert bare.final is not None
    assert bare.final.top1 == bare.versus_baseline.agreement
    assert bare.versus_baseline.accuracy_drop == pytest.approx(1 - bare.final.top1)


def test_a_failed_run_leaves_no_model_of_an_earlier_one_in_its_folder(tmp_path: Path) -> None:
    run = f"hydra.run.dir={tmp_path}/run"
    assert main(arguments(tmp_path, run)) == 0
    assert (tmp_path / "run" / "final" / "model.onnx").is_file()
    assert main(arguments(tmp_path, run, "passes.quantize.exclude=[nowhere]")) == 1
    assert not (tmp_path / "run" / "final").exists()


def test_two_processes_with_one_run_folder_take_turns(tmp_path: Path) -> None:
    argv = arguments(tmp_path, "hydra.run.dir=run")
    both = [start(*argv, cwd=tmp_path) for _ in range(2)]
    assert sum("writing this run's folder" in finish(process) for process in both) == 1
    assert metrics(tmp_path / "run").status == "ok"
    open_artifact(tmp_path / "run" / "final")


def test_a_sweep_says_why_a_job_was_refused(tmp_path: Path) -> None:
    argv = arguments(tmp_path, f"hydra.sweep.dir={tmp_path}/sweep", "passes.quantize.observer=mse,mes")
    assert main(["-m", *argv]) == 1
    found = json.loads((tmp_path / "sweep" / "sweep.json").read_text())["runs"]
    assert found[0]["status"] == "ok"
    assert "passes.quantize.observer" in found[1]["failure"]
