"""x86 without VNNI: this machine's own Python and ONNX Runtime under an emulated Haswell."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from edgepipe.contract import Done, Place, PlaceAnswers, Processor
from edgepipe.targets.host import versions
from edgepipe.verify.native import environment
from edgepipe.verify.processes import Command, version_of

EMULATOR = "qemu-x86_64-static"


@dataclass(frozen=True)
class Emulated:
    """The same binaries under `qemu-x86_64-static -cpu CPU`."""

    name: str
    cpu: str
    timed: ClassVar[bool] = False
    threads: int = 1

    def identity(self) -> dict[str, str]:
        """The emulator, the processor it plays, and the runtime."""
        return {"cpu": self.cpu, "emulator": version_of([EMULATOR, "--version"]), **versions(("onnxruntime", "numpy"))}

    def answer(self, model: Path, inputs: Path, count: int, work: Path, done: Done) -> PlaceAnswers:
        """Answers of the emulated runtime; its milliseconds are the emulator's and thrown away."""
        command = Command([EMULATOR, "-cpu", self.cpu, os.path.realpath(sys.executable)], environment(), self.name)
        found = command.answer(model, inputs, count, work, done)
        return PlaceAnswers(found.outputs, found.runtime)


class X86Avx2(Place):
    """x86 with AVX2 and no VNNI: pairs of 8-bit products are added in 16 bits there."""

    remedy: ClassVar[str] = (
        "without VNNI, sums of two u8*s8 products saturate at 16 bits: quantize with saturation_safe: true"
    )

    def lacking(self) -> str | None:
        """The emulator, or an x86 machine with Linux."""
        if sys.platform != "linux" or platform.machine() != "x86_64":
            return (
                f"needs Linux on x86_64, this is {platform.system()} on {platform.machine()}: verify on such a machine"
            )
        if shutil.which(EMULATOR) is None:
            return f"{EMULATOR} is missing: apt-get install qemu-user-static"
        return None

    def processors(self) -> Sequence[Processor]:
        """Intel Haswell (2013), the oldest processor with AVX2."""
        return [Emulated("Intel Haswell, emulated", "Haswell")]
