"""A place that is full or can only be read: what can be done is done, what cannot is said before the work."""

from __future__ import annotations

import errno
import io
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edgepipe.engine.run
import edgepipe.passes.quantize_static as quantizing
from edgepipe.__main__ import main
from edgepipe.base import disk
from edgepipe.base.scratch import scratch
from edgepipe.errors import StoreError
from edgepipe.records.metrics import read_metrics
from edgepipe.store.store import Store
from tests.small import arguments


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    assert main(arguments(folder, f"hydra.run.dir={folder}/run")) == 0
    return folder


ReadOnly = Callable[[Path], None]


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> ReadOnly:
    """Have a folder refuse every write as a file system does that is mounted read-only; root obeys no other bar."""
    bars: list[str] = []

    def barred(place: Any) -> None:
        if isinstance(place, (str, os.PathLike)) and any(Path(place).absolute().is_relative_to(bar) for bar in bars):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), os.fspath(place))

    def bar(module: Any, name: str, writes: Callable[..., bool], *positions: int) -> None:
        real = getattr(module, name)

        def guarded(*args: Any, **named: Any) -> Any:
            if writes(*args, **named):
                for position in positions or (0,):
                    barred(args[position])
            return real(*args, **named)

        monkeypatch.setattr(module, name, guarded)

    changing = os.O_WRONLY | os.O_RDWR | os.O_CREAT
    bar(os, "open", lambda _path, flags, *_, **__: bool(flags & changing))
    bar(io, "open", lambda _path, mode="r", *_, **__: isinstance(mode, str) and bool(set(mode) & set("wax+")))
    for name in ("unlink", "rmdir", "utime"):
        bar(os, name, lambda *_, **__: True)
    for name in ("rename", "replace"):
        bar(os, name, lambda *_, **__: True, 0, 1)
    bar(os, "mkdir", lambda place, *_, **__: not Path(place).exists())
    return lambda folder: bars.append(str(folder.absolute()))


def said(capfd: pytest.CaptureFixture[str]) -> str:
    return " ".join(capfd.readouterr().err.split())


def test_a_read_only_store_is_listed_verified_and_reused(
    whole: Path, tmp_path: Path, read_only: ReadOnly, capfd: pytest.CaptureFixture[str]
) -> None:
    read_only(whole / "store")
    before = sorted(whole.joinpath("store").rglob("*"))
    assert main(["store", "ls", "--root", str(whole / "store")]) == 0
    assert "can only be read (Read-only file system): what it holds is reused" in said(capfd)
    assert main(["store", "verify", "--root", str(whole / "store")]) == 0
    assert main(arguments(whole, f"hydra.run.dir={tmp_path}/run")) == 0
    metrics = read_metrics(tmp_path / "run")
    assert [step.cached and step.measurement_cached for step in metrics.passes] == [True] * len(metrics.passes)
    assert sorted(whole.joinpath("store").rglob("*")) == before


def test_what_a_read_only_store_lacks_is_named_before_it_is_computed(
    whole: Path, tmp_path: Path, read_only: ReadOnly, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def computed(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(quantizing.QuantizeStatic, "apply", computed)
    read_only(whole / "store")
    assert main(arguments(whole, f"hydra.run.dir={tmp_path}/run", "passes.quantize.per_channel=false")) == 1
    words = said(capfd)
    assert "the result of 'quantize' is not in it. Choose a writable folder with store.root=DIR" in words
    assert main(["store", "gc", "--root", str(whole / "store"), "--keep-bytes", "0"]) == 1
    assert "nothing can be removed from it" in said(capfd)


def test_damage_in_a_read_only_store_is_told_and_left(
    whole: Path, tmp_path: Path, read_only: ReadOnly, capfd: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(whole / "store", tmp_path / "store"))
    victim = next((root / "steps").iterdir())
    (victim / "record.json").write_text("{}")
    read_only(root)
    assert main(["store", "verify", "--root", str(root)]) == 1
    assert "The store can only be read, so the entry stays where it is" in said(capfd)
    assert victim.is_dir()


def refused_first(argv: list[str], capfd: pytest.CaptureFixture[str], place: Path) -> None:
    assert main(argv) == 2
    words = said(capfd)
    assert str(place) in words
    assert "Read-only file system" in words


def test_a_run_or_a_store_with_no_place_is_refused_before_the_work(
    tmp_path: Path, read_only: ReadOnly, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def computed(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(edgepipe.engine.run, "_one_step", computed)
    argv = arguments(tmp_path)
    (tmp_path / "barred").mkdir()
    (tmp_path / "barred" / "run").mkdir()
    read_only(tmp_path / "barred")
    refused_first([*argv, f"hydra.run.dir={tmp_path}/barred/run"], capfd, tmp_path / "barred" / "run")
    other = [*argv, f"store.root={tmp_path}/barred/store", f"hydra.run.dir={tmp_path}/run"]
    refused_first(other, capfd, tmp_path / "barred" / "store")


def test_verify_and_sensitivity_are_refused_before_the_work(
    whole: Path, tmp_path: Path, read_only: ReadOnly, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import edgepipe.search.sensitivity
    import edgepipe.verify.prove

    def worked(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(edgepipe.verify.prove, "prove", worked)
    monkeypatch.setattr(edgepipe.search.sensitivity, "incoming", worked)
    run = Path(shutil.copytree(whole / "run", tmp_path / "barred" / "run"))
    read_only(tmp_path / "barred")
    refused_first(["verify", str(run), "--on", "x86_avx2"], capfd, run)
    argv = ["sensitivity", *arguments(whole), "--out", str(tmp_path / "barred" / "out")]
    refused_first(argv, capfd, tmp_path / "barred" / "out")


def no_space(name: str | None = None) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *(() if name is None else (name,)))


def test_a_full_temporary_folder_is_told_as_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "small"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))

    def apply(*_: object) -> None:
        with scratch("examples") as folder:
            raise no_space(str(folder / "rows.npy"))

    monkeypatch.setattr(quantizing.QuantizeStatic, "apply", apply)
    assert main(arguments(tmp_path, f"hydra.run.dir={tmp_path}/run")) == 1
    words = said(capfd)
    assert f"TMPDIR: {place}: no space left" in words
    assert "bytes are free now" in words
    assert "choose another place with TMPDIR=DIR" in words
    assert read_metrics(tmp_path / "run").status == "failed"
    assert list(place.iterdir()) == []


def test_a_full_disk_without_a_name_is_the_place_with_least_room(monkeypatch: pytest.MonkeyPatch) -> None:
    free = {"/run": 5_000_000, "/store": 12_288, "/tmp": 7_000_000}
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    monkeypatch.setattr(disk, "free_bytes", lambda place: free[str(place)])
    places = {"hydra.run.dir": Path("/run"), "store.root": Path("/store")}
    assert disk.which(no_space(), places).startswith("store.root: /store: no space left (12,288 bytes are free now)")
    assert disk.which(no_space("/run/final/model.onnx"), places).startswith("hydra.run.dir: /run: no space left")
    assert disk.which(no_space("/tmp/x"), places).startswith("TMPDIR: /tmp: no space left")


def test_a_run_folder_that_is_full_when_its_report_is_written_holds_a_failed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import edgepipe.report.html

    def full(_metrics: object, path: Path) -> None:
        raise no_space(str(path))

    monkeypatch.setattr(edgepipe.report.html, "write_report", full)
    assert main(arguments(tmp_path, f"hydra.run.dir={tmp_path}/run")) == 1
    words = said(capfd)
    assert f"hydra.run.dir: {tmp_path}/run: no space left" in words
    metrics = read_metrics(tmp_path / "run")
    assert metrics.status == "failed"
    assert metrics.failure is not None
    assert "no space left" in metrics.failure.message
    assert not (tmp_path / "run" / "final").exists()
    assert not (tmp_path / "run" / "report.html").exists()


def test_a_full_store_names_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/")
    store = Store(tmp_path / "store")
    wanted = r"store\.root: .*/store: no space left \(.* bytes are free now\)"
    with pytest.raises(StoreError, match=wanted), store.workspace() as space:
        raise no_space(str(space / "model.onnx"))


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system reserves no room")
def test_a_mapped_file_that_has_no_room_is_an_error_and_no_dead_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgepipe.base.files import reserve

    def fallocate(*_: int) -> None:
        raise no_space()

    (tmp_path / "rows.npy").write_bytes(b"x")
    monkeypatch.setattr(os, "posix_fallocate", fallocate)
    with pytest.raises(OSError, match="No space left on device") as found:
        reserve(tmp_path / "rows.npy", 10**6)
    assert found.value.filename == str(tmp_path / "rows.npy")
