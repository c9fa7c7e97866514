"""x86 without VNNI: this machine's own Python and ONNX Runtime under an emulated Haswell."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from edgepipe.targets.host import available_cores, versions
from edgepipe.verify.place import Answers, Done, Place
from edgepipe.verify.processes import answer_in_processes, version_of

EMULATOR = "qemu-x86_64-static"


def _python_path() -> str:
    """Where this interpreter finds the runtime: an emulated one does not know of the virtual environment."""
    places = []
    for module in ("onnxruntime", "numpy"):
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.origin:
            places.append(str(Path(spec.origin).parent.parent))
    return os.pathsep.join(dict.fromkeys(places))


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "TMPDIR", "LANG")}
    kept["ORT_DISABLE_TELEMETRY"] = os.environ.get("ORT_DISABLE_TELEMETRY", "1")
    return {**kept, "PYTHONPATH": _python_path(), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Here:
    """This machine: what every other place is compared with.

    On x86 without VNNI the fast int8 kernels may saturate; the reference is then computed with those that
    cannot (ONNX Runtime's `session.x64quantprecision`), so that the verdict is the same on every machine.
    """

    name: str = "this machine"
    timed: ClassVar[bool] = False
    threads: int = 1

    def identity(self) -> dict[str, str]:
        """The runtime's version; the machine's own fingerprint is added by the caller."""
        return versions(("onnxruntime", "numpy"))

    def answer(self, model: Path, inputs: Path, count: int, work: Path, done: Done) -> Answers:
        """Answers of the native runtime, one example at a time, as on a device."""
        command = [os.path.realpath(sys.executable)]
        processes = available_cores()
        return answer_in_processes(
            command, _environment(), self.name, model, inputs, count, work, done, processes=processes, exact=True
        )


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

    def answer(self, model: Path, inputs: Path, count: int, work: Path, done: Done) -> Answers:
        """Answers of the emulated runtime; its milliseconds are the emulator's and thrown away."""
        command = [EMULATOR, "-cpu", self.cpu, os.path.realpath(sys.executable)]
        processes = available_cores()
        found = answer_in_processes(
            command, _environment(), self.name, model, inputs, count, work, done, processes=processes
        )
        return Answers(found.outputs, found.runtime)


class X86Avx2:
    """x86 with AVX2 and no VNNI: pairs of 8-bit products are added in 16 bits there."""

    def lacking(self) -> str | None:
        """The emulator, or an x86 machine with Linux."""
        if sys.platform != "linux" or platform.machine() != "x86_64":
            return (
                f"needs Linux on x86_64, this is {platform.system()} on {platform.machine()}: verify on such a machine"
            )
        if shutil.which(EMULATOR) is None:
            return f"{EMULATOR} is missing: apt-get install qemu-user-static"
        return None

    def places(self) -> list[Place]:
        """Intel Haswell (2013), the oldest processor with AVX2."""
        return [Emulated("Intel Haswell, emulated", "Haswell")]
