"""Hashes of a data set are remembered for as many pictures as data sets have."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from edgepipe.data.hashes import VERSION, cache_file, recall, remember, stamp
from edgepipe.data.listing import SUFFIXES, list_root


def test_the_hashes_of_a_million_pictures_are_recalled(tmp_path: Path) -> None:
    file = tmp_path / "many.json"
    entry = f'"train/n01440764/n01440764_00001.JPEG": [123456, 1700000000123456789, "{"ab" * 32}"], '
    file.write_text(f'{{"version": {VERSION}, "value": {{{entry * 1_300_000}"last": 1}}}}')
    assert recall(file)["last"] == 1


@pytest.mark.parametrize("known", [{"a/1.png": [1]}, {"a/1.png": []}, {"a/1.png": 3}, [], "x"])
def test_what_edgepipe_did_not_remember_of_a_folder_is_hashed_again(known: object, tmp_path: Path) -> None:
    picture = tmp_path / "data" / "a" / "1.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"picture")
    status = picture.stat()
    if isinstance(known, dict) and isinstance(known["a/1.png"], list):
        known = {"a/1.png": [status.st_size, status.st_mtime_ns, *known["a/1.png"]][:2]}
    remember(cache_file(tmp_path, f"folder{SUFFIXES[0]}", tmp_path / "data"), known)
    assert len(list_root(tmp_path / "data", tmp_path, True).hashes["a/1.png"]) == 64


def test_what_edgepipe_did_not_remember_of_an_archive_is_hashed_again(tmp_path: Path) -> None:
    root = tmp_path / "data.zip"
    with zipfile.ZipFile(root, "w") as archive:
        archive.writestr("a/1.png", b"picture")
    for more in ({}, {"hashes": [], "folders": {}, "written": 1, "left": None}):
        remember(
            cache_file(tmp_path, f"zip{SUFFIXES[0]}", root), {"stamp": stamp(root), "rules": [3, *SUFFIXES], **more}
        )
        assert len(list_root(root, tmp_path, True).hashes["a/1.png"]) == 64
    assert json.loads(cache_file(tmp_path, f"zip{SUFFIXES[0]}", root).read_text())["value"]["hashes"]
