"""Who may do what now: who waits is told for what, and nobody collects while a run reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepipe.errors import InputError, StoreError
from edgepipe.store.locks import Locks, held


def locks(root: Path) -> Locks:
    (root / "locks").mkdir()
    (root / "tmp").mkdir()
    return Locks(root, lambda _: None)


def test_nobody_collects_while_a_run_reads_and_its_mark_goes_with_it(tmp_path: Path) -> None:
    found = locks(tmp_path)
    with found.in_use(), pytest.raises(StoreError, match=r"1 run\(s\) are using this store"), found.collecting():
        pass
    with found.collecting():
        assert [path.name for path in (tmp_path / "locks").iterdir()] == ["gc.lock"]


def test_a_sweep_of_the_locks_leaves_those_that_are_held(tmp_path: Path) -> None:
    found = locks(tmp_path)
    with found.key("mine", "a step"), found.collecting():
        (tmp_path / "locks" / "dead.lock").touch()
        found.sweep()
        assert sorted(path.name for path in (tmp_path / "locks").iterdir()) == ["gc.lock", "mine.lock"]


def test_where_no_lock_can_be_held_the_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with (
        pytest.raises(InputError, match=r"lock: no lock can be held there .*Remove it"),
        held(tmp_path / "lock", "why", lambda _: None),
    ):
        pass
