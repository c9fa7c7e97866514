"""Settings of the measurements; imports pydantic only, so that `--help` stays fast."""

from __future__ import annotations

from pydantic import Field

from edgepipe.contract.settings import Settings


class MeasureSettings(Settings):
    """How every artifact is measured. The numbers of one run always share one set of these."""

    threads: int = Field(1, ge=1, description="threads of the latency, load-time and memory measurements")
    latency_seconds: float = Field(2.0, gt=0, le=600, description="time budget of one paired latency measurement")
    warmup: int = Field(3, ge=0, le=1000, description="runs of each model before the clock starts")
    batch_size: int = Field(64, ge=1, description="examples per run when accuracy is measured (uses all cores)")
    seed: int = Field(0, ge=0, description="seed of the bootstrap interval of the speed ratio")
    audit_runs: int = Field(7, ge=2, le=1000, description="profiled runs of the audit; the first one is not counted")
    probe_runs: int = Field(3, ge=1, le=100, description="runs in each fresh process whose peak memory is taken")
    wrong_examples: int = Field(
        12, ge=0, le=1000, description="examples kept that the step answers wrongly, the baseline not"
    )
