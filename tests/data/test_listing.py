from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from edgepipe.data.listing import list_root
from edgepipe.errors import DataError
from tests.data.drawing import pack, png


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:/evil.png"])
def test_names_that_lead_out_of_a_zip_are_refused(tmp_path: Path, name: str) -> None:
    root = pack(tmp_path / "x.zip", {"a/1.png": png(1), name: png(2)})
    with pytest.raises(DataError, match=r"evil\.png.*leads out of the archive"):
        list_root(root, tmp_path, True)


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        link = zipfile.ZipInfo("a/1.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match=r"'a/1\.png': it is a symbolic link"):
        list_root(tmp_path / "x.zip", tmp_path, True)


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", b"\0" * (20 << 20))
    with pytest.raises(DataError, match=r"'a/1\.png': \d+ bytes unpack to 20971520, as in a decompression bomb"):
        list_root(tmp_path / "x.zip", tmp_path, True)


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    root = pack(tmp_path / "x.zip", {"a/1.png": png(1), "a/2.png": png(2)})
    content = bytearray(root.read_bytes())
    content[60] ^= 255
    root.write_bytes(content)
    with pytest.raises(DataError, match=r"a/1\.png: cannot be unpacked \(Bad CRC-32"):
        list_root(root, tmp_path, True)


def test_hidden_files_and_other_suffixes_are_no_pictures(tmp_path: Path) -> None:
    files = {"a/1.PNG": png(1), "a/.2.png": png(2), "__MACOSX/a/._1.png": png(3), "a/notes.txt": b"x"}
    assert list(list_root(pack(tmp_path / "x.zip", files), tmp_path, True).hashes) == ["a/1.PNG"]


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "r" / "a").mkdir(parents=True)
    (tmp_path / "r" / "a" / "1.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(DataError, match=r"1\.png.*make it readable, or remove it"):
        list_root(tmp_path / "r", tmp_path, True)
