"""What a killed process left goes with the next command; what a living one owns stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edgepipe.__main__ import main
from edgepipe.base.leftovers import take_away
from edgepipe.errors import VerifyError
from edgepipe.store.store import Store
from edgepipe.verify.installed import install_into

HOLDER = """
import sys, tempfile
from pathlib import Path
from edgepipe.base.scratch import scratch
from edgepipe.store.store import Store
store = Store(Path(sys.argv[1]))
with store.in_use(), store.workspace() as space, scratch("held"):
    (space / "half").write_text("x" * 10**6)
    print(space, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def holding(root: Path, tmp: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that uses a store, and its workspace."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp)},
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_next_command_takes_away_what_the_dead_left_and_nothing_else(tmp_path: Path, tmp: Path) -> None:
    root = tmp_path / "store"
    dead, of_dead = holding(root, tmp)
    living, of_living = holding(root, tmp)
    dead.kill()
    dead.communicate()
    assert (of_dead / "half").is_file()
    assert len(list((root / "locks").glob("run-*.lock"))) == 2
    assert len(names(tmp)) == 4
    (root / "tmp" / f"gone-{'0' * 32}").mkdir()  # of a collection that was killed
    assert main(["store", "ls", "--root", str(root)]) == 0
    assert names(root / "tmp") == [of_living.name, f"{of_living.name}.lock"]
    assert len(list((root / "locks").glob("run-*.lock"))) == 1
    assert len(names(tmp)) == 2
    assert (of_living / "half").stat().st_size == 10**6
    living.communicate("")
    assert living.returncode == 0
    assert names(root / "tmp") == names(tmp) == []
    assert not list((root / "locks").glob("run-*.lock"))


@pytest.mark.skipif(os.name != "posix", reason="stops a process as POSIX does")
def test_a_process_that_is_stopped_still_owns_its_folders(tmp_path: Path, tmp: Path) -> None:
    root = tmp_path / "store"
    process, space = holding(root, tmp)
    process.send_signal(signal.SIGSTOP)
    try:
        Store(root)
        assert (space / "half").is_file()
        assert len(names(tmp)) == 2
    finally:
        process.send_signal(signal.SIGCONT)
        process.communicate("")


def test_what_has_no_lock_of_ours_stays(tmp_path: Path, tmp: Path) -> None:
    for name in ("edgepipe-mine-of-the-user", "edgepipe-a.lock.d", "other"):
        (tmp / name).mkdir()
    (tmp / "unrelated.lock").touch()
    Store(tmp_path / "store")
    assert names(tmp) == ["edgepipe-a.lock.d", "edgepipe-mine-of-the-user", "other", "unrelated.lock"]


@pytest.mark.skipif(os.name != "posix", reason="links need a right on Windows")
def test_a_link_in_the_place_of_a_folder_is_not_followed(tmp_path: Path, tmp: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (tmp / "edgepipe-a-b").symlink_to(tmp_path / "precious")
    (tmp / "edgepipe-a-b.lock").touch()
    Store(tmp_path / "store")
    assert (tmp_path / "precious" / "file").is_file()


def test_what_a_workspace_becomes_can_be_read_by_others(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        with Store(tmp_path / "store").workspace() as space:
            assert os.name != "posix" or space.stat().st_mode & 0o777 == 0o755
    finally:
        os.umask(umask)


def test_an_installation_that_was_killed_goes_with_the_next_one(tmp_path: Path) -> None:
    half = tmp_path / ".arm64.0badc0de.part"
    half.mkdir()
    (tmp_path / f"{half.name}.lock").touch()

    def fill(part: Path) -> None:
        (part / "wheels.txt").touch()
        raise VerifyError("no network")

    with pytest.raises(VerifyError, match="no network"):
        install_into(tmp_path / "arm64", fill)
    assert names(tmp_path) == []


def test_small_files_without_a_lock_go_when_they_are_old(tmp_path: Path) -> None:
    root = tmp_path / "store"
    Store(root)
    old, new = root / "cache" / ".files-0.json.0badc0de.part", root / "tmp" / f"probe-{'1' * 32}"
    for path in (old, new):
        path.touch()
    os.utime(old, (1e9, 1e9))
    take_away(root)
    assert not old.exists()
    assert new.exists()
