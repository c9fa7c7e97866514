"""ARM64 and the browser, for real: an int8 graph answers bit-identically there, and only the browser has a time."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml

from edgepipe.__main__ import main
from edgepipe.contract import PlaceAnswers
from edgepipe.errors import VerifyError
from edgepipe.records.metrics import Metrics
from edgepipe.store.store import Store
from edgepipe.testing.runs import inputs_of
from edgepipe.testing.toys import SIGNATURE, classifier
from edgepipe.verify import installed
from edgepipe.verify.places import arm64
from edgepipe.verify.places.arm64 import CORES, Arm64
from edgepipe.verify.places.browser import BrowserWasm
from edgepipe.verify.places.x86 import Emulated, X86Avx2
from edgepipe.verify.prove import examples_of_arrays, prove
from tests.measure.graphs import small_network
from tests.small import arguments
from tests.verify.saturating import saturating

ARM, BROWSER = Arm64().lacking(), BrowserWasm().lacking()


def verified(tmp_path: Path, target: str, *more: str) -> Metrics:
    argv = [*saturating(tmp_path, labels=True), f"verify=[{target}]", "verify_examples=6", *more]
    assert main([*argv, f"hydra.run.dir={tmp_path}/run", "passes.quantize.saturation_safe=false"]) == 0
    return Metrics.model_validate_json((tmp_path / "run" / "metrics.json").read_text())


@pytest.mark.skipif(ARM is not None, reason=f"arm64: {ARM}")
def test_even_weights_that_saturate_on_x86_are_bit_identical_on_arm(tmp_path: Path) -> None:
    proofs = verified(tmp_path, "arm64").proofs
    assert [proof.place for proof in proofs] == ["ARM Cortex-A72, emulated", "ARM Cortex-A76, emulated"]
    assert all(proof.identical and proof.alike == 1.0 and proof.examples == 6 for proof in proofs)
    assert all(proof.latency_p50_ms is None for proof in proofs)
    assert all(proof.top1 == proof.top1_here for proof in proofs)


@pytest.mark.skipif(BROWSER is not None, reason=f"browser_wasm: {BROWSER}")
def test_the_browser_answers_bit_identically_with_one_thread_and_two_and_has_a_time(tmp_path: Path) -> None:
    proofs = verified(tmp_path, "browser_wasm").proofs
    assert [(proof.place, proof.threads) for proof in proofs] == [
        ("Node, 1 thread", 1),
        ("Node, 2 threads", 2),
        ("Chromium, 1 thread", 1),
        ("Chromium, 2 threads", 2),
    ]
    assert all(proof.identical for proof in proofs)
    assert all(proof.latency_p50_ms is not None and 0 < proof.latency_p50_ms < 1000 for proof in proofs)
    assert all(proof.runtime.startswith("onnxruntime-web 1.") for proof in proofs)


@pytest.mark.skipif(BROWSER is not None, reason=f"browser_wasm: {BROWSER}")
def test_a_goal_of_milliseconds_is_judged_once_they_are_measured(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    argv = [part for part in saturating(tmp_path) if part != "~goal"]
    goal = ["target=browser_wasm", "goal.latency_ms=1000", "goal.times_smaller=null", "goal.accuracy_drop=null"]
    goal += [f"hydra.run.dir={run}"]

    def metrics() -> Metrics:
        return Metrics.model_validate_json((run / "metrics.json").read_text())

    assert main([*argv, *goal]) == 1
    assert "latency on the target, ms: wanted 1000, not measured" in capfd.readouterr().out
    assert metrics().status == "missed_goal"
    command = ["verify", str(run), "--on", "browser_wasm", "--examples", "4"]
    assert main(command) == 0
    assert "latency on the target, ms: " in (out := capfd.readouterr().out)
    assert "goal 1000: met" in out
    line = next(line for line in metrics().goal if line.name == "latency_ms")
    slowest = max(proof.latency_p50_ms or 0 for proof in metrics().proofs if proof.threads == 1)
    assert (metrics().status, line.met, line.got, line.method) == ("ok", True, slowest, "")
    assert "latency_ms" in [item.name for item in metrics().estimates if item.measured]

    (run / "metrics.json").write_text(
        (run / "metrics.json").read_text().replace('"wanted": 1000.0', '"wanted": 0.0001')
    )
    assert main(command) == 1  # the answers are right, and too late
    assert "MISSED" in capfd.readouterr().out
    assert metrics().status == "missed_goal"


def test_a_place_that_cannot_run_fails_with_what_it_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    emulator = tools / "qemu-x86_64-static"
    emulator.write_text("#!/bin/sh\necho 'illegal instruction 0x62' >&2\nexit 132\n")
    emulator.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    argv = [*saturating(tmp_path), "verify=[x86_avx2]", f"hydra.run.dir={tmp_path}/run"]
    assert main(argv) == 1
    (proof,) = Metrics.model_validate_json((tmp_path / "run" / "metrics.json").read_text()).proofs
    assert proof.status == "failed"
    assert "ended with code 132: illegal instruction 0x62" in proof.why


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda *_: {}["x"], "Haswell, emulated: raised KeyError: 'x'. This is a defect of the place"),
        (lambda *_: None, "returned NoneType in place of PlaceAnswers"),
        (lambda *_: PlaceAnswers({}, "a runtime"), "outputs  there and"),
    ],
)
def test_a_defect_of_a_place_is_told_with_its_name_as_a_failed_proof(
    answer: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(X86Avx2, "lacking", lambda _: None)
    monkeypatch.setattr(Emulated, "identity", lambda _: {})
    monkeypatch.setattr(Emulated, "answer", answer)
    examples = examples_of_arrays(inputs_of(SIGNATURE, 3), None)
    (proof,) = prove(classifier(tmp_path / "m.onnx"), examples, ["x86_avx2"], Store(tmp_path / "store"))
    assert proof.status == "failed"
    assert said in proof.why


X = np.zeros((5, 1, 8, 8), np.float32)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"images": X[:0]}, "`images` has shape (0, 1, 8, 8): give (examples, ...)"),
        ({"images": np.float32(3)}, "`images` has shape (): give (examples, ...)"),
        ({"images": np.array(["a"] * 5)}, "`images` holds no numbers, but <U1"),
        ({"images": np.array([{}, 1])}, "it holds Python objects, which can run code when loaded"),
        ({"images": X, "labels": np.zeros(3, np.int64)}, "`labels` have shape (3,), but there are 5 examples"),
        ({"images": X, "labels": np.array(["a"] * 5)}, "`labels` holds no numbers, but <U1"),
        ({"images": X, "labels": np.full(5, 0.5)}, "`labels` are no classes: give whole numbers"),
        ({"images": X, "labels": np.full(5, np.nan)}, "`labels` are no classes: give whole numbers"),
        ({"labels": np.zeros(5, np.int64)}, "no array in it but the labels"),
        ({"ids": X, "mask": X[:3]}, "there are 5 of `ids`, 3 of `mask`"),
        (None, "not an .npz file: write it with numpy.savez"),
    ],
)
def test_inputs_that_are_no_examples_are_refused_in_a_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], arrays: dict[str, Any] | None, said: str
) -> None:
    file, model = tmp_path / "e.npz", small_network(tmp_path / "m.onnx")
    if arrays is None:
        np.save(file.open("wb"), X)
    else:
        np.savez(file, allow_pickle=True, **arrays)
    command = ["verify", str(model), "--on", "x86_avx2", "--inputs", str(file), "--store", str(tmp_path / "store")]
    assert main([*command, "--examples", "2"]) == 2
    text = capfd.readouterr().err
    assert f"error: {file}: " in text
    assert said in text


def test_an_arm_cpuinfo_names_the_core_that_is_emulated() -> None:
    a72, a76 = (core.cpuinfo() for core in CORES)
    assert "CPU part\t: 0xd08" in a72
    assert "asimddp" not in a72  # no dot products
    assert "CPU part\t: 0xd0b" in a76
    assert "asimddp" in a76


def test_an_installation_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPIPE_CACHE", str(tmp_path))
    old = installed.installed("arm64")
    old.mkdir()
    (old / "wheels.txt").write_text("old")

    def broken(part: Path) -> None:
        (part / "half").write_text("")
        raise VerifyError("no network")

    with pytest.raises(VerifyError, match="no network"):
        installed.install_into(old, broken)
    assert [path.name for path in tmp_path.iterdir()] == ["arm64"]
    assert (old / "wheels.txt").read_text() == "old"


def test_targets_says_what_is_lacking_and_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEPIPE_CACHE", str(tmp_path))
    assert main(["targets"]) == 0
    out = capfd.readouterr().out
    assert "arm64: its root is not prepared: edgepipe targets install arm64" in out or "is missing" in out
    assert main(["targets", "install", "arm46"]) == 2
    assert "Did you mean 'arm64'?" in capfd.readouterr().err
    assert main(["targets", "install"]) == 2


@pytest.mark.parametrize("ready", [True, False])
def test_what_needs_no_installation_is_ready_or_says_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], ready: bool
) -> None:
    monkeypatch.setattr(X86Avx2, "lacking", lambda _self: None if ready else "apt-get install it")
    assert main(["targets", "install", "x86_avx2"]) == 2
    said = capfd.readouterr().err
    assert said.endswith("'x86_avx2'. It " + ("is ready here\n" if ready else "lacks: apt-get install it\n"))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--on", ""], "--on: name at least one of x86_avx2, arm64, browser_wasm"),
        (["--on", " ,", "--require-verify"], "--on: name at least one of"),
        (["--examples", "0"], "--examples must be at least 1, found 0"),
        (["--examples", "-5"], "--examples must be at least 1, found -5"),
        (["--agreement", "nan"], "--agreement must be in [0, 1], found nan"),
        (["--agreement", "1.5"], "--agreement must be in [0, 1], found 1.5"),
        (["--agreement", "-0.1"], "--agreement must be in [0, 1], found -0.1"),
    ],
)
def test_options_that_would_prove_nothing_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], option: list[str], said: str
) -> None:
    (tmp_path / "model.onnx").write_text("")
    assert main(["verify", str(tmp_path), "--on=x86_avx2", *option, "--store", str(tmp_path / "store")]) == 2
    assert f"error: command line: verify: {said}" in capfd.readouterr().err
    assert not (tmp_path / "store").exists()


def test_another_file_or_a_recipe_that_no_run_wrote_is_refused_in_a_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(arguments(tmp_path, "measure.latency_seconds=0.05", f"hydra.run.dir={run}")) == 0
    recipe = (run / "recipe.yaml").read_text()
    for key, value, said in (
        ("store", "null", "recipe.yaml: store: "),
        ("verify_examples", "abc", "recipe.yaml: verify_examples: "),
        ("verify_agreement", "2", "recipe.yaml: verify_agreement: "),
        ("data", "[1]", "recipe.yaml: data: "),
        ("target", "{cores: 4}", "recipe.yaml: target.cores: "),
    ):
        (run / "recipe.yaml").write_text(yaml.safe_dump({**yaml.safe_load(recipe), key: yaml.safe_load(value)}))
        assert main(["verify", str(run), "--on", "x86_avx2"]) == 2
        assert said in capfd.readouterr().err
    (run / "recipe.yaml").write_text("- 1")
    assert main(["verify", str(run), "--on", "x86_avx2"]) == 2
    (run / "recipe.yaml").write_text(recipe)
    small_network(run / "final" / "model.onnx")
    assert main(["verify", str(run), "--on", "x86_avx2"]) == 2
    assert "model.onnx: not the file that this run made" in capfd.readouterr().err


@pytest.mark.skipif(BROWSER is not None, reason=str(BROWSER))
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is missing: apt-get install util-linux")
def test_a_killed_verification_leaves_no_browser(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "page.html").write_text("<p>it says nothing</p>")
    script = f"""
from pathlib import Path
from edgepipe.verify.places.chromium import open_page
here = Path({str(tmp_path)!r})
open_page({{"/page.html": here / "page.html"}}, here / "none", 1, "page", here / "work", print)
"""
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        mine = psutil.Process(parent.pid)
        deadline = time.monotonic() + 120
        while len(browsers := mine.children(recursive=True)) < 3 and time.monotonic() < deadline:
            time.sleep(0.2)
        parent.kill()
    assert len(browsers) >= 3
    assert not psutil.wait_procs(browsers, timeout=60)[1]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("debootstrap") is None, reason="debootstrap is missing: apt-get install debootstrap")
def test_the_arm64_root_installs_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPIPE_CACHE", str(tmp_path / "cache"))
    assert main(["targets", "install", "arm64"]) == 0
    home = tmp_path / "cache" / "arm64"
    assert Arm64().lacking() is None
    assert (home / "root" / "usr" / "bin" / f"python{arm64.PYTHON}").is_file()
    assert "aarch64" in (home / "wheels.txt").read_text()


def test_an_option_of_targets_may_stand_before_the_names(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["targets", "install", "--missing", "arm64", "browser_wosm"]) == 2  # nothing is installed before
    assert "nothing to install for 'browser_wosm'. Did you mean 'browser_wasm'" in capfd.readouterr().err
