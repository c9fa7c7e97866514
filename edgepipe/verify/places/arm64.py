"""ARM64: the aarch64 wheels of ONNX Runtime and numpy on an emulated Cortex-A72 and Cortex-A76.

`edgepipe targets install arm64` prepares the root: Debian's packages for arm64 with Python, unpacked, not
installed, so that neither binfmt nor a second stage is needed; and the wheels, by pip.
"""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from edgepipe.base.scratch import scratch
from edgepipe.contract import Done, Place, PlaceAnswers, Processor
from edgepipe.errors import VerifyError
from edgepipe.targets.host import versions
from edgepipe.verify.installed import install_into, installed, run_or_say
from edgepipe.verify.processes import Command, version_of

EMULATOR = "qemu-aarch64-static"
SUITE, PYTHON = "bookworm", "3.11"  # Debian's release and the Python it has
_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
_UNUSED = ("doc", "man", "locale", "info", "zoneinfo")  # of usr/share

# ONNX Runtime reads the processor's identity from here, and crashes when it does not fit the instructions that
# are there. Features: of the Raspberry Pi 4 and 5.
_CPUINFO = """processor\t: {number}
BogoMIPS\t: 108.00
Features\t: {features}
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: {variant}
CPU part\t: {part}
CPU revision\t: {revision}

"""


@dataclass(frozen=True)
class Core:
    """One ARM core: its name in qemu and what /proc/cpuinfo says of it."""

    name: str
    cpu: str
    part: str
    variant: str
    revision: int
    features: str

    def cpuinfo(self) -> str:
        """The text of /proc/cpuinfo, as many processors as this machine has."""
        return "".join(
            _CPUINFO.format(
                number=number,
                features=self.features,
                variant=self.variant,
                part=self.part,
                revision=self.revision,
            )
            for number in range(os.cpu_count() or 1)
        )


CORES = (
    Core("ARM Cortex-A72, emulated", "cortex-a72", "0xd08", "0x0", 3, "fp asimd evtstrm crc32 cpuid"),
    Core(
        "ARM Cortex-A76, emulated",
        "cortex-a76",
        "0xd0b",
        "0x4",
        1,
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
    ),
)


@dataclass(frozen=True)
class EmulatedArm:
    """The aarch64 runtime under `qemu-aarch64-static -cpu CPU`."""

    core: Core
    timed: ClassVar[bool] = False
    threads: int = 1

    @property
    def name(self) -> str:
        """For people."""
        return self.core.name

    def identity(self) -> dict[str, str]:
        """The emulator, the processor it plays, and the wheels."""
        wheels = (installed("arm64") / "wheels.txt").read_text(encoding="utf-8")
        return {"cpu": self.core.cpu, "emulator": version_of([EMULATOR, "--version"]), "wheels": wheels}

    def answer(self, model: Path, inputs: Path, count: int, work: Path, done: Done) -> PlaceAnswers:
        """Answers of the emulated runtime; its milliseconds are the emulator's and thrown away."""
        home = installed("arm64")
        view = home / self.core.cpu
        command = [EMULATOR, "-cpu", self.core.cpu, "-L", str(view), str(home / "root" / "usr" / "bin" / _PYTHON)]
        env = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(home / "site"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "ORT_DISABLE_TELEMETRY": "1",
        }
        found = Command(command, env, self.name).answer(model.absolute(), inputs, count, work, done)
        return PlaceAnswers(found.outputs, found.runtime)


_PYTHON = f"python{PYTHON}"


class Arm64(Place):
    """ARM64 with NEON: the Raspberry Pi 4 (A72), and with dot products, the Raspberry Pi 5 (A76)."""

    installs: ClassVar[bool] = True

    def lacking(self) -> str | None:
        """The emulator or the prepared root."""
        if sys.platform != "linux":
            return "needs Linux: verify on such a machine"
        if shutil.which(EMULATOR) is None:
            return f"{EMULATOR} is missing: apt-get install qemu-user-static"
        if not (installed("arm64") / "wheels.txt").is_file():
            return "its root is not prepared: edgepipe targets install arm64"
        return None

    def processors(self) -> Sequence[Processor]:
        """Both cores."""
        return [EmulatedArm(core) for core in CORES]

    def install(self, say: Callable[[str], None]) -> Path:
        """Prepare the root: about 120 packages and two wheels, by debootstrap's and pip's own configuration.

        Raises:
            VerifyError: a tool is missing, or could not fetch what it should.
        """
        for tool, package in (("debootstrap", "debootstrap"), ("dpkg", "dpkg"), (EMULATOR, "qemu-user-static")):
            if shutil.which(tool) is None:
                raise VerifyError(f"targets install arm64: {tool} is missing: apt-get install {package}")
        if hasattr(os, "geteuid") and os.geteuid() != 0:
            raise VerifyError("targets install arm64: debootstrap wants root: run the same command with sudo -E")
        home = installed("arm64")
        install_into(home, lambda part: _fill(part, say))
        return home


def _fill(home: Path, say: Callable[[str], None]) -> None:
    what = "targets install arm64"
    with scratch("arm64") as made:
        say("fetching Debian's packages for arm64")
        options = ["--download-only", "--arch=arm64", "--variant=minbase"]
        packages = f"--include=python3,{_PYTHON},libstdc++6,libgomp1"
        run_or_say(["debootstrap", *options, packages, SUITE, str(made), *_mirror()], what)
        root = home / "root"
        root.mkdir()
        debs = sorted((made / "var" / "cache" / "apt" / "archives").glob("*.deb"))
        say(f"unpacking {len(debs)} packages")
        for deb in debs:
            run_or_say(["dpkg", "-x", str(deb), str(root)], what)
        for name in _UNUSED:
            shutil.rmtree(root / "usr" / "share" / name, ignore_errors=True)
        say("fetching the aarch64 wheels of onnxruntime and numpy")
        wheels = made / "wheels"
        here = versions(("onnxruntime",)).get("onnxruntime", "")
        wanted = [f"onnxruntime=={here}" if here else "onnxruntime", "numpy"]
        platforms = [argument for name in _PLATFORMS for argument in ("--platform", name)]
        only = ["--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON]
        run_or_say(
            [sys.executable, "-m", "pip", "download", "--quiet", *only, *platforms, "-d", str(wheels), *wanted], what
        )
        found = sorted(wheels.glob("*.whl"))
        for wheel in found:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(home / "site")
    for core in CORES:
        view = home / core.cpu
        (view / "proc").mkdir(parents=True)
        (view / "proc" / "cpuinfo").write_text(core.cpuinfo(), encoding="utf-8")
        for entry in sorted(root.iterdir()):
            if entry.name != "proc":
                (view / entry.name).symlink_to(Path("..") / "root" / entry.name)
    (home / "wheels.txt").write_text("\n".join(wheel.name for wheel in found) + "\n", encoding="utf-8")


def _mirror() -> list[str]:
    """The mirror that apt is configured with for this release, or debootstrap's own default."""
    try:
        said = run_or_say(["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages"], "apt")
    except VerifyError:
        return []
    sites = [line.split() for line in said.splitlines()]
    return next(([parts[0]] for parts in sites if len(parts) == 2 and parts[1] == SUITE), [])
