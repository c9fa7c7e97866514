"""What Hydra's users know works here, through the real command line."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from edgepipe.__main__ import main
from edgepipe.recipe.explain import no_plugin
from edgepipe.recipe.launch import launch
from edgepipe.records.metrics import read_metrics
from tests.small import arguments

_OWN = """# @package _global_
defaults:
  - /model: onnx
  - /data: npz
  - _self_
passes:
  quantize:
    pass: quantize_static
    observer: {observer}
"""


def command(*argv: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgepipe", *argv],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_cfg_job_prints_the_composed_recipe_and_runs_nothing(tmp_path: Path) -> None:
    done = command("recipe=resnet18_int8", "passes.prune.ratio=0.7", "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = yaml.safe_load(done.stdout)
    assert shown["passes"]["prune"]["ratio"] == 0.7
    assert list(shown["passes"]) == ["train", "prune", "recover", "quantize", "export"]
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_over_recipes_and_a_config_dir(tmp_path: Path) -> None:
    argv = [item for item in arguments(tmp_path) if item not in ("recipe=ptq", "~goal")]
    own = tmp_path / "elsewhere"
    own.mkdir()
    for name in ("one", "two"):
        (own / f"{name}.yaml").write_text(_OWN.format(observer="mse" if name == "one" else "min_max"))
    done = command(
        "-m", "--config-dir", str(own), "recipe=one,two", *argv, f"hydra.sweep.dir={tmp_path}/sweep", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    runs = json.loads((tmp_path / "sweep" / "sweep.json").read_text())["runs"]
    assert [run["recipe"] for run in runs] == ["one", "two"]
    observers = [read_metrics(tmp_path / "sweep" / str(job)).passes[1].settings["observer"] for job in (0, 1)]
    assert observers == ["mse", "min_max"]


def test_a_recipe_as_a_path_runs_under_its_own_name(tmp_path: Path) -> None:
    argv = [item for item in arguments(tmp_path) if item not in ("recipe=ptq", "~goal")]
    path = tmp_path / "my recipes" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(_OWN.format(observer="mse"))
    assert main([f"recipe={path}", *argv, f"hydra.run.dir={tmp_path}/run"]) == 0
    assert read_metrics(tmp_path / "run").recipe == "mine"


def test_adding_and_removing_a_step(tmp_path: Path) -> None:
    added = ["+passes.again.pass=export", "+passes.again.batch=dynamic", "~passes.export"]
    assert main(arguments(tmp_path, *added, f"hydra.run.dir={tmp_path}/run")) == 0
    assert [step.label for step in read_metrics(tmp_path / "run").passes] == ["load", "quantize", "again"]


def test_shell_completion_offers_recipes(tmp_path: Path) -> None:
    script = command("--shell-completion", "install=bash", cwd=tmp_path)
    assert "complete" in script.stdout, script.stderr
    line = "edgepipe recipe=resnet18_i"
    asked = command(
        "--shell-completion",
        "query=bash",
        cwd=tmp_path,
        env={"COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_KEY": "9"},
    )
    assert "recipe=resnet18_int8" in asked.stdout, asked.stderr


def _plain(path: Path, description: str, more: str = "", header: str = "# @package _global_\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    groups = "defaults:\n  - /model: resnet18\n  - /data: digits\n  - _self_\n"
    path.write_text(f"{header}{groups}description: {description}\npasses: {{}}\n{more}")
    return path


def test_namesakes_given_as_paths_are_refused_and_never_mixed_up(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in "xy":
        _plain(tmp_path / folder / "same.yaml", f"from {folder}")
    _plain(tmp_path / "y" / "other.yaml", "other")
    assert main(["-m", "recipe=x/same.yaml,y/same.yaml"]) == 2
    assert "would both run as 'same': rename one" in capsys.readouterr().err
    for argv in (["recipe=x/same.yaml"], ["recipe=same", "--config-dir", "x"]):
        assert main(["plan", *argv]) == 0
        assert "same: from x" in capsys.readouterr().out
    # `y` is searched first, but its own `same` is not the one that was given.
    seen: list[str] = []
    launch(["-m", "recipe=x/same.yaml,y/other.yaml"], lambda config: seen.append(str(config.description)))
    assert seen == ["from x", "other"]


def test_a_recipe_may_set_where_it_runs_and_leave_its_header_out(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    _plain(tmp_path / "own.yaml", "mine", "hydra: {run: {dir: here}}\n", header="")
    assert main(["recipe=own.yaml", "--cfg", "hydra", "-p", "hydra.run"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["dir"] == "here"
    assert main(["plan", "recipe=own.yaml"]) == 0


@pytest.mark.parametrize("flag", ["--config-name", "--config-path", "--experimental-rerun"])
def test_flags_that_would_be_ignored_are_refused(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe=ptq", flag, "x"]) == 2
    assert f"{flag}: not used here" in capsys.readouterr().err


class _Closable(logging.Handler):
    """As absl's, whose `close` closes the standard error of the moment when it was made."""

    closed = False

    def close(self) -> None:
        self.closed = True
        super().close()


def test_a_run_logs_into_its_folder_and_leaves_the_logging_of_its_process_alone(tmp_path: Path) -> None:
    handler, root = _Closable(), logging.getLogger()
    before = (root.level, list(root.handlers), logging.raiseExceptions)
    assert main(arguments(tmp_path, f"hydra.run.dir={tmp_path}/run")) == 0
    assert main(["-m", *arguments(tmp_path, f"hydra.sweep.dir={tmp_path}/sweep", "seed=0,1")]) == 0
    assert not handler.closed
    assert (root.level, list(root.handlers), logging.raiseExceptions) == before
    for folder in ("run", "sweep/0", "sweep/1"):
        assert (tmp_path / folder / "edgepipe.log").read_text().count("[edgepipe][INFO] quantize: ") == 1


@pytest.mark.parametrize("override", ["hydra.job_logging.root.level=DEBUG", "hydra/hydra_logging=none"])
def test_overrides_that_would_be_ignored_are_refused(override: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe=ptq", override]) == 2
    assert "the log is edgepipe.log in the run's folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["passes.prune.ratio"], "'passes.prune.ratio' cannot be read: missing EQUAL"),
        (["-m", "passes.prune.ratio=[1,"], "'passes.prune.ratio=[1,' cannot be read"),
        ([""], "'' cannot be read"),
        (["a b"], "'a b' cannot be read"),
        (["~passes.prnue"], "~passes.prnue: nothing of this name is there to remove"),
        (["hydra.run.dir="], "hydra.run.dir: is empty"),
        (["-m", "hydra/launcher=nonsense"], "there is no launcher 'nonsense'. Known: basic"),
        (["-m", "hydra.launcher=joblib"], "hydra/launcher=joblib"),
        (["-m", "hydra.launcher.n_jobs=2"], "hydra.launcher.n_jobs: the launcher in use has no such setting"),
        (["model=null"], "model: cannot be null: name one of: "),
        (["store.root="], "store.root: String should have at least 1 character"),
        (["hydra.run.dirr=x"], "Did you mean 'hydra.run.dir'?"),
    ],
)
def test_overrides_that_cannot_be_meant_are_refused_in_words(
    argv: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["recipe=resnet18_int8", *argv]) == 2
    text = capsys.readouterr().err
    assert said in text
    assert "internal error" not in text
    assert list(tmp_path.iterdir()) == []


def test_a_launcher_of_an_extra_that_is_not_installed_names_the_extra() -> None:
    known = ["basic"]
    assert "pip install 'edgepipe[sweep]'" in no_plugin("launcher", "joblib", known)
    assert "pip install 'edgepipe[slurm]'" in no_plugin("launcher", "submitit_local", known)


@pytest.mark.parametrize("argv", [[], ["query=bash"], ["install=nonsense"], ["install=bash", "query=bash"]])
def test_shell_completion_asked_for_wrongly_says_how(
    argv: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COMP_LINE", raising=False)
    assert main(["--shell-completion", *argv]) == 2
    assert 'eval "$(edgepipe --shell-completion install=bash)"' in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["recipe=resnet18_int8", "--help"], ["plan", "--help"], ["list", "-h"]])
def test_help_runs_nothing(
    argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 0
    assert capsys.readouterr().out.startswith("edgepipe: declarative")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("argv", [["doctor", "nonsense"], ["schema", "nonsense"], [""]])
def test_words_that_mean_nothing_are_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert capsys.readouterr().err.startswith("error: command line: ")


STUDENT = "+passes.teach.student"
SMALL = ("recipe=resnet18_small", "data.root=pictures", "model.weights=w.safetensors", "model.num_classes=10")


def test_a_student_that_torchvision_does_not_have_is_refused_before_anything_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = (
        "passes.recover.student.name: torchvision has no classification network 'mobilnet_v2'. "
        "Did you mean 'mobilenet_v2'?"
    )
    asked = ["passes.recover.pass=distill", "+passes.recover.student.name=mobilnet_v2"]
    assert main(["plan", "recipe=resnet18_int8", *asked]) == 2
    assert capsys.readouterr().err == f"error: resnet18_int8: {wanted}\n"
    run = tmp_path / "run"
    assert main(["recipe=resnet18_int8", *asked, f"hydra.run.dir={run}", f"store.root={tmp_path}/store"]) == 2
    assert wanted in capsys.readouterr().err
    assert not (run / "steps").exists()


@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        ([f"{STUDENT}.nam=resnet18"], ["student.name: missing", "student.nam: unknown key. Did you mean 'name'?"]),
        ([f"{STUDENT}.name=resnet18", "+passes.teach.freeze_batchnorm=true"], ["a new student has none yet"]),
    ],
)
def test_what_is_wrong_about_a_student_is_said(
    overrides: list[str], wanted: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *SMALL, *overrides]) == 2
    err = capsys.readouterr().err
    assert all(text in err for text in wanted), err


def test_composing_a_recipe_with_a_student_imports_no_torch() -> None:
    """A run whose steps are all stored need not wait for it."""
    asked = repr([*SMALL, f"{STUDENT}.name=mobilenet_v2"])
    code = f"import sys; sys.modules['torch'] = None; from edgepipe.recipe.compose import compose; compose({asked})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_a_run_in_a_folder_with_someone_elses_metrics_removes_nothing(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"loss": 0.5}')
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "precious.txt").write_text("mine")
    assert main(arguments(tmp_path, f"hydra.run.dir={tmp_path}")) == 2
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"loss": 0.5}
    assert (tmp_path / "steps" / "precious.txt").read_text() == "mine"


@pytest.mark.parametrize("value", ["glob(mine_*)", "choice(mine_b,mine_a)", "'mine_a','mine_b'"])
def test_recipes_are_swept_in_every_way_that_hydra_knows(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mine_a", "mine_b"):
        _plain(tmp_path / "recipes" / f"{name}.yaml", name)
    seen: list[str] = []
    launch(["-m", f"recipe={value}", "model=resnet50"], lambda config: seen.append(str(config.description)))
    assert sorted(seen) == ["mine_a", "mine_b"]


@pytest.mark.parametrize(
    ("value", "said"),
    [("glob(nosuch*)", "no recipe is named like nosuch*"), ("choice(ptqq,ptq)", "Did you mean 'ptq'?")],
)
def test_a_sweep_over_no_recipe_is_refused(value: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", f"recipe={value}", "seed=1"]) == 2
    assert said in capsys.readouterr().err


def test_tracking_may_be_set_to_null() -> None:
    assert main(["recipe=resnet18_int8", "tracking=null", "--cfg", "job"]) == 0


def test_recipes_are_listed_beside_files_that_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _plain(tmp_path / "recipes" / "mine.yaml", "the one I wrote")
    for name, content in (("alist", b"- a\n"), ("broken", b"passes: {a: "), ("binary", b"\xff\xfe\x00")):
        (tmp_path / "recipes" / f"{name}.yaml").write_bytes(content)
    assert main(["list", "recipes"]) == 0
    shown = capsys.readouterr().out
    assert "the one I wrote" in shown
    assert shown.count("not a recipe: ") == 3


@pytest.mark.parametrize("broken", ["cli.job._job", "engine.run._deploy"])
def test_the_log_of_a_defect_is_named_as_the_user_reaches_it(
    broken: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object) -> None:
        raise RuntimeError("a defect")

    argv = arguments(tmp_path)
    monkeypatch.setattr(f"edgepipe.{broken}", defect)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for folder, shown in (("../there/run", f"{tmp_path}/there/run"), ("deep/run", "deep/run")):
        assert main([*argv, f"hydra.run.dir={folder}"]) == 1
        assert f"RuntimeError: a defect. The traceback is in {shown}/edgepipe.log" in capsys.readouterr().err
        assert "a defect" in Path(shown, "edgepipe.log").read_text()


def test_jobs_that_share_a_folder_are_refused_a_common_table(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    argv = arguments(tmp_path, f"hydra.sweep.dir={tmp_path}/sweep", "hydra.sweep.subdir=same", "seed=0,1")
    assert main(["-m", *argv]) == 2
    assert f"hydra.sweep.subdir: 2 jobs wrote into {tmp_path}/sweep/same/" in capfd.readouterr().err
    argv = arguments(tmp_path, f"hydra.sweep.dir={tmp_path}/deep", "hydra.sweep.subdir=a/${hydra.job.num}", "seed=0,1")
    assert main(["-m", *argv]) == 0
    assert (tmp_path / "deep" / "sweep.html").is_file()


@pytest.mark.parametrize(
    ("params", "typed", "said"),
    [
        ("{seed: 'range(0,10000)', measure.seed: 'range(0,10000)'}", [], "a sweep of 100,000,000 jobs: 10,000 are"),
        ("{seed: 'range(0,1000)'}", ["measure.seed=range(0,11)"], "a sweep of 11,000 jobs"),
        ("{}", ["seed=range(0,1000000000)"], "a sweep of 1,000,000,000 jobs"),
        ("{}", ["seed=shuffle(range(0.0,1e300,0.1))"], "a sweep of more than 10^12 jobs"),
        ("{}", ["seed=tag(t,int(range(0,1e9)))"], "a sweep of 1,000,000,000 jobs"),
        ("{}", ["seed=range(0,101)", "measure.seed=range(0,100)"], "seed has 101 values, measure.seed has 100 values"),
        ("{}", ["seed=range(0,5,0)"], "seed: range(0,5,0) has no values, or no end"),
        ("{}", ["seed=range(5,1)"], "seed: range(5,1,1) has no values"),
        ("{}", ["seed=range(1,1e400)"], "seed: range(1,inf,1) has no values, or no end"),
        (f"{{seed: '{'1,' * 60_000}1'}}", [], "hydra.sweeper.params: values of 120,001 letters"),
    ],
)
def test_a_sweep_of_too_many_jobs_is_refused_before_they_are_written_out(
    params: str, typed: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text(
        "defaults:\n  - /model: resnet18\n  - /data: digits\n  - _self_\npasses: {}\n"
        f"hydra: {{sweeper: {{params: {params}}}}}\n"
    )
    assert main(["-m", "recipe=r.yaml", *typed]) == 2
    assert said in capsys.readouterr().err
    assert not Path("outputs").exists()


@pytest.mark.parametrize("typed", ["{0}", "+{0}", "++{0}", "-m {0}", "-m seed=1,2 {0}", "hydra={{output_subdir:{1}}}"])
def test_nothing_of_hydras_is_written_over_a_folder_of_the_users(
    typed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("thesis").mkdir()
    for name in ("config.yaml", "hydra.yaml", "overrides.yaml"):
        Path("thesis", name).write_text("mine")
    words = typed.format(f"hydra.output_subdir={tmp_path}/thesis", f"{tmp_path}/thesis").split()
    assert main([*arguments(tmp_path / "in"), "hydra.run.dir=run", "hydra.sweep.dir=sweep", *words]) == 2
    assert "hydra.output_subdir: not used here" in capsys.readouterr().err
    assert {path.read_text() for path in Path("thesis").iterdir()} == {"mine"}
    assert not Path("run").exists()
    assert not Path("sweep").exists()


def test_a_sweep_goes_over_the_recipe_and_not_over_hydra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text(
        "defaults:\n  - /model: resnet18\n  - /data: digits\n  - _self_\npasses: {}\n"
        "hydra: {sweeper: {params: {seed: '1,2'}}}\n"
    )
    assert main(["-m", "recipe=r.yaml", "++hydra.sweeper.params={hydra.output_subdir:/nowhere}"]) == 2
    assert "hydra.sweeper.params.hydra.output_subdir: a sweep goes over the recipe's own" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tmp_path / "r.yaml"]
