"""Pipes, devices and endless files where a file is wanted: refused at once, never waited for, never replaced."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepipe.__main__ import main
from edgepipe.store.collection import verify
from edgepipe.store.keys import RECORD
from edgepipe.store.store import Store
from tests.data.drawing import tree, write
from tests.small import arguments


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """A test that waits for a pipe would wait for ever."""

    def late(*_: object) -> None:
        raise TimeoutError("it was waited for")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(100)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def odd(path: Path, kind: str) -> Path:
    """A pipe that nobody writes to, or a device that never ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    return path


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_plain_file_is_refused_wherever_a_file_is_named(
    tmp_path: Path, kind: str, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = arguments(tmp_path / "in", "hydra.run.dir=run")
    assert main(argv) == 0
    place = odd(tmp_path / "odd" / f"{kind}.onnx", kind)
    (tmp_path / "recipes").mkdir()
    recipe = odd(tmp_path / "recipes" / "bad.yaml", kind)
    metrics = odd(tmp_path / "broken" / "metrics.json", kind).parent
    bundle = odd(tmp_path / "bundle" / "bundle.json", kind).parent
    more = ["recipe=ptq", "data=digits", "~goal", "hydra.run.dir=other"]
    lines = [
        [f"recipe={recipe}", "model=resnet18"],
        ["plan", "recipe=bad"],
        *([*more, f"model={source}", f"model.path={place}"] for source in ("onnx", "keras", "sklearn", "tensorflow")),
        [*more, "model=resnet18", f"model.weights={place}"],
        [*argv, f"data.evaluation={place}"],
        ["recipe=ptq", "model=resnet18", "data=image_folder", f"data.root={place}"],
        ["recipe=ptq", "model=resnet18", "data=cifar10", f"data.root={place}"],
        [*argv, f"store.root={place}"],
        [*argv, f"hydra.run.dir={place}"],
        ["check", "run", "--baseline", str(place)],
        ["accept", "run", "--baseline", str(place)],
        ["check", str(metrics), "--baseline", str(place)],
        ["compare", "run", str(metrics)],
        ["compare", "run", "--out", str(place)],
        ["report", str(metrics)],
        ["explain", str(metrics)],
        ["track", str(metrics)],
        ["bundle", "verify", str(bundle)],
        ["bundle", "verify", str(place)],
        ["verify", str(place), "--on", "x86_avx2"],
        ["verify", "run", "--on", "x86_avx2", "--inputs", str(place)],
        ["store", "ls", "--root", str(place)],
        ["search", *argv, "seed=0,1", "--out", str(place)],
        ["sensitivity", *argv, "--out", str(place)],
    ]
    capfd.readouterr()
    for line in lines:
        assert main(line) == 2, line
        err = capfd.readouterr().err
        assert "error: " in err, line
        assert "defect" not in err and "Traceback" not in err, (line, err)
    assert main(["list", "recipes"]) == 0
    assert f"not a recipe: {recipe}" in capfd.readouterr().out
    assert place.is_fifo() or place.is_symlink()


@pytest.mark.parametrize("kind", ["pipe", "device", "endless"])
def test_a_picture_that_is_no_plain_file_is_named(tmp_path: Path, kind: str, capfd) -> None:
    write(tmp_path / "p", tree({"train": {"a": 3, "b": 3}, "test": {"a": 2, "b": 2}}))
    strange = tmp_path / "p" / "train" / "a" / "z.png"
    if kind == "endless":
        with strange.open("wb") as file:
            file.truncate(1 << 40)  # no block of it lies on the disk
    else:
        odd(strange, kind)
    argv = ["recipe=ptq", "model=resnet18", "data=image_folder", f"data.root={tmp_path}/p", f"store.root={tmp_path}/s"]
    assert main([*argv, f"hydra.run.dir={tmp_path}/run"]) == 2
    err = capfd.readouterr().err
    assert "a/z.png: " in err
    assert "remove it" in err


@pytest.mark.parametrize("name", [".edgepipe", ".lock", "edgepipe.log", "metrics.json", "tracking.json", ".hydra"])
def test_a_pipe_among_what_a_run_writes_is_no_trap(tmp_path: Path, name: str, capfd) -> None:
    argv = arguments(tmp_path / "in", f"hydra.run.dir={tmp_path}/run")
    (tmp_path / "run").mkdir()
    if name != ".edgepipe":
        (tmp_path / "run" / ".edgepipe").write_text("edgepipe results: made by edgepipe")
    odd(tmp_path / "run" / name, "pipe")
    code = main(argv)
    assert code == (0 if name in ("metrics.json", "tracking.json") else 2)
    assert "defect" not in capfd.readouterr().err


def test_pipes_in_a_store_are_damage(tmp_path: Path) -> None:
    argv = arguments(tmp_path / "in", f"hydra.run.dir={tmp_path}/run")
    assert main(argv) == 0
    root = tmp_path / "in" / "store"
    for number, entry in enumerate(sorted([*root.glob("steps/*"), *root.glob("measurements/*")])):
        file = entry / (RECORD if number % 2 or entry.parent.name != "steps" else "artifact/manifest.json")
        file.unlink()
        odd(file, "pipe")
    for file in root.glob("cache/*.json"):
        file.unlink()
        odd(file, "pipe")
    assert main(["store", "ls", "--root", str(root)]) == 0
    assert verify(Store(root))[0] == 0
    assert main(argv) == 0


def test_no_device_is_replaced_by_a_file(tmp_path: Path) -> None:
    from edgepipe.base.files import write_text

    for kind in ("pipe", "device"):
        place = odd(tmp_path / kind, kind)
        with pytest.raises(OSError, match="no plain file"):
            write_text(place, "x")
        assert place.exists() and not place.is_file()
