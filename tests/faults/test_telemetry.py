"""Nothing is kept or sent for the maker of a library: no device id, no database, no file left in TMPDIR."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from edgepipe.bundle.page import FILES

RUNTIME = "import edgepipe, onnxruntime as ort; ort.SessionOptions()"


def started(argv: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    """A program started by somebody who has set nothing, in a home and a TMPDIR that are empty."""
    (home / "tmp").mkdir(parents=True)
    own = {key: value for key, value in os.environ.items() if not key.endswith(("_TELEMETRY", "XDG_CACHE_HOME"))}
    return subprocess.run(
        [sys.executable, *argv],
        env={**own, "HOME": str(home), "TMPDIR": str(home / "tmp")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_no_process_of_edgepipe_keeps_an_identity_for_the_maker_of_the_runtime(tmp_path: Path) -> None:
    assert started(["-c", RUNTIME], tmp_path).returncode == 0
    assert [path.name for path in tmp_path.rglob("*")] == ["tmp"]


def test_what_the_user_set_stands() -> None:
    said = "import os, edgepipe; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    own = {**os.environ, "ORT_DISABLE_TELEMETRY": "0"}
    assert subprocess.run([sys.executable, "-c", said], env=own, capture_output=True, check=True).stdout == b"0\n"


def test_the_program_of_a_bundle_and_of_devices_keeps_none_either(tmp_path: Path) -> None:
    shutil.copyfile(FILES / "example.py", tmp_path / "example.py")
    (tmp_path / "bundle.json").write_text("no JSON")  # read right behind the runtime's import
    done = started([str(tmp_path / "example.py")], tmp_path / "home")
    assert "JSONDecodeError" in done.stderr
    assert [path.name for path in (tmp_path / "home").rglob("*")] == ["tmp"]
