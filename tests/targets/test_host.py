from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgepipe.targets import doctor
from edgepipe.targets import host as machine

XEON = "processor\t: 0\nmodel name\t: Xeon\nflags\t\t: fpu avx avx2 avx512f avx512_vnni amx_int8 ssse3\n"
CORTEX = "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n"


def test_flags_become_the_names_that_people_use() -> None:
    assert machine.linux_instruction_sets(XEON) == {"AVX", "AVX2", "AVX512", "AVX512_VNNI", "AMX_INT8"}
    assert machine.linux_instruction_sets(CORTEX) == {"NEON", "DOTPROD"}
    assert machine.linux_instruction_sets("") == set()


def test_an_arm_core_is_named_by_its_part() -> None:
    assert machine._arm_part(CORTEX) == "ARM implementer 0x41 part 0xd0b"


def test_a_control_group_of_one_and_a_half_cores_counts_as_its_quota(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/box/inner\n", encoding="utf-8")
    root = tmp_path / "fs"
    (root / "box" / "inner").mkdir(parents=True)
    (root / "box" / "cpu.max").write_text("150000 100000\n", encoding="utf-8")
    (root / "box" / "inner" / "cpu.max").write_text("max 100000\n", encoding="utf-8")
    assert machine._cgroup_quota(root, own) == 1.5


def test_version_1_control_groups_are_read_too(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("4:cpu,cpuacct:/box\n2:memory:/other\n", encoding="utf-8")
    folder = tmp_path / "fs" / "cpu" / "box"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text("200000", encoding="utf-8")
    (folder / "cpu.cfs_period_us").write_text("100000", encoding="utf-8")
    assert machine._cgroup_quota(tmp_path / "fs", own) == 2.0
    (folder / "cpu.cfs_quota_us").write_text("-1", encoding="utf-8")
    assert machine._cgroup_quota(tmp_path / "fs", own) is None


def test_available_cores_are_at_least_one_and_at_most_all() -> None:
    assert 1 <= machine.available_cores() <= (os.cpu_count() or 1)


def test_the_environment_names_versions_without_importing_them() -> None:
    found = machine.environment(threads=2)
    assert found.threads == 2
    assert found.python == platform.python_version()
    assert {"onnx", "onnxruntime", "numpy"} <= set(found.libraries)
    code = "import sys; from edgepipe.targets import doctor, host; host.environment(1); doctor.doctor();"
    code += "assert not {'torch', 'onnx', 'onnxruntime', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_fingerprint_repeats_and_follows_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    first = machine.fingerprint()
    assert re.fullmatch(r"[0-9a-f]{16}", first)
    assert machine.fingerprint() == first
    monkeypatch.setattr(machine, "_granted_cores", lambda: 97)
    assert machine.fingerprint() != first


@pytest.mark.parametrize(
    ("architecture", "sets", "expected"),
    [("x86_64", ["AVX2"], True), ("x86_64", ["AVX2", "AVX_VNNI"], False), ("aarch64", ["NEON"], False)],
)
def test_only_x86_without_vnni_saturates(
    monkeypatch: pytest.MonkeyPatch, architecture: str, sets: list[str], expected: bool
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: architecture)
    monkeypatch.setattr(machine, "instruction_sets", lambda: sets)
    monkeypatch.setattr(sys, "platform", "linux")
    assert machine.u8s8_saturates() is expected


def test_doctor_warns_of_saturation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "u8s8_saturates", lambda: True)
    (row,) = [row for row in doctor.doctor() if row.name == "int8"]
    assert row.status == "warning"
    assert row.value == "no VNNI: plain U8S8 weights may saturate"
    assert "saturation_safe" in row.remedy


def test_doctor_names_what_an_extra_lacks_and_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    class Message:
        def get_all(self, _name: str) -> list[str]:
            return ["fancy", "plain"]

    required = [
        "numpy>=1",
        "no-such-library>=2; extra == 'fancy'",
        "numpy>=999; extra == 'fancy'",
        "numpy>=1; extra == 'plain'",
        "also-missing; extra == 'plain' and python_version < '3'",
    ]
    monkeypatch.setattr("importlib.metadata.metadata", lambda _name: Message())
    monkeypatch.setattr("importlib.metadata.requires", lambda _name: required)
    rows = {row.name: row for row in doctor.doctor() if row.topic == "extras"}
    assert rows["plain"].value == "complete"
    assert rows["fancy"].status == "missing"
    assert rows["fancy"].value == "missing: no-such-library, numpy"
    assert rows["fancy"].remedy.endswith('-m pip install "no-such-library>=2" "numpy>=999"')


def test_doctor_of_a_distribution_that_is_not_installed_says_so() -> None:
    (row,) = [row for row in doctor.doctor("no-such-distribution") if row.topic == "extras"]
    assert row.status == "warning"
    assert row.value == "not installed"


def test_a_launcher_divides_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    whole = machine.available_cores()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert machine.available_cores() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    assert machine.available_cores() == whole
    monkeypatch.setenv("OMP_NUM_THREADS", "²")
    assert machine.available_cores() == machine._granted_cores()
    monkeypatch.setenv("OMP_NUM_THREADS", "9" * 5000)
    assert machine.available_cores() == machine._granted_cores()
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert machine.available_cores() == whole
