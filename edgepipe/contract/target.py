"""A target: the device that a recipe is meant for, in facts that each name their source."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from edgepipe.contract.settings import Settings


class Fact(Settings):
    """A value and where it is from."""

    value: Any
    source: str = Field(min_length=1, description="a document that says so, or how it was measured or reckoned")


class Number(Fact):
    """A fact that is a positive number."""

    value: float = Field(gt=0)


class Shares(Fact):
    """A fact that is a range of shares, (low, high), in (0, 1]."""

    value: tuple[float, float]

    @model_validator(mode="after")
    def _ordered(self) -> Shares:
        low, high = self.value
        if not 0 < low <= high <= 1:
            raise ValueError(f"wants 0 < low <= high <= 1, found {low} and {high}")
        return self


class Budget(Settings):
    """What the device allows; each is a goal unless the recipe's `goal` states its own. Null: no limit."""

    storage_mb: float | None = Field(None, gt=0, description="megabytes of the deployed file, at most")
    memory_mb: float | None = Field(None, gt=0, description="peak megabytes of a process that runs it, at most")
    latency_ms: float | None = Field(None, gt=0, description="milliseconds for one example there, at most")
    energy_mj: float | None = Field(None, gt=0, description="millijoules for one example there, at most")


class Target(Settings):
    """The device the recipe is meant for. `host` is this machine: it is measured, not estimated."""

    name: str = "host"
    description: str = ""
    threads: int = Field(1, ge=1, description="threads of the latency measurement")
    verify: str | None = Field(None, description="the target of `verify` that runs its kind of processor")
    processor: Fact | None = None
    instruction_sets: Fact | None = None
    cores: Number | None = None
    clock_ghz: Number | None = None
    memory_mb: Number | None = None
    storage: Fact | None = None
    runtime: Fact | None = None
    int8_macs_per_cycle: Number | None = Field(None, description="of one core, at most")
    float32_macs_per_cycle: Number | None = Field(None, description="of one core, at most")
    share_of_peak: Shares | None = Field(None, description="what a runtime reaches of it, low and high")
    active_watts: Number | None = Field(None, description="power of the whole board while it computes")
    float16_native: Fact | None = None
    saturates_u8s8: Fact | None = None
    advice: tuple[Fact, ...] = Field((), description="what to know before compressing for it")
    budget: Budget = Budget()

    @model_validator(mode="after")
    def _facts_are_of_another_device(self) -> Target:
        stated = [name for name in _FACTS if getattr(self, name) is not None]
        if self.name == "host" and stated:
            raise ValueError(
                f"`host` is this machine, which is measured: a profile that states facts ({', '.join(stated)}) needs a "
                "`name` of its own"
            )
        return self

    def int8_saves_little(self) -> list[str]:
        """What to say where int8 is not much faster than float32 by the arithmetic of its cores; empty: it is."""
        int8, floats = self.int8_macs_per_cycle, self.float32_macs_per_cycle
        if int8 is None or floats is None or int8.value >= 2.5 * floats.value:
            return []
        return [
            f"{self.name} multiplies {int8.value:g} int8 and {floats.value:g} float32 numbers a cycle: int8 saves "
            f"bytes there, and by this arithmetic {int8.value / floats.value:.1f}x of the time ({int8.source})"
        ]


_FACTS = tuple(name for name, field in Target.model_fields.items() if field.default is None and name not in ("verify",))
