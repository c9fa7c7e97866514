"""Search: what is sampled, cheap trials first, a study that is shared and resumed, the best recipe as plain YAML."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edgepipe.__main__ import main
from edgepipe.errors import EdgepipeError, RecipeError
from edgepipe.recipe.searched import Span
from edgepipe.records.metrics import read_metrics
from edgepipe.records.pareto import choose, promising
from tests.small import arguments

optuna = pytest.importorskip("optuna", reason="needs the extra search: pip install 'edgepipe[search]'")


def test_the_best_meets_the_goal_and_is_beaten_by_none_else_the_nearest_miss() -> None:
    names = {"quality": True, "size_bytes": False}
    missed = [{"times_smaller": share} for share in (0.1, -0.1, -0.2, 0.3)]
    points = list(zip(([0.9, 50.0], [0.8, 20.0], [0.85, 20.0], [0.7, 10.0]), missed, strict=True))
    assert choose(points, names) == (2, True)
    assert choose([points[0], points[3]], names) == (0, False)
    assert choose([([0.9, 50.0], {}), ([0.9, 40.0], {})], names) == (1, True)


def test_what_a_full_run_does_not_change_is_met_first_and_then_quality_is_nearest() -> None:
    names = {"quality": True, "size_bytes": False}
    large = ([0.9, 50.0], {"times_smaller": 0.05, "accuracy_drop": 0.1})
    small, smaller = (
        ([quality, size], {"times_smaller": -size, "accuracy_drop": drop})
        for quality, size, drop in ((0.8, 20.0, 3.0), (0.85, 19.0, 2.0))
    )
    assert promising([large, small, smaller], names) == 2
    assert promising([large, small], names) == 1
    assert promising([([0.9, 50.0], {}), ([0.9, 40.0], {})], names) == 1


def study(folder: Path, name: str = "search") -> list:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{folder}/study.db").get_trials()


def test_a_search_ends_with_a_recipe_that_reproduces_its_result_and_goes_on_where_it_stopped(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "search"
    argv = arguments(tmp_path, "passes.quantize.observer=min_max,percentile")
    argv += ["passes.quantize.percentile=interval(99.0,99.9)", "--objectives", "agreement,size_bytes"]
    argv += ["--cheap", "data.evaluation_size=30", "--out", str(out)]
    assert main(["search", *argv, "--trials", "2", "--minutes", "0.0001"]) == 1
    assert "no trial came to an end in full: the time was over before" in capfd.readouterr().err
    assert main(["search", *argv, "--trials", "2"]) == 0
    assert (len(study(out, "cheap")), len(study(out))) == (2, 1)
    assert main(["search", *argv, "--trials", "3", "--full", "2"]) == 0
    cheap, done = study(out, "cheap"), study(out)
    assert (len(cheap), len(done)) == (3, 2)
    assert {trial.state for trial in (*cheap, *done)} == {optuna.trial.TrialState.COMPLETE}
    assert done[0].params != done[1].params
    assert all(trial.params in [point.params for point in cheap] for trial in done)
    for trial, examples in ((cheap[0], 30), (done[0], 120)):
        assert read_metrics(out / trial.user_attrs["folder"]).final.examples == examples  # type: ignore[union-attr]
    assert (out / "sweep.html").is_file()
    assert (out / "cheap" / "sweep.html").is_file()
    said = capfd.readouterr().out
    assert "3 points tried cheaply, 2 run in full, 0 failed" in said
    assert "best: passes.quantize.observer=" in said
    assert main([f"recipe={out}/best.yaml", f"hydra.run.dir={tmp_path}/again"]) == 0
    again = read_metrics(tmp_path / "again")
    assert all(step.cached for step in again.passes)
    same = [read_metrics(out / trial.user_attrs["folder"]).files for trial in done]
    assert {name: digest for name, digest in again.files.items() if name == "model.onnx"} in [
        {name: digest for name, digest in files.items() if name == "model.onnx"} for files in same
    ]
    with pytest.raises(RecipeError, match="study of another search"):
        from edgepipe.cli.search import main_search

        main_search([*argv, "passes.quantize.per_channel=true,false"])


def test_a_point_that_fails_in_full_makes_room_and_a_folder_that_is_gone_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from edgepipe.search import trial as search

    argv = arguments(tmp_path, "passes.quantize.observer=min_max,percentile,least_error")
    argv += ["--objectives", "agreement", "--trials", "3", "--out", str(tmp_path / "s")]
    more = ["--cheap", "data.evaluation_size=30", "--full", "1"]
    run, failed = search.run, []

    def fails_once(recipe: Any, plan: Any, place: Path, **rest: Any) -> Any:
        if place.parent.name == "trials" and not failed:
            failed.append(place)
            raise EdgepipeError("too hot")
        return run(recipe, plan, place, **rest)

    monkeypatch.setattr(search, "run", fails_once)
    assert main(["search", *argv, *more]) == 0
    assert "3 points tried cheaply, 1 run in full, 1 failed" in capfd.readouterr().out
    shutil.rmtree(tmp_path / "s" / "cheap" / "0000")
    assert main(["search", *argv, *more]) == 0
    said = capfd.readouterr()
    assert "cheap/0000: its metrics.json is gone, so it is left out" in said.err.replace("\n", "")
    assert "points tried cheaply, 1 run in full" in said.out


def test_a_setting_that_cannot_run_ends_its_trial_and_a_missed_goal_names_the_nearest(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    argv = [item for item in arguments(tmp_path) if item != "~goal"]
    argv += ["goal.times_smaller=50", "passes.quantize.exclude=[],[nowhere]", "--objectives", "agreement"]
    assert main(["search", *argv, "--trials", "4", "--out", str(tmp_path / "s")]) == 1
    captured = capfd.readouterr()
    assert "nothing meets the goal; nearest miss: passes.quantize.exclude=[]" in captured.out
    assert "goal 50.00x: MISSED" in captured.out
    assert "no node or operator 'nowhere'" in captured.err


@pytest.mark.slow
def test_two_processes_share_a_study(tmp_path: Path) -> None:
    argv = ["search", *arguments(tmp_path), "passes.quantize.percentile=interval(99.0,99.9)"]
    argv += ["passes.quantize.observer=percentile", "--objectives", "agreement", "--trials", "6"]
    command = [sys.executable, "-m", "edgepipe", *argv, "--out", str(tmp_path / "s")]
    both = [subprocess.Popen(command, env=os.environ) for _ in range(2)]
    assert [process.wait(timeout=500) for process in both] == [0, 0]
    trials = study(tmp_path / "s")
    assert len(trials) == 6
    assert len({trial.params["passes.quantize.percentile"] for trial in trials}) == len(trials)


@pytest.mark.slow
def test_an_interrupted_point_is_the_next_to_be_run(tmp_path: Path) -> None:
    argv = ["search", *arguments(tmp_path), "passes.quantize.percentile=interval(99.0,99.9)", "--trials", "2"]
    argv += ["passes.quantize.observer=percentile", "--objectives", "agreement", "--out", str(tmp_path / "s")]
    command = [sys.executable, "-m", "edgepipe", *argv]
    with subprocess.Popen(command, preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL)) as process:
        while process.poll() is None and not (tmp_path / "s" / "trials" / "0000").exists():
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=200) == 130
    first, waiting = study(tmp_path / "s")
    assert (first.state.name, waiting.state.name) == ("FAIL", "WAITING")
    assert subprocess.run(command, timeout=500).returncode == 0
    _, second, third = study(tmp_path / "s")
    assert second.params == first.params != third.params
    assert {second.state.name, third.state.name} == {"COMPLETE"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--objectives", "sise_bytes"], "Did you mean 'size_bytes'"),
        (["--trials", "0"], "--trials: at least 1"),
        (["--minutes", "0"], "--minutes: more than 0"),
        (["--full", "2"], "--full: without --cheap"),
        (["--objectives", "agreement,agreement"], "twice"),
        (["--cheap", "passes.quantize.per_channel=true"], "is searched"),
        (["model=glob(*)"], "glob"),
        (["--minutes", "nan"], "--minutes: more than 0"),
        (["--objectives", "quality,r2"], "r2 is measured for regression, and this recipe's task is classification"),
        (["--cheap", "seed=1", "--cheap-share", "1"], "--cheap-share: between 0 and 1"),
        (["passes.quantize.obzerver=a,b"], "unknown key"),
    ],
)
def test_mistakes_are_found_before_the_first_trial(
    tmp_path: Path, more: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    argv = arguments(tmp_path, "passes.quantize.per_channel=true,false")
    assert main(["search", *argv, *more, "--out", str(tmp_path / "s")]) == 2
    assert said in capfd.readouterr().err
    assert not (tmp_path / "s" / "trials").exists()


def test_a_place_that_holds_no_study_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    argv = ["search", *arguments(tmp_path, "passes.quantize.per_channel=true,false")]
    (tmp_path / "file").write_text("no folder")
    assert main([*argv, "--out", str(tmp_path / "file")]) == 2
    assert "--out: " in capfd.readouterr().err
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "study.db").write_text("no database" * 1000)
    (tmp_path / "s" / ".edgepipe").write_text("edgepipe results: made by edgepipe")
    assert main([*argv, "--out", str(tmp_path / "s")]) == 2
    assert "study.db: not the file of a study" in capfd.readouterr().err


def test_few_points_are_each_tried_once_and_another_recipe_is_another_study(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    argv = arguments(tmp_path, "passes.quantize.per_channel=true,false")
    argv += ["--objectives", "agreement", "--out", str(tmp_path / "s"), "--trials", "9"]
    more = ["--cheap", "data.evaluation_size=30", "--full", "5"]
    assert main(["search", *argv, *more]) == 0
    trials = study(tmp_path / "s")
    assert sorted(trial.params["passes.quantize.per_channel"] for trial in trials) == ["False", "True"]
    assert main(["search", *argv, *more, "goal.times_smaller=1.5"]) == 2
    assert "study of another search" in capfd.readouterr().err


def test_a_run_whose_proof_failed_is_no_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEPIPE_CACHE", str(tmp_path / "nothing"))  # where the means of arm64 are installed
    argv = arguments(tmp_path, "passes.quantize.per_channel=true,false")
    argv += ["verify=[arm64]", "require_verify=true", "--trials", "1", "--out", str(tmp_path / "s")]
    assert main(["search", *argv]) == 1
    said = capfd.readouterr().out
    assert "nothing meets the goal; nearest miss" in said
    assert "not verified" in said


def test_a_point_that_is_drawn_again_is_followed_by_one_that_was_not_tried() -> None:
    import optuna

    from edgepipe.search.study import sample

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    tried = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=2))
    space: dict[str, list[str] | Span] = {"a": ["1", "2", "3", "4"], "b": Span(1, 3, whole=True)}

    def objective(trial: optuna.Trial) -> list[float]:
        return [float(trial.suggest_categorical("a", ["1", "2", "3", "4"])) + trial.suggest_int("b", 1, 3)]

    sample(tried, objective, space, trials=12, ends=None)
    assert len({repr(sorted(trial.params.items())) for trial in tried.trials}) == 12
    assert len(tried.trials) <= 24
