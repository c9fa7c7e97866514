"""What lies in a run's folder is of one run, whatever killed the one before it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import edgepipe.engine.run
from edgepipe.__main__ import main
from edgepipe.errors import PassError
from edgepipe.records.metrics import read_metrics
from tests.small import arguments


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    assert main(arguments(folder, f"hydra.run.dir={folder}/run")) == 0
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole / "run", tmp_path / "run"))


def said(capfd: pytest.CaptureFixture[str]) -> str:
    return " ".join(capfd.readouterr().err.split())


def test_a_model_of_a_killed_run_is_gone_when_the_next_one_fails(
    whole: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("metrics.json", "report.html"):  # as a run leaves it that is killed between final/ and its metrics
        (run / name).unlink()
    (run / "steps" / "99_old").mkdir()

    def fails(*_: object) -> None:
        raise PassError("no")

    monkeypatch.setattr(edgepipe.engine.run, "_one_step", fails)
    assert main(["bundle", "verify", str(run)]) == 2
    assert main(arguments(whole, f"hydra.run.dir={run}")) == 1
    assert read_metrics(run).status == "failed"
    assert not (run / "final").exists()
    assert not (run / "steps").exists()
    assert main(["bundle", "verify", str(run)]) == 2


def test_a_run_that_fails_behind_its_deployment_has_none(
    whole: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prove(*_: object) -> None:
        assert (run / "final" / "model.onnx").is_file()
        raise PassError("it does not answer there")

    monkeypatch.setattr(edgepipe.engine.run, "_verify", prove)
    assert main(arguments(whole, f"hydra.run.dir={run}", "verify=[x86_avx2]")) == 1
    assert read_metrics(run).status == "failed"
    assert not (run / "final").exists()


@pytest.mark.parametrize(
    "verb", [["bundle", "verify"], ["bundle", "serve", "--port", "0"], ["device", "run", "ssh://x"]]
)
@pytest.mark.parametrize("case", ["killed", "failed", "another"])
def test_a_bundle_that_its_run_does_not_name_is_refused(
    run: Path, capfd: pytest.CaptureFixture[str], verb: list[str], case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, **_: f"/usr/bin/{name}")  # whether ssh is here or not
    record = json.loads((run / "metrics.json").read_text())
    if case == "killed":
        (run / "metrics.json").unlink()
        wanted = "of a run that did not end"
    elif case == "failed":
        record |= {"status": "failed", "files": {}, "failure": {"step": None, "error": "X", "message": "x"}}
        (run / "metrics.json").write_text(json.dumps(record))
        wanted = "not of this run, which failed and deployed nothing"
    else:
        record["files"]["model.onnx"] = "0" * 64
        (run / "metrics.json").write_text(json.dumps(record))
        wanted = "not the file that this run made: its SHA-256 is"
    assert main([*verb, str(run)]) == 2
    assert wanted in said(capfd)
    if case != "killed":
        assert main([*verb, str(run / "final")]) == 2
        assert wanted in said(capfd)


def test_a_bundle_copied_away_is_checked_by_itself(run: Path, tmp_path: Path) -> None:
    (run / "metrics.json").unlink()
    shutil.copytree(run / "final", tmp_path / "deployed")
    assert main(["bundle", "verify", str(tmp_path / "deployed")]) == 0
    (tmp_path / "deployed").rename(tmp_path / "final")
    assert main(["bundle", "verify", str(tmp_path / "final")]) == 0


def test_a_search_trial_that_fails_in_an_old_folder_keeps_no_old_model(whole: Path, run: Path) -> None:
    from edgepipe.recipe.compose import compose

    recipe, plan = compose(arguments(whole))
    (run / "metrics.json").unlink()

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edgepipe.engine.run, "_one_step", stopped)
        outcome = edgepipe.engine.run.run(recipe, plan, run)
    assert outcome.exit_code == 130
    assert not (run / "final").exists()
    assert read_metrics(run).status == "failed"
