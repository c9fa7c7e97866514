"""`make verify` installs the tools that are missing and no other."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = ("qemu-aarch64-static", "debootstrap", "chromium", "node", "npm")
MAKE = shutil.which("make")


def _stub(path: Path, script: str = "") -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.skipif(MAKE is None, reason="make is missing: apt-get install make")
@pytest.mark.parametrize(
    ("there", "asked"),
    [
        (TOOLS, []),
        (("debootstrap", "chromium", "node", "npm"), ["update", "install -y qemu-user-static"]),
        (("qemu-aarch64-static", "debootstrap", "chromium", "node"), ["update", "install -y npm"]),
        # Here nodejs is a package that brings npm, and Debian's npm would conflict with it.
        (("qemu-aarch64-static", "debootstrap"), ["update", "install -y chromium", "install -y nodejs"]),
    ],
)
def test_verify_installs_only_what_is_missing(there: tuple[str, ...], asked: list[str], tmp_path: Path) -> None:
    for tool in there:
        _stub(tmp_path / tool)
    brings = f'case "$*" in *nodejs*) cp {tmp_path}/apt-get {tmp_path}/npm;; esac'
    _stub(tmp_path / "apt-get", f'echo "$*" >> {tmp_path}/asked\n{brings}')
    (tmp_path / "cp").symlink_to(str(shutil.which("cp")))
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [str(MAKE), "-C", str(root), "verify-tools"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    log = tmp_path / "asked"
    assert (log.read_text().splitlines() if log.is_file() else []) == asked
