from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from edgepipe.data.listing import list_root
from edgepipe.errors import DataError
from tests.data.drawing import pack, png, write

LEADING_OUT = ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:/evil.png"]
LEADING_OUT += ["..\\evil.png", "\\etc\\evil.png", "./../evil.png", "c:evil.png"]


@pytest.mark.parametrize("name", LEADING_OUT)
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


CLUTTERED = {
    "a/1.PNG": png(1),
    "a/.2.png": png(2),
    ".old/a/3.png": png(3),
    "a/notes.txt": b"x",
    "b/1.heic": b"x",
    "b/2.HEIC": b"x",
    "b/list": b"x",
    "__MACOSX/a/._1.png": png(4),
    "a/._1.png": png(4),
    ".DS_Store": b"x",
    "a/Thumbs.db": b"x",
    ".git/config": b"x",
}


@pytest.mark.parametrize("make", [pack, write])
def test_hidden_files_and_other_suffixes_are_no_pictures_and_are_counted(tmp_path: Path, make) -> None:
    root = make(tmp_path / "x.zip", CLUTTERED)
    for _ in range(2):  # the second time from the cache
        found = list_root(root, tmp_path / "cache", True)
        assert list(found.hashes) == ["a/1.PNG"]
        assert found.left == {"hidden": 2, ".txt": 1, ".heic": 2, "without a suffix": 1}
    said = str(found.note())
    assert said.startswith("4 files that the suffix makes no picture of (2 .heic, 1 .txt, 1 without a suffix)")
    assert " and 2 hidden pictures left out" in said and ".jfif" in said


def test_a_scan_by_other_rules_is_made_again(tmp_path: Path) -> None:
    root = pack(tmp_path / "x.zip", {"a/1.png": png(1), "a/2.jfif": png(2)})
    list_root(root, tmp_path / "cache", True)
    (file,) = (tmp_path / "cache").iterdir()
    known = json.loads(file.read_text())
    known["value"] |= {"hashes": {}, "rules": [1, ".png"]}
    file.write_text(json.dumps(known))
    assert len(list_root(root, tmp_path / "cache", True).hashes) == 2


def test_names_of_members_are_what_every_program_means_by_them(tmp_path: Path) -> None:
    names = {
        "./cat/1.png": "cat/1.png",
        "cat\\2.png": "cat/2.png",
        "cat/./3.png": "cat/3.png",
        "cat//4.png": "cat/4.png",
        ".\\dog\\5.png": "dog/5.png",
        "12:30/6.png": "12:30/6.png",
    }
    folders = {"./": b"", "cat\\": b"", "./cat/": b"", "cat/": b""}
    root = pack(tmp_path / "x.zip", {**folders, **{name: png(row) for row, name in enumerate(names)}})
    for _ in range(2):
        found = list_root(root, tmp_path / "cache", True)
        assert sorted(found.hashes) == sorted(names.values())
        assert found.folders == {"cat", "dog", "12:30"}
        assert [found.read(name) for name in names.values()] == [png(row) for row in range(len(names))]
    assert not found.left


@pytest.mark.parametrize("names", [("a/1.png", "./a/1.png"), ("a/1.png", "a\\1.png"), ("a//1.png", "a/1.png")])
def test_two_members_of_one_meaning_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    root = pack(tmp_path / "x.zip", {name: png(row) for row, name in enumerate(names)})
    with pytest.raises(DataError, match="the name occurs twice"):
        list_root(root, tmp_path / "cache", True)


@pytest.mark.parametrize("make", [pack, write])
def test_folders_within_each_other_have_an_end(tmp_path: Path, make) -> None:
    deep = "a/" * (32_000 if make is pack else 900)
    if make is pack:
        root = pack(tmp_path / "x.zip", {f"{deep}1.png": png(1)})
    else:
        (root := tmp_path / "r").mkdir()
        (root / deep).mkdir(parents=True)
    with pytest.raises(DataError, match="lies more than 64 folders deep"):
        list_root(root, tmp_path / "cache", True)


def test_names_in_other_letters_survive(tmp_path: Path) -> None:
    names = {"K\u00e4se/1.png".encode(): 3, b"caf\xe9/2.png": 3, b"caf\x82/3.png": 0}
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, (name, system) in enumerate(names.items()):
            member = zipfile.ZipInfo(f"{number}" * len(name))
            member.create_system = system  # 3: Unix, whose names are bytes; 0: DOS, whose letters are code page 437
            archive.writestr(member, png(number))
    content = path.read_bytes()
    for number, name in enumerate(names):  # without the flag that says UTF-8
        content = content.replace(f"{number}".encode() * len(name), name)
    path.write_bytes(content)
    for _ in range(2):
        found = list_root(path, tmp_path / "cache", True)
        assert list(found.hashes) == ["K\u00e4se/1.png", "caf\udce9/2.png", "caf\u00e9/3.png"]
        assert [found.read(name) for name in found.hashes] == [png(0), png(1), png(2)]


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "r" / "a").mkdir(parents=True)
    (tmp_path / "r" / "a" / "1.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(DataError, match=r"1\.png.*make it readable, or remove it"):
        list_root(tmp_path / "r", tmp_path, True)
