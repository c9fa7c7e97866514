"""Find, lock, find again, compute, commit."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edgepipe.contract.artifact import Kind, Signature, seal
from edgepipe.errors import PassError
from edgepipe.store import memo
from edgepipe.store.store import Store

SIGNATURE = Signature(input_shape=(3, 8, 8))


def made(space: Path, _state: Path) -> memo.Made:
    (space / "artifact" / "model.onnx").write_bytes(b"weights")
    return memo.Made(seal(space / "artifact", Kind.ONNX, SIGNATURE), 1.5, {"x": 1})


def test_a_step_is_computed_once_and_says_why(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = memo.step(store, {"pass": "p", "settings": {"a": 1}}, "it", made)
    again = memo.step(store, {"pass": "p", "settings": {"a": 1}}, "it", lambda *_: pytest.fail("computed twice"))
    other = memo.step(store, {"pass": "p", "settings": {"a": 2}}, "it", made)
    assert first.because == ["no result of this pass is stored"]
    assert again.because is None
    assert again.key == first.key
    assert again.content.facts == {"x": 1}
    assert again.content.artifact.onnx.read_bytes() == b"weights"
    assert other.because == ["settings.a: 1 -> 2"]


def test_who_may_refuse_is_asked_before_anything_is_computed_and_never_of_what_is_stored(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def refuse() -> None:
        raise PassError("no")

    with pytest.raises(PassError):
        memo.step(store, {"pass": "p"}, "it", made, refuse)
    assert [path.name for path in (tmp_path / "locks").iterdir()] == ["gc.lock"]
    memo.step(store, {"pass": "p"}, "it", made)
    assert memo.step(store, {"pass": "p"}, "it", made, refuse).because is None


def test_a_step_that_fails_leaves_nothing_but_its_state(tmp_path: Path) -> None:
    def fails(space: Path, state: Path) -> memo.Made:
        (space / "half").write_bytes(b"1")
        (state / "epoch.pt").write_bytes(b"1")
        raise PassError("no")

    with pytest.raises(PassError):
        memo.step(Store(tmp_path), {"pass": "p"}, "it", fails)
    assert [list((tmp_path / room).iterdir()) for room in ("steps", "tmp")] == [[], []]
    assert len(list((tmp_path / "state").glob("*/epoch.pt"))) == 1


def test_files_are_written_once_and_one_that_cannot_be_read_is_written_again(tmp_path: Path) -> None:
    store, written = Store(tmp_path), []

    def work(space: Path) -> None:
        written.append(space)
        (space / "number.txt").write_text("7")

    def read(folder: Path) -> int:
        return int((folder / "number.txt").read_text())

    def refuses(folder: Path) -> int:
        raise ValueError(folder)

    parts = {"artifact": "a"}
    assert memo.files(store, parts, "it", read, work, lambda _key: ["new"]).because == ["new"]
    assert memo.files(store, parts, "it", read, work).because is None
    assert len(written) == 1
    with pytest.raises(ValueError):  # what was written just now cannot be read either
        memo.files(store, parts, "it", refuses, work)
    assert len(written) == 2
    assert len(list((tmp_path / "damaged").iterdir())) == 1


def test_of_two_that_need_a_result_at_once_one_computes_it(tmp_path: Path) -> None:
    begun, go = threading.Event(), threading.Event()
    found: list[memo.Found[str]] = []

    def work(space: Path) -> None:
        begun.set()
        assert go.wait(10)
        (space / "text").write_text("once")

    def ask() -> None:
        store = Store(tmp_path)
        found.append(memo.files(store, {"artifact": "a"}, "it", lambda folder: (folder / "text").read_text(), work))

    first, second = threading.Thread(target=ask), threading.Thread(target=ask)
    first.start()
    assert begun.wait(10)
    begun.clear()
    second.start()
    second.join(0.3)  # it waits at the lock
    go.set()
    first.join(10)
    second.join(10)
    assert not begun.is_set()
    assert sorted(one.because is None for one in found) == [False, True]
    assert {one.content for one in found} == {"once"}
