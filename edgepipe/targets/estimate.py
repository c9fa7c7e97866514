"""What cannot be measured on this machine is reckoned from the target's profile, as a range with its method."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from edgepipe.contract import Pass
from edgepipe.contract.target import Target
from edgepipe.records.metrics import Estimate, Measurements, Proof

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


def warnings(target: Target, passes: Mapping[str, Pass], verify: Sequence[str]) -> Iterator[str]:
    """What will be slow or unsupported on the target, before anything runs.

    Args:
        passes: by the labels of their steps.
    """
    for label, settings in passes.items():
        yield from (f"passes.{label}: {text}" for text in settings.on_target(target))
        if target.saturates_u8s8 is not None and getattr(settings, "saturation_safe", None) is False:
            yield (
                f"passes.{label}.saturation_safe=false: {target.saturates_u8s8.value} "
                f"({target.saturates_u8s8.source}): answers will differ there; leave it true"
            )
    for fact in target.advice:
        yield f"target: {fact.value} ({fact.source})"
    if target.verify is not None and target.verify not in verify:
        yield f"verify: answers on {target.name} are not proven: add verify=[{target.verify}]"
