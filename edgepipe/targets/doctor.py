"""What `edgepipe doctor` shows: versions, processor, and what is missing for which extra."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from packaging.requirements import InvalidRequirement, Requirement

from edgepipe import __version__
from edgepipe.targets import host as machine

Status = Literal["ok", "missing", "warning"]


@dataclass(frozen=True)
class Row:
    """One line: `topic` groups lines, `remedy` is a command or advice, empty when all is well."""

    topic: Literal["versions", "machine", "extras"]
    name: str
    value: str
    status: Status = "ok"
    remedy: str = ""


def doctor(distribution: str = "edgepipe") -> list[Row]:
    """Look at this machine and installation; imports no library it reports on."""
    return [*_versions(distribution), *_machine(), *_extras(distribution)]


def _versions(distribution: str) -> Iterator[Row]:
    yield Row("versions", "edgepipe", __version__)
    yield Row("versions", "python", platform.python_version())
    problems = {req.name: state for req in _required(distribution, "") if (state := _problem(req)) is not None}
    named = dict.fromkeys((*machine.LIBRARIES, *(req.name for req in _required(distribution, ""))))
    for name in named:
        version = machine.versions((name,)).get(name, "")
        if name in problems:
            problem = problems[name]
            yield Row("versions", name, version or "not installed", "missing", _pip([problem]))
        elif version:
            yield Row("versions", name, version)
    both = machine.versions(("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"))
    if len(both) > 1:
        yield Row(
            "versions",
            "onnxruntime",
            " and ".join(both),
            "warning",
            "they overwrite each other's files; keep one: pip uninstall the others, then reinstall it",
        )


def _machine() -> Iterator[Row]:
    yield Row("machine", "processor", machine.cpu_name())
    yield Row("machine", "instruction sets", ", ".join(machine.instruction_sets()) or "unknown")
    yield Row("machine", "cores", str(machine.available_cores()))
    yield Row("machine", "platform", platform.platform())
    saturates = machine.u8s8_saturates()
    if saturates is not False:
        yield Row(
            "machine",
            "int8",
            "no VNNI: plain U8S8 weights may saturate" if saturates else "cannot tell whether there is VNNI",
            "warning",
            "quantize_static keeps its weights within those sums: leave saturation_safe=true, its default",
        )
    elif "DOTPROD" not in machine.instruction_sets() and "NEON" in machine.instruction_sets():
        yield Row("machine", "int8", "no dot-product instructions: int8 gains less here", "warning")
    else:
        yield Row("machine", "int8", "8-bit products are added in 32 bits: no saturation")


def _extras(distribution: str) -> Iterator[Row]:
    try:
        extras = importlib.metadata.metadata(distribution).get_all("Provides-Extra") or []
    except importlib.metadata.PackageNotFoundError:
        yield Row("extras", distribution, "not installed", "warning", "python -m pip install -e .")
        return
    for extra in sorted(extras):
        lacking = [found for req in _required(distribution, extra) if (found := _problem(req)) is not None]
        if lacking:
            names = ", ".join(str(req.name) for req in lacking)
            yield Row("extras", extra, f"missing: {names}", "missing", _pip(lacking))
        else:
            yield Row("extras", extra, "complete")


def _required(distribution: str, extra: str) -> list[Requirement]:
    """Requirements of the extra alone ("" for the core) that apply to this Python and system."""
    try:
        texts = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    found = []
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:  # pragma: no cover - built metadata is valid
            continue
        marker = requirement.marker
        in_core = marker is None or marker.evaluate({"extra": ""})
        wanted = in_core if not extra else (not in_core and marker is not None and marker.evaluate({"extra": extra}))
        if wanted:
            found.append(requirement)
    return found


def _problem(requirement: Requirement) -> Requirement | None:
    """The requirement if it is not met."""
    version = machine.versions((requirement.name,)).get(requirement.name)
    met = version is not None and requirement.specifier.contains(version, prereleases=True)
    return None if met else requirement


def _pip(requirements: list[Requirement]) -> str:
    # Requirements rather than "edgepipe[extra]": that also works for a checkout that is on no index.
    wanted = " ".join(f'"{req.name}{req.specifier}"' for req in requirements)
    python = "python" if sys.platform == "win32" else "python3"
    return f"{python} -m pip install {wanted}"
