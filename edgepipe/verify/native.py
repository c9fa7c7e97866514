"""This machine's own Python and ONNX Runtime: what every other place is compared with."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from edgepipe.contract import Done, PlaceAnswers
from edgepipe.targets.host import versions
from edgepipe.verify.processes import Command


def _python_path() -> str:
    """Where this interpreter finds the runtime: an emulated one does not know of the virtual environment."""
    places = []
    for module in ("onnxruntime", "numpy"):
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.origin:
            places.append(str(Path(spec.origin).parent.parent))
    return os.pathsep.join(dict.fromkeys(places))


def environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "TMPDIR", "LANG")}
    kept["ORT_DISABLE_TELEMETRY"] = os.environ.get("ORT_DISABLE_TELEMETRY", "1")
    return {**kept, "PYTHONPATH": _python_path(), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Here:
    """This machine.

    On x86 without VNNI the fast int8 kernels may saturate; the reference is then computed with those that
    cannot (ONNX Runtime's `session.x64quantprecision`), so that the verdict is the same on every machine.
    """

    name: str = "this machine"
    timed: ClassVar[bool] = False
    threads: int = 1

    def identity(self) -> dict[str, str]:
        """The runtime's version; the machine's own fingerprint is added by the caller."""
        return versions(("onnxruntime", "numpy"))

    def answer(self, model: Path, inputs: Path, count: int, work: Path, done: Done) -> PlaceAnswers:
        """Answers of the native runtime, one example at a time, as on a device."""
        command = Command([os.path.realpath(sys.executable)], environment(), self.name, exact=True)
        return command.answer(model, inputs, count, work, done)
