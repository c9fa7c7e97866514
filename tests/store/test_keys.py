"""Keys and digests: what differs has another, and what was damaged is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgepipe.errors import StoreError
from edgepipe.store.keys import RECORD, digests, key_of, read_sealed, refuse_damaged, sealed


def test_key_depends_on_values_not_on_order() -> None:
    assert key_of({"a": 1, "b": [1, 2]}) == key_of({"b": [1, 2], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})


def test_a_sealed_record_comes_back_without_its_seal_and_a_changed_one_is_damage(tmp_path: Path) -> None:
    file = tmp_path / RECORD
    file.write_text(json.dumps(sealed({"seconds": 1.5})))
    assert read_sealed(file) == {"seconds": 1.5}
    file.write_text(file.read_text().replace("1.5", "2.5"))
    with pytest.raises(StoreError, match=r"record\.json: damaged: its content does not match its SHA-256"):
        read_sealed(file)


def test_a_file_too_many_or_changed_is_damage(tmp_path: Path) -> None:
    (tmp_path / "measured.json").write_text("{}")
    (tmp_path / RECORD).write_text(json.dumps(digests(tmp_path)))
    assert set(digests(tmp_path)) == {"measured.json"}
    refuse_damaged(tmp_path)
    (tmp_path / "measured.json").write_text("[]")
    with pytest.raises(StoreError, match=r"measured\.json: damaged"):
        refuse_damaged(tmp_path)
    (tmp_path / "more").touch()
    with pytest.raises(StoreError, match="does not name the files beside it"):
        refuse_damaged(tmp_path)
