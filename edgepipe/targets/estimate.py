"""What cannot be measured on this machine is reckoned from the target's profile, as a range with its method."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from edgepipe.records.metrics import Estimate, Measurements, Proof
from edgepipe.targets.profile import Target

MB = 1e6


def estimates(target: Target, measured: Measurements, proofs: Sequence[Proof] = ()) -> list[Estimate]:
    """Storage, memory, latency and energy on the target, as far as they are known; never an emulator's time."""
    found = [
        Estimate(
            name="storage_mb",
            low=measured.size_bytes / MB,
            high=measured.size_bytes / MB,
            measured=True,
            method="bytes of the deployed file",
        ),
        Estimate(
            name="memory_mb",
            low=measured.peak_rss_bytes / MB,
            high=measured.peak_rss_bytes / MB,
            measured=target.name == "host",
            method="peak of a fresh process on this machine that loads and runs it",
        ),
    ]
    latency = _latency(target, measured, proofs)
    if latency is None:
        return found
    found.append(latency)
    if target.active_watts is not None:
        watts = target.active_watts.value
        found.append(
            Estimate(
                name="energy_mj",
                low=latency.low * watts,
                high=latency.high * watts,
                measured=False,
                method=f"latency ({latency.method}) x {watts:g} W of the whole board",
            )
        )
    return found


def _latency(target: Target, measured: Measurements, proofs: Iterable[Proof]) -> Estimate | None:
    if target.name == "host":
        value = measured.latency_p50_ms
        return Estimate(name="latency_ms", low=value, high=value, measured=True, method="median on this machine")
    real = [
        proof
        for proof in proofs
        if proof.target == target.verify and proof.latency_p50_ms is not None and proof.threads == target.threads
    ]
    if real:
        values = [proof.latency_p50_ms for proof in real if proof.latency_p50_ms is not None]
        names = " and ".join(proof.place for proof in real)
        return Estimate(
            name="latency_ms",
            low=min(values),
            high=max(values),
            measured=True,
            method=f"median in {names}, on this machine",
        )
    clock, int8, floats, share = (
        target.clock_ghz,
        target.int8_macs_per_cycle,
        target.float32_macs_per_cycle,
        target.share_of_peak,
    )
    if clock is None or int8 is None or floats is None or share is None:
        return None
    in_int8 = measured.int8_share.layers
    if measured.macs == 0 or in_int8 is None:  # trees and their like: what is counted is not their work
        return None
    cycles = measured.macs * (in_int8 / int8.value + (1 - in_int8) / floats.value)
    best = cycles / (clock.value * 1e9) * 1e3
    low, high = share.value
    return Estimate(
        name="latency_ms",
        low=best / high,
        # Of a small network most of the time goes into calling operators, which nothing here counts.
        high=max(best / low, measured.latency_p50_ms),
        measured=False,
        method=(
            f"{measured.macs / 1e6:.1f} million multiply-accumulates, {in_int8:.0%} of them int8, on one core at "
            f"{clock.value:g} GHz with {int8.value:g} (int8) and {floats.value:g} (float32) a cycle, of which a "
            f"runtime reaches {low:.0%} to {high:.0%}; at worst no less than on this machine"
        ),
    )


def warnings(
    target: Target, passes: Iterable[tuple[str, str, dict[str, object]]], verify: Sequence[str]
) -> Iterator[str]:
    """What will be slow or unsupported on the target, before anything runs.

    Args:
        passes: (label, name of the pass, settings).
    """
    int8, floats = target.int8_macs_per_cycle, target.float32_macs_per_cycle
    names = set()
    for label, name, settings in passes:
        names.add(name)
        if name == "quantize_static" and int8 is not None and floats is not None and int8.value < 2.5 * floats.value:
            yield (
                f"passes.{label}: {target.name} multiplies {int8.value:g} int8 and {floats.value:g} float32 numbers a "
                f"cycle: int8 saves bytes there, and by this arithmetic {int8.value / floats.value:.1f}x of the time "
                f"({int8.source})"
            )
        if target.saturates_u8s8 is not None and settings.get("saturation_safe") is False:
            yield (
                f"passes.{label}.saturation_safe=false: {target.saturates_u8s8.value} "
                f"({target.saturates_u8s8.source}): answers will differ there; leave it true"
            )
        if name == "quantize_dynamic" and settings.get("convolutions"):
            yield f"passes.{label}: convolutions become ConvInteger, which ONNX Runtime runs slower than float"
        if name == "prune_weights":
            yield f"passes.{label}: zeros in place save neither time nor bytes in ONNX Runtime; prune_channels does"
        if name == "to_float16" and target.float16_native is not None and not target.float16_native.value:
            yield (
                f"passes.{label}: no float16 arithmetic there ({target.float16_native.source}): it saves bytes, and "
                "casts cost time"
            )
    for fact in target.advice:
        yield f"target: {fact.value} ({fact.source})"
    if target.verify is not None and target.verify not in verify:
        yield f"verify: answers on {target.name} are not proven: add verify=[{target.verify}]"
