"""Profiles state facts with sources; what is reckoned from them is labelled so, and judged by its worse end."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from edgepipe.__main__ import main
from edgepipe.contract.target import Target
from edgepipe.passes.prune_weights import PruneWeights
from edgepipe.passes.quantize_dynamic import QuantizeDynamic
from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.passes.to_float16 import ToFloat16
from edgepipe.recipe.lookup import shipped_recipes
from edgepipe.records.metrics import Int8Share, Measurements, Metrics, Proof
from edgepipe.targets.estimate import estimates, warnings
from tests.small import arguments

MEASURED = Measurements(
    examples=1,
    size_bytes=5_000_000,
    gzip_bytes=1,
    parameters=1,
    nonzero_share=1,
    macs=64_000_000,
    latency_p50_ms=0.5,
    latency_p90_ms=0.6,
    load_ms=1,
    peak_rss_bytes=60_000_000,
    int8_share=Int8Share(conv=1.0, matmul=1.0, layers=1.0),
)


def profile(name: str) -> Target:
    return Target.model_validate(yaml.safe_load((shipped_recipes() / "target" / f"{name}.yaml").read_text()))


def test_a_raspberry_pi_5_is_estimated_from_its_clock_and_dot_products() -> None:
    found = {item.name: item for item in estimates(profile("raspberry_pi_5"), MEASURED)}
    # 64 million at 32 a cycle and 2.4 GHz: 0.833 ms at full speed, of which half to a tenth is reached.
    assert found["latency_ms"].low == pytest.approx(64e6 / 32 / 2.4e9 * 1e3 / 0.5)
    assert found["latency_ms"].high == pytest.approx(64e6 / 32 / 2.4e9 * 1e3 / 0.1)
    assert not found["latency_ms"].measured
    assert "2.4 GHz" in found["latency_ms"].method
    assert found["energy_mj"].high == pytest.approx(found["latency_ms"].high * 4.0)
    assert (found["storage_mb"].high, found["storage_mb"].measured) == (5.0, True)


def test_work_that_is_not_counted_is_not_estimated_and_a_small_network_is_no_faster_than_here() -> None:
    trees = MEASURED.model_copy(update={"macs": 0})
    assert {item.name for item in estimates(profile("raspberry_pi_4"), trees)} == {"storage_mb", "memory_mb"}
    small = MEASURED.model_copy(update={"macs": 640})
    found = {item.name: item for item in estimates(profile("raspberry_pi_5"), small)}
    assert found["latency_ms"].high == small.latency_p50_ms > found["latency_ms"].low
    half = MEASURED.model_copy(update={"int8_share": Int8Share(conv=0.0, matmul=1.0, layers=0.5)})
    in_half, whole = (estimates(profile("raspberry_pi_5"), item)[2].low for item in (half, MEASURED))
    assert in_half == pytest.approx(whole * (0.5 + 0.5 * 4))


def test_listing_a_target_shows_its_facts_with_their_sources(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "targets", "raspberry_pi_4"]) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "memory_mb 1024 Raspberry Pi 4 Model B product brief" in said
    assert "budget.memory_mb 512" in said
    assert "android" not in said
    assert main(["list", "targets", "raspbery_pi_4"]) == 2
    assert "Did you mean 'raspberry_pi_4'" in capfd.readouterr().err


def test_the_browser_is_measured_and_never_reckoned() -> None:
    proof = Proof(target="browser_wasm", place="Chromium, 1 thread", examples=1, threads=1, latency_p50_ms=7.0)
    two = proof.model_copy(update={"threads": 2, "latency_p50_ms": 4.0})
    found = {item.name: item for item in estimates(profile("browser_wasm"), MEASURED, [proof, two])}
    assert (found["latency_ms"].high, found["latency_ms"].measured) == (7.0, True)
    assert "latency_ms" not in {item.name for item in estimates(profile("browser_wasm"), MEASURED)}


def test_preflight_says_what_is_slow_or_unsafe_there() -> None:
    steps = {"q": QuantizeStatic(saturation_safe=False)}
    on_pi4 = list(warnings(profile("raspberry_pi_4"), steps, ["arm64"]))
    assert any("no dot product" in text and "by this arithmetic 2.0x" in text for text in on_pi4)
    assert list(warnings(profile("raspberry_pi_5"), steps, ["arm64"])) == []
    assert any("saturate at 16 bits" in text for text in warnings(profile("x86_avx2"), steps, ["x86_avx2"]))
    assert any("add verify=[arm64]" in text for text in warnings(profile("android_arm64"), {}, []))


def test_budgets_of_the_target_are_goals_and_estimates_are_labelled(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    argv = arguments(tmp_path, "target=raspberry_pi_5", "measure.latency_seconds=0.1", f"hydra.run.dir={tmp_path}/run")
    assert main([*argv, "target.budget.latency_ms=5", "goal.energy_mj=0.000001", "target.budget.storage_mb=1"]) == 1
    metrics = Metrics.model_validate_json((tmp_path / "run" / "metrics.json").read_text())
    met = {result.name: (result.met, bool(result.method)) for result in metrics.goal}
    assert met == {
        "storage_mb": (True, False),
        "memory_mb": (True, True),
        "latency_ms": (True, True),
        "energy_mj": (False, True),
    }
    assert metrics.status == "missed_goal"
    assert "(estimate: " in capfd.readouterr().out
    assert "On the target raspberry_pi_5" in (tmp_path / "run" / "report.html").read_text()


def test_energy_of_an_unknown_machine_is_refused_before_any_work(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(tmp_path, "+goal.energy_mj=1")) == 2
    assert "goal.energy_mj: the target 'host' states no facts" in capfd.readouterr().err


def test_only_dynamic_quantization_that_takes_convolutions_is_warned_of() -> None:
    for convolutions in (False, True):
        steps = {"quantize": QuantizeDynamic(convolutions=convolutions)}
        assert any("ConvInteger" in text for text in warnings(profile("host"), steps, [])) == convolutions


def test_what_saves_nothing_there_is_said_by_its_pass() -> None:
    said = list(
        warnings(profile("raspberry_pi_4"), {"prune": PruneWeights(amount=0.5), "half": ToFloat16()}, ["arm64"])
    )
    assert "passes.prune: zeros in place save neither time nor bytes in ONNX Runtime; prune_channels does" in said
    assert any(text.startswith("passes.half: no float16 arithmetic there (") for text in said)
    assert not any("half" in text for text in warnings(profile("host"), {"half": ToFloat16()}, []))


def test_plan_shows_the_preflight(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    argv = arguments(tmp_path, "target=x86_avx2", "passes.quantize.saturation_safe=false", "verify=[x86_avx2]")
    assert main(["plan", *argv]) == 0
    out = capfd.readouterr().out
    assert "note: passes.quantize.saturation_safe=false: sums of two u8*s8 products saturate" in out
    assert "verify: x86_avx2: " in out
