"""The gate: what it lets through, what it stops, what it does not judge."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edgepipe.__main__ import main
from tests.small import arguments

_ONE = (
    '{"recipe": "ptq", "instruction_sets": [], '
    '"metrics": {"%s": {"value": %s, "better": "higher", "worse_by": 0.1, "relative": false}}}'
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("check")
    assert main(arguments(folder, f"hydra.run.dir={folder}/run")) == 0
    return folder / "run"


@pytest.fixture
def baseline(run: Path, tmp_path: Path) -> Path:
    assert main(["accept", str(run), "--baseline", str(tmp_path / "b.json")]) == 0
    return tmp_path / "b.json"


def changed(path: Path, name: str, **values: object) -> None:
    content = json.loads(path.read_text())
    content["metrics"][name].update(values)
    path.write_text(json.dumps(content))


def test_a_run_passes_its_own_baseline(run: Path, baseline: Path) -> None:
    assert main(["check", str(run), "--baseline", str(baseline)]) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("alike", 1.5), ("size_bytes", 1000.0), ("times_smaller", 30.0), ("times_faster", 50.0)],
)
def test_a_worse_metric_exits_1_and_is_named(
    run: Path, baseline: Path, tmp_path: Path, name: str, value: float, capfd: pytest.CaptureFixture[str]
) -> None:
    changed(baseline, name, value=value)
    files = ["--markdown", str(tmp_path / "c.md"), "--junit", str(tmp_path / "c.xml")]
    assert main(["check", str(run), "--baseline", str(baseline), *files]) == 1
    assert f"| {name} |" in capfd.readouterr().out
    suite = ElementTree.parse(tmp_path / "c.xml").getroot()
    assert suite.get("failures") == "1"
    assert [case.get("name") for case in suite if case.find("failure") is not None] == [name]
    assert "worse" in (tmp_path / "c.md").read_text()


def test_speed_is_not_judged_on_another_processor_and_it_says_so(
    run: Path, baseline: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    changed(baseline, "times_faster", value=50.0)
    content = json.loads(baseline.read_text()) | {"instruction_sets": ["NEON"]}
    baseline.write_text(json.dumps(content))
    assert main(["check", str(run), "--baseline", str(baseline)]) == 0
    out = capfd.readouterr().out
    assert "not judged (other processor: int8 by " in out
    assert "by NEON in the baseline)" in out


def test_accepting_again_keeps_the_tolerances_people_set(run: Path, baseline: Path) -> None:
    changed(baseline, "size_bytes", value=7.0, worse_by=0.4)
    assert main(["accept", str(run), "--baseline", str(baseline)]) == 0
    found = json.loads(baseline.read_text())["metrics"]["size_bytes"]
    assert found["worse_by"] == 0.4
    assert found["value"] > 1000


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "edgepipe accept RUN"),
        ("{", "b.json"),
        ('{"recipe": "x", "metrics": {}, "speed": 1}', "speed"),
        ('{"recipe": "ptq", "instruction_sets": [], "metrics": {}}', "metrics"),
        (_ONE % ("top2", "0.5"), "metrics.top2: no metric that can be checked. Did you mean 'top5'?"),
        (_ONE % ("top1", "NaN"), "metrics.top1.value"),
        (_ONE % ("size_bytes", "5"), "metrics.size_bytes.better: 'higher', but of size_bytes the lower value is the"),
        ((_ONE % ("top1", "0.5"))[:-1] + ', "schema_version": 3}', "schema_version"),
    ],
)
def test_an_unusable_baseline_exits_2(
    run: Path, tmp_path: Path, content: str | None, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "b.json"
    if content is not None:
        path.write_text(content)
    assert main(["check", str(run), "--baseline", str(path)]) == 2
    assert said in capfd.readouterr().err


def test_another_recipes_baseline_is_refused(run: Path, baseline: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = json.loads(baseline.read_text()) | {"recipe": "other"}
    baseline.write_text(json.dumps(content))
    assert main(["check", str(run), "--baseline", str(baseline)]) == 2
    assert "it is for 'other'" in capfd.readouterr().err


def test_a_regression_names_the_step_where_it_began(
    run: Path, baseline: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    worse = tmp_path / "worse"
    assert main(arguments(run.parent, f"hydra.run.dir={worse}", "passes.quantize.exclude=[Conv]")) == 0
    assert main(["check", str(worse), "--baseline", str(baseline)]) == 1
    out = capfd.readouterr().out
    assert "| int8_share.conv | 100.00% | 100.00% | 0.00% | worse, since step quantize |" in " ".join(out.split(" "))


def test_the_recipes_tolerance_comes_before_the_files(run: Path, baseline: Path, tmp_path: Path) -> None:
    changed(baseline, "size_bytes", value=1000.0)
    assert main(["check", str(run), "--baseline", str(baseline)]) == 1
    lenient = tmp_path / "lenient"
    assert main(arguments(run.parent, f"hydra.run.dir={lenient}", "tolerances.size_bytes=99999%")) == 0
    changed(baseline, "times_smaller", value=1.0)
    assert main(["check", str(lenient), "--baseline", str(baseline)]) == 0
    assert main(["accept", str(lenient), "--baseline", str(tmp_path / "new.json")]) == 0
    kept = json.loads((tmp_path / "new.json").read_text())["metrics"]["size_bytes"]
    assert (kept["worse_by"], kept["relative"]) == (999.99, True)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("tolerances.top2=0.1", "no metric that can be checked. Did you mean 'top5'?"),
        ("tolerances.top1=much", "as in 5%"),
    ],
)
def test_a_wrong_tolerance_is_refused(run: Path, override: str, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(run.parent, override)) == 2
    assert said in capfd.readouterr().err


def test_github_gets_annotations_and_a_summary(
    run: Path, baseline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    changed(baseline, "size_bytes", value=1000.0)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    assert main(["check", str(run), "--baseline", str(baseline)]) == 1
    assert "::error title=edgepipe ptq::size_bytes: " in capfd.readouterr().out
    assert "| size_bytes |" in (tmp_path / "summary.md").read_text()


@pytest.mark.parametrize("status", ["failed", "not_verified"])
def test_a_run_that_cannot_be_compared_is_a_failure_in_every_form(
    run: Path,
    baseline: Path,
    tmp_path: Path,
    status: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> None:
    content = json.loads((run / "metrics.json").read_text()) | {"status": status}
    if status == "failed":
        message = "it could not\n::error::injected \x1b[31m<b>"
        content["failure"] = {"step": "quantize", "error": "PassError", "message": message}
    else:
        content["proofs"] = [
            {"target": "arm64", "place": "A72", "status": "failed", "why": "other bits", "examples": 4}
        ]
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    files = ["--markdown", str(tmp_path / "c.md"), "--junit", str(tmp_path / "c.xml")]
    assert main(["check", str(tmp_path), "--baseline", str(baseline), *files]) == 1
    said = {"failed": "step quantize: it could not", "not_verified": "not verified: arm64: A72: other bits"}[status]
    suite = ElementTree.parse(tmp_path / "c.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    assert [said in str(failure.get("message")) for failure in suite.iter("failure")] == [True]
    assert said in (tmp_path / "c.md").read_text()
    assert "::error title=edgepipe ptq::" in (out := capfd.readouterr().out)
    assert out.count(said) == 2
    assert "\n::error::" not in out
    assert "<b>" not in (tmp_path / "c.md").read_text()
    assert main(["accept", str(tmp_path), "--baseline", str(tmp_path / "new.json")]) == 2
    assert not (tmp_path / "new.json").exists()


def test_a_metric_that_the_run_lacks_is_missed_by_name(
    run: Path, baseline: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(baseline.read_text())
    content["metrics"]["r2"] = {"value": 0.9, "better": "higher", "worse_by": 0.1}
    baseline.write_text(json.dumps(content))
    assert main(["check", str(run), "--baseline", str(baseline)]) == 1
    assert "| r2 | 0.9000 | 0.8000 | - | missing (the run did not measure it) |" in capfd.readouterr().out


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1e400", "1" + "0" * 400])
def test_a_number_that_is_none_is_refused_with_its_file_and_key(
    run: Path, baseline: Path, tmp_path: Path, value: str, capfd: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((run / "metrics.json").read_text())
    content["versus_baseline"]["times_smaller"] = "HERE"
    (tmp_path / "metrics.json").write_text(json.dumps(content).replace('"HERE"', value))
    assert main(["check", str(tmp_path), "--baseline", str(baseline)]) == 2
    said = f"error: {tmp_path}/metrics.json: versus_baseline.times_smaller: no finite number"
    assert capfd.readouterr().err.startswith(said)
    old = json.loads(baseline.read_text())
    old["steps"] = {"load": {"top1": "HERE"}}
    (tmp_path / "old.json").write_text(json.dumps(old).replace('"HERE"', value))
    assert main(["check", str(run), "--baseline", str(tmp_path / "old.json")]) == 2
    assert capfd.readouterr().err.startswith(f"error: {tmp_path}/old.json: steps.load.top1: no finite number")
    assert main(["accept", str(tmp_path), "--baseline", str(tmp_path / "new.json")]) == 2
    assert not (tmp_path / "new.json").exists()


def test_metrics_of_another_version_are_refused(run: Path, baseline: Path, tmp_path: Path) -> None:
    content = json.loads((run / "metrics.json").read_text()) | {"schema_version": 99}
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    assert main(["check", str(tmp_path), "--baseline", str(baseline)]) == 2
