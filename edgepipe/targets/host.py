"""The machine that the numbers belong to: processor, instruction sets, cores, library versions."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from edgepipe import __version__
from edgepipe.contract.artifact import canonical_json
from edgepipe.records.metrics import Environment

# Kernel names of the features that decide how fast int8 and float kernels are -> the names people use.
_LINUX_FLAGS = {
    "avx": "AVX",
    "avx2": "AVX2",
    "fma": "FMA",
    "f16c": "F16C",
    "avx512f": "AVX512",
    "avx512_vnni": "AVX512_VNNI",
    "avx512_bf16": "AVX512_BF16",
    "avx512_fp16": "AVX512_FP16",
    "avx_vnni": "AVX_VNNI",
    "avx_vnni_int8": "AVX_VNNI_INT8",
    "amx_int8": "AMX_INT8",
    "amx_bf16": "AMX_BF16",
    "neon": "NEON",
    "asimd": "NEON",
    "asimdhp": "FP16",
    "asimddp": "DOTPROD",
    "i8mm": "I8MM",
    "bf16": "BF16",
    "sve": "SVE",
    "sve2": "SVE2",
    "sme": "SME",
}
_MAC_X86 = {
    "AVX1.0": "AVX",
    "AVX2": "AVX2",
    "FMA": "FMA",
    "F16C": "F16C",
    "AVX512F": "AVX512",
    "AVX512VNNI": "AVX512_VNNI",
}
_MAC_ARM = {"AdvSIMD": "NEON", "FEAT_FP16": "FP16", "FEAT_DotProd": "DOTPROD", "FEAT_I8MM": "I8MM", "FEAT_BF16": "BF16"}
# Numbers of IsProcessorFeaturePresent; Windows has none for VNNI.
_WINDOWS = {39: "AVX", 40: "AVX2", 41: "AVX512", 19: "NEON", 43: "DOTPROD"}

_INT8_DOT = {"AVX512_VNNI", "AVX_VNNI", "AVX_VNNI_INT8", "AMX_INT8"}

LIBRARIES = (
    "hydra-core",
    "lightning-fabric",
    "numpy",
    "omegaconf",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pillow",
    "pydantic",
    "safetensors",
    "scikit-learn",
    "torch",
    "torch-pruning",
    "torchvision",
)
"""Distributions whose versions a result may depend on."""


def environment(threads: int, libraries: Iterable[str] = ()) -> Environment:
    """Versions, machine and threads, for metrics.json; imports none of the libraries it names.

    Args:
        libraries: distributions whose versions count besides `LIBRARIES`, where they are installed.
    """
    return Environment(
        edgepipe=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        cpu=cpu_name(),
        instruction_sets=instruction_sets(),
        cores=available_cores(),
        threads=threads,
        libraries=versions(sorted({*LIBRARIES, *libraries})),
    )


def fingerprint() -> str:
    """16 hex digits that change when times measured here are no longer comparable: the key of cached measurements."""
    found = versions()
    runtimes = {name: version for name, version in found.items() if name in ("numpy", "onnx", "onnxruntime")}
    system = [platform.node(), platform.system(), platform.machine(), platform.python_version()]
    # Not `available_cores`: a job that was told to use one core runs the measured model no slower for it.
    value = [system, cpu_name(), instruction_sets(), _granted_cores(), runtimes]
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def versions(names: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """Installed versions by distribution; what is not installed is left out."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def available_cores() -> int:
    """Cores this process may use, at least 1: affinity, the quota of its control group, and OMP_NUM_THREADS.

    The last is how parallel launchers (joblib, Slurm) divide a machine among their jobs.
    """
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    number = int(told) if told.isdecimal() and len(told) < 10 else 0
    return min(_granted_cores(), number) if number > 0 else _granted_cores()


def _granted_cores() -> int:
    """Cores that the system lets this process use, at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def _cgroup_quota(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """The tightest processor quota, in cores, of this process's control group and those above it."""
    quotas = []
    groups = [""]
    for line in _text(own).splitlines():
        hierarchy, _, group = line.partition(":")[2].partition(":")
        if hierarchy in ("", "cpu", "cpu,cpuacct", "cpuacct,cpu"):
            parts = group.strip("/").split("/")
            groups += ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    for group in dict.fromkeys(groups):
        limit, _, period = _text(root / group / "cpu.max").strip().partition(" ")  # version 2
        if not limit:
            folder = root / "cpu" / group  # version 1
            limit, period = _text(folder / "cpu.cfs_quota_us").strip(), _text(folder / "cpu.cfs_period_us").strip()
        if limit.isdigit() and period.isdigit() and int(period):
            quotas.append(int(limit) / int(period))
    return min(quotas, default=None)


@functools.cache
def cpu_name() -> str:
    """Model name of the processor as its system gives it."""
    if sys.platform == "darwin":
        name = _sysctl("machdep.cpu.brand_string")
    elif sys.platform == "win32":
        name = _windows_name()
    else:
        found = re.search(r"^(?:model name|Hardware|Model)\s*:\s*(.+)$", _text(Path("/proc/cpuinfo")), re.MULTILINE)
        name = found[1].strip() if found else _arm_part(_text(Path("/proc/cpuinfo")))
    return name or platform.processor() or platform.machine() or "unknown"


@functools.cache
def _instruction_sets() -> tuple[str, ...]:
    if sys.platform == "darwin":
        words = f"{_sysctl('machdep.cpu.features')} {_sysctl('machdep.cpu.leaf7_features')}".split()
        found = {name for word, name in _MAC_X86.items() if word in words}
        if platform.machine() == "arm64":
            present = {word for word in _MAC_ARM if _sysctl(f"hw.optional.arm.{word}") == "1"}
            found |= {_MAC_ARM[word] for word in present} | {"NEON"}
    elif sys.platform == "win32":
        import ctypes

        has = ctypes.windll.kernel32.IsProcessorFeaturePresent
        found = {name for number, name in _WINDOWS.items() if has(number)}
    else:
        found = linux_instruction_sets(_text(Path("/proc/cpuinfo")))
    return tuple(sorted(found))


def instruction_sets() -> list[str]:
    """Sorted names of the sets that matter here: AVX2, AVX512, AVX512_VNNI, AMX_INT8, NEON, DOTPROD, I8MM, …"""
    return list(_instruction_sets())


def linux_instruction_sets(cpuinfo: str) -> set[str]:
    """The same from the text of /proc/cpuinfo (`flags` on x86, `Features` on ARM)."""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    words = set(found[1].split()) if found else set()
    return {name for word, name in _LINUX_FLAGS.items() if word in words}


def bf16_features() -> list[str]:
    """What decides whether training with `precision: auto` takes bf16 here; torch need not be loaded to know."""
    gpu = ["GPU"] if Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists() else []
    return [name for name in instruction_sets() if name.endswith("BF16")] + gpu


def u8s8_saturates() -> bool | None:
    """Whether products of uint8 and full 8-bit weights overflow 16 bits on this machine; None: cannot be told.

    x86 without VNNI adds pairs of them in 16 bits (vpmaddubsw), which clips large weights. With VNNI,
    and on ARM, they are added in 32 bits.
    """
    if platform.machine().lower() not in ("x86_64", "amd64", "i686", "x86"):
        return False
    if _INT8_DOT & set(instruction_sets()):
        return False
    return None if sys.platform == "win32" else True


def _arm_part(cpuinfo: str) -> str:
    """ARM kernels name implementer and part by number only."""
    implementer = re.search(r"^CPU implementer\s*:\s*(\S+)", cpuinfo, re.MULTILINE)
    part = re.search(r"^CPU part\s*:\s*(\S+)", cpuinfo, re.MULTILINE)
    return f"ARM implementer {implementer[1]} part {part[1]}" if implementer and part else ""


def _windows_name() -> str:
    if sys.platform != "win32":
        return ""
    import winreg

    try:
        key = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as processor:
            return str(winreg.QueryValueEx(processor, "ProcessorNameString")[0]).strip()
    except OSError:
        return ""


def _sysctl(name: str) -> str:
    try:
        ended = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout.strip()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
