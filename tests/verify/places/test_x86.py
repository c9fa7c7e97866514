"""A Haswell, emulated: U8S8 weights that saturate there must be found, saturation-safe ones must answer alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepipe.__main__ import main
from edgepipe.records.metrics import Metrics, Proof
from edgepipe.verify.places.x86 import X86Avx2
from tests.small import arguments
from tests.verify.saturating import saturating

LACKING = X86Avx2().lacking()
SHARED = Path(__file__).parents[4] / "shared"

needs_emulator = pytest.mark.skipif(LACKING is not None, reason=str(LACKING))


def proofs(run: Path) -> tuple[Metrics, Proof]:
    metrics = Metrics.model_validate_json((run / "metrics.json").read_text())
    (proof,) = metrics.proofs
    return metrics, proof


@needs_emulator
def test_weights_that_saturate_fail_the_run_and_safe_ones_are_bit_identical(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    argv = [*saturating(tmp_path, labels=True), "verify=[x86_avx2]"]
    assert main([*argv, f"hydra.run.dir={tmp_path}/plain", "passes.quantize.saturation_safe=false"]) == 1
    metrics, proof = proofs(tmp_path / "plain")
    assert metrics.status == "not_verified"
    assert metrics.final is not None  # all measurements are kept
    assert (proof.status, proof.identical, proof.float_operators) == ("failed", False, [])
    assert proof.alike is not None
    assert proof.alike < 0.995
    assert "saturation_safe: true" in proof.why
    assert proof.latency_p50_ms is None
    out = capfd.readouterr().out
    assert "not verified" in out
    assert "answers differ from this machine's" in out
    assert "Intel Haswell" in (tmp_path / "plain" / "report.html").read_text()

    assert main([*argv, f"hydra.run.dir={tmp_path}/safe"]) == 0
    metrics, proof = proofs(tmp_path / "safe")
    assert (metrics.status, proof.status, proof.identical, proof.alike) == ("ok", "ok", True, 1.0)
    assert proof.top1 == proof.top1_here
    assert proof.examples == 60
    assert "bit-identical" in capfd.readouterr().out


@needs_emulator
def test_the_verb_proves_a_run_again_and_records_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main([*saturating(tmp_path), f"hydra.run.dir={run}", "passes.quantize.saturation_safe=false"]) == 0
    assert main(["verify", str(run), "--on", "x86_avx2", "--examples", "20"]) == 1
    metrics, proof = proofs(run)
    assert (metrics.status, proof.status, proof.examples, proof.top1) == ("not_verified", "failed", 20, None)
    assert "| x86_avx2: Intel Haswell, emulated |" in capfd.readouterr().out
    with monkeypatch.context() as where:
        where.setenv("PATH", "/nonexistent")
        assert main(["verify", str(run), "--on", "x86_avx2", "--examples", "20"]) == 0
    assert "skipped" in capfd.readouterr().out
    assert proofs(run) == (metrics, proof), "what is skipped takes the place of no proof"
    model, inputs = run / "final" / "model.onnx", tmp_path / "e.npz"
    command = ["verify", str(model), "--on", "x86_avx2", "--inputs", str(inputs), "--store", str(tmp_path / "store")]
    assert main([*command, "--examples", "20"]) == 1


@needs_emulator
@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not there")
@pytest.mark.parametrize("safe", [True, False])
def test_a_real_resnet18_saturates_without_safe_weights(tmp_path: Path, safe: bool) -> None:
    argv = [
        "recipe=resnet18_ptq",
        "model.num_classes=10",
        f"model.weights={SHARED}/models/resnet18_cifar10.safetensors",
        "data=image_folder",
        f"data.root={SHARED}/data/cifar10.zip",
        "data.evaluation_size=200",
        "measure.latency_seconds=0.2",
        "~goal",
        "verify=[x86_avx2]",
        f"passes.quantize.saturation_safe={str(safe).lower()}",
        f"hydra.run.dir={tmp_path}/run",
        f"store.root={tmp_path}/store",
    ]
    assert main(argv) == (0 if safe else 1)
    _, proof = proofs(tmp_path / "run")
    assert (proof.status, proof.identical) == (("ok", True) if safe else ("failed", False))
    assert proof.alike is not None
    assert (proof.alike == 1.0) if safe else (proof.alike < 0.97)


def test_what_is_lacking_is_skipped_with_a_remedy_and_required_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    argv = arguments(tmp_path, "verify=[x86_avx2]", "measure.latency_seconds=0.1")
    assert main([*argv, f"hydra.run.dir={tmp_path}/a"]) == 0
    metrics, proof = proofs(tmp_path / "a")
    assert (metrics.status, proof.status) == ("ok", "skipped")
    assert "apt-get install qemu-user-static" in proof.why or "needs Linux on x86_64" in proof.why
    assert "skipped" in capfd.readouterr().out
    assert main([*argv, f"hydra.run.dir={tmp_path}/b", "--require-verify"]) == 1
    metrics, proof = proofs(tmp_path / "b")
    assert (metrics.status, proof.status) == ("not_verified", "failed")


def test_an_unknown_target_is_refused_by_name(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path, "verify=[x86_avx]")) == 2
    assert "verify.0: no target of verification: 'x86_avx'. Did you mean 'x86_avx2'?" in capfd.readouterr().err
    assert main(["verify", str(tmp_path), "--on", "x86_avx"]) == 2
    assert main(["verify", str(tmp_path), "--on", "x86_avx2"]) == 2
    assert "no model there" in capfd.readouterr().err
