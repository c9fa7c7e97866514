"""Which way every number of a run is better: the one table that goals, the gate, searches and pages read."""

from __future__ import annotations

from typing import Literal

Better = Literal["higher", "lower"]

BETTER: dict[str, Better] = {
    "top1": "higher",
    "accuracy_drop": "lower",
    "agreement": "higher",
    "mae": "lower",
    "mae_rise": "lower",
    "r2": "higher",
    "cosine": "higher",
    "times_smaller": "higher",
    "times_faster": "higher",
    "size_bytes": "lower",
    "gzip_bytes": "lower",
    "macs": "lower",
    "int8_share.conv": "higher",
    "int8_share.matmul": "higher",
    "latency_p50_ms": "lower",
    "peak_rss_bytes": "lower",
    "storage_mb": "lower",
    "memory_mb": "lower",
    "latency_ms": "lower",
    "energy_mj": "lower",
}


def room(name: str, got: float, wanted: float) -> float:
    """How far a goal is met, in the metric's own unit; negative: it is missed.

    Raises:
        KeyError: nobody has said which way `name` is better.
    """
    return got - wanted if BETTER[name] == "higher" else wanted - got
