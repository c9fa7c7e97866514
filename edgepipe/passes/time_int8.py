"""Measure whether int8 is worth it here."""

from __future__ import annotations

import shutil
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgepipe.base.scratch import scratch
from edgepipe.contract import Job, Pass, Split
from edgepipe.contract.artifact import ONNX_FILE, Artifact, Kind
from edgepipe.contract.traits import FILES, FLOAT, INT8_TIMES
from edgepipe.errors import PassError
from edgepipe.targets.host import environment

TIMES_FILE = FILES[INT8_TIMES]
_LONG = 64
"""Of an axis that has only a name: so that a kernel's speed shows."""

Choice = Literal["float", "auto", "never"]
"""What stays float: the whole model, what the table of kernel costs says, or only what has no int8 kernel."""


class Int8Times(BaseModel):
    """How many times faster than float each placement runs, with its 95% interval; float itself is 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    processor: str
    threads: int
    times_faster: dict[Choice, tuple[float, float, float]] = Field(description="median, low, high")

    @property
    def choice(self) -> Choice:
        """The fastest that is no slower than float; of those that cannot be told apart, the one with most in int8."""
        able = {name: found for name, found in self.times_faster.items() if found[0] >= 1}
        if not able:
            return "float"
        best = max(able, key=lambda name: able[name][0])
        order: tuple[Choice, ...] = ("never", "auto")
        return next((name for name in order if name in able and able[name][0] >= able[best][1]), best)

    def said(self) -> str:
        """All of them, for people."""
        words = {"auto": "as the table of kernel costs places it", "never": "wherever there is a kernel"}
        parts = [
            f"{words[name]} {middle:.2f}x [{low:.2f}, {high:.2f}]"
            for name, (middle, low, high) in self.times_faster.items()
            if name != "float"
        ]
        return f"int8 against float, timed on {self.processor}, {self.threads} thread(s): {'; '.join(parts)}"


class TimeInt8(Pass):
    """Time the float model against its int8 placements here; the model stays as it is.

    The times become a file of the artifact, so `quantize_static` with keep_float=measured, directly after it, is as
    reproducible as every pass. An int8 kernel takes the same time whatever its scales are: of examples only whole
    numbers are looked at, which may choose what is computed, and how long one is where the model leaves that open.
    """

    reads: ClassVar[Kind] = Kind.ONNX
    writes: ClassVar[Kind] = Kind.ONNX
    timed: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = (FLOAT,)
    provides: ClassVar[tuple[str, ...]] = (INT8_TIMES,)
    data: ClassVar[tuple[Split, ...]] = (Split.CALIBRATION,)
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")

    threads: int = Field(1, ge=1, description="threads of the runtime")
    seconds: float = Field(2.0, gt=0, le=600, description="time budget of each placement, paired with float")
    exclude: tuple[str, ...] = Field((), description="as of the quantize_static behind it")

    def apply(self, model: Artifact, job: Job) -> Artifact:
        import onnx

        from edgepipe.measure.latency import paired_latency
        from edgepipe.onnx.inputs import inputs_of
        from edgepipe.onnx.sequences import drawn_step
        from edgepipe.onnx.tensor_types import declared
        from edgepipe.quant.place.exclude import excluded_nodes
        from edgepipe.quant.place.placement import place
        from edgepipe.quant.rewrite.norms import norms_to_convolutions
        from edgepipe.quant.rewrite.prepare import prepare
        from edgepipe.quant.write.static import write_untuned

        network = prepare(model.onnx, job.label)
        norms_to_convolutions(network)
        excluded = excluded_nodes(network, self.exclude, job.label)
        modes: tuple[Literal["auto", "never"], ...] = ("never", "auto")
        placements = {mode: place(network, excluded, mode) for mode in modes}
        if not placements["never"].nodes:
            raise PassError(
                f"passes.{job.label}: nothing to time: the model has no convolution or matrix product that could run "
                "in int8. Remove this step"
            )
        inputs = list(map(declared, inputs_of(network.graph)))
        some = range(min(1, job.data.count(Split.CALIBRATION)))
        real = next((batch.inputs for batch in job.data.batches(Split.CALIBRATION, 1, some)), None)
        example = drawn_step(inputs, model.signature, real, f"passes.{job.label}", _LONG)
        found: dict[Choice, tuple[float, float, float]] = {"float": (1.0, 1.0, 1.0)}
        with scratch("int8") as folder:
            for number, (mode, placement) in enumerate(placements.items()):
                if not placement.nodes:
                    continue  # the table says float
                if mode == "auto" and placement.nodes == placements["never"].nodes:
                    found[mode] = found["never"]
                    continue
                job.progress(number / 2, f"timing int8 ({mode})")
                file = folder / f"{mode}.onnx"
                onnx.save(write_untuned(network, placement), file)
                with job.alone():
                    paired = paired_latency(
                        model.onnx, file, example, threads=self.threads, seconds=self.seconds, seed=job.seed
                    )
                found[mode] = (paired.times_faster, *paired.times_faster_ci95)
        processor = environment(threads=self.threads).cpu
        times = Int8Times(processor=processor, threads=self.threads, times_faster=found)
        shutil.copyfile(model.onnx, job.out / ONNX_FILE)
        (job.out / TIMES_FILE).write_text(times.model_dump_json(indent=1), encoding="utf-8")
        job.facts["choice"] = times.choice
        job.facts["notes"] = [times.said()]
        return job.seal(Kind.ONNX, model.signature)


def measured_times(model: Artifact, label: str) -> Int8Times:
    """What a `time_int8` directly before the step has measured.

    Raises:
        PassError: there is none.
    """
    try:
        return Int8Times.model_validate_json((model.path / TIMES_FILE).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        raise PassError(
            f"passes.{label}: keep_float=measured needs measured times: put a step `pass: time_int8` directly before "
            "this one"
        ) from None
