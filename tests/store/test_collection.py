"""What lies in a store, whether it is whole, and what may go."""

from __future__ import annotations

import os
from pathlib import Path

from edgepipe.store.collection import Room, collect, rooms, verify
from edgepipe.store.store import Store
from tests.store.stored import put


def test_verify_is_no_use_and_keeps_gc_away(tmp_path: Path) -> None:
    store = Store(tmp_path)
    a, b = "a" * 40, "b" * 40
    for key in (a, b):
        put(store, key, b"weights")
    os.utime(tmp_path / "steps" / b / "record.json", (1e9, 1e9))
    assert verify(store) == (2, [])
    assert [room.path.name for room in rooms(store.root)] == [b, a]
    store.find(b)
    assert [room.path.name for room in rooms(store.root)] == [a, b]


def test_gc_removes_lock_files_that_nobody_holds(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.lock("old", "step"):
        pass
    (tmp_path / "tmp" / "dead.lock").write_text("")
    collect(store, 10**12)
    assert [path.name for path in (tmp_path / "locks").iterdir()] == ["gc.lock"]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_step_is_told_by_its_pass_and_a_record_that_cannot_be_read_by_a_question_mark(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text('{"key": {"pass": "quantize_static"}, "label": "quantize"}')
    assert Room("steps", tmp_path, 1, 0.0).named() == ("quantize_static", "quantize")
    assert Room("cache", tmp_path, 1, 0.0).named() == ("", "")
    (tmp_path / "record.json").write_text("[]")
    assert Room("steps", tmp_path, 1, 0.0).named() == ("?", "")


def test_the_least_recently_used_goes_first_and_a_dry_run_removes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    a, b = "a" * 40, "b" * 40
    for key in (a, b):
        put(store, key, b"weights")
    os.utime(tmp_path / "steps" / a / "record.json", (1e9, 1e9))
    keep = sum(room.size_bytes for room in rooms(tmp_path)) - 1
    assert [room.path.name for room in collect(store, keep, dry_run=True)] == [a]
    assert [room.path.name for room in rooms(tmp_path)] == [a, b]
    assert [room.path.name for room in collect(store, keep)] == [a]
    assert [room.path.name for room in rooms(tmp_path)] == [b]
