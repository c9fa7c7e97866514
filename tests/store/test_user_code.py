"""Functions of a user's own: what they depend on."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepipe.store.user_code import is_library


def test_what_an_installer_put_into_a_folder_of_ones_own_choice_is_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pip install --target` leaves records there; without them a folder holds the user's own code."""
    for name in ("bought_library", "own_code"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    records = tmp_path / "bought_library-1.0.dist-info"
    records.mkdir()
    (records / "METADATA").write_text("Metadata-Version: 2.1\nName: bought_library\nVersion: 1.0\n")
    (records / "RECORD").write_text("bought_library/__init__.py,,\nbought_library-1.0.dist-info/METADATA,,\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert [is_library(name) for name in ("bought_library", "own_code", "numpy", "json")] == [True, False, True, True]
