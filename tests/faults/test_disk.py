"""Full and read-only disks, damaged entries, a clock that goes backwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepipe.records.metrics import read_metrics
from tests.faults.processes import finish, start
from tests.small import arguments


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    place = tmp_path / "full"
    place.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root on Linux")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=False).returncode:
        pytest.skip("this system lets nobody mount")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_store_says_so_and_goes_on_when_there_is_room(tmp_path: Path, tmpfs: Path) -> None:
    argv = arguments(tmp_path, "hydra.run.dir=run", f"store.root={tmpfs}/store")
    err = finish(start(*argv, cwd=tmp_path), 1)
    assert "store.root" in err
    assert "no space left" in err
    assert read_metrics(tmp_path / "run").status == "failed"
    assert not (tmp_path / "run" / "final").exists()
    assert not [path for path in (tmpfs / "store" / "tmp").iterdir() if path.suffix != ".lock"]
    kept = len(list((tmpfs / "store" / "steps").iterdir()))
    subprocess.run(["mount", "-o", "remount,size=8m", tmpfs], check=True)
    finish(start(*argv, cwd=tmp_path))
    assert [step.cached for step in read_metrics(tmp_path / "run").passes].count(True) == kept


def test_a_full_run_folder_leaves_no_half_artifact_and_keeps_the_steps(tmp_path: Path, tmpfs: Path) -> None:
    argv = arguments(tmp_path)
    err = finish(start(*argv, f"hydra.run.dir={tmpfs}/run", cwd=tmp_path), 1)
    assert "No space left" in err or "no space left" in err
    for manifest in tmpfs.rglob("manifest.json"):
        assert (manifest.parent / "model.onnx").stat().st_size > 0
    assert not list(tmpfs.rglob("*.part"))
    finish(start(*argv, f"hydra.run.dir={tmp_path}/run", cwd=tmp_path))
    assert read_metrics(tmp_path / "run").passes[0].cached


@pytest.mark.parametrize("what", ["run", "store"])
def test_a_read_only_place_is_named(tmp_path: Path, tmpfs: Path, what: str) -> None:
    subprocess.run(["mount", "-o", "remount,ro", tmpfs], check=True)
    place = {"run": f"hydra.run.dir={tmpfs}/run", "store": f"store.root={tmpfs}/store"}[what]
    err = finish(start(*arguments(tmp_path, "hydra.run.dir=run"), place, cwd=tmp_path), 2)
    assert str(tmpfs) in err
    assert "Choose a writable folder" in err


@pytest.mark.parametrize("victim", ["artifact/model.onnx", "artifact/manifest.json", "record.json"])
def test_a_flipped_byte_costs_one_step(tmp_path: Path, victim: str) -> None:
    argv = arguments(tmp_path)
    finish(start(*argv, "hydra.run.dir=a", cwd=tmp_path))
    path = sorted((tmp_path / "store" / "steps").glob(f"*/{victim}"))[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x55
    path.write_bytes(bytes(content))
    err = finish(start(*argv, "hydra.run.dir=b", cwd=tmp_path))
    assert "computed again" in err
    assert [step.cached for step in read_metrics(tmp_path / "b").passes].count(False) == 1
    assert (tmp_path / "a/final/model.onnx").read_bytes() == (tmp_path / "b/final/model.onnx").read_bytes()


def test_a_clock_that_goes_backwards_changes_nothing(tmp_path: Path) -> None:
    argv = arguments(tmp_path)
    finish(start(*argv, "hydra.run.dir=a", cwd=tmp_path))
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import itertools, time\n_real = time.time\n_count = itertools.count()\n"
        "time.time = lambda: _real() - 4e8 - 3600 * next(_count)\n"
    )
    path = os.pathsep.join([str(hook), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    finish(start(*argv, "hydra.run.dir=b", cwd=tmp_path, PYTHONPATH=path))
    assert all(step.cached for step in read_metrics(tmp_path / "b").passes)
    shutil.rmtree(tmp_path / "store")
    finish(start(*argv, "hydra.run.dir=c", cwd=tmp_path, PYTHONPATH=path))
    assert (tmp_path / "a/final/model.onnx").read_bytes() == (tmp_path / "c/final/model.onnx").read_bytes()
