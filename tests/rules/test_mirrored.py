"""Whoever opens a file knows where its tests are: those of `edgepipe/a/b.py` in `tests/a/test_b.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from tests.rules.exceptions import check
from tests.rules.source import modules


def mirror(module: str) -> str:
    """Where the tests of a file are."""
    path = PurePosixPath(module)
    return str(PurePosixPath("tests", *path.parts[1:-1], f"test_{path.name}"))


def found() -> Iterator[str]:
    """Files that have no such tests."""
    there = set(modules("tests"))
    for module in modules():
        if PurePosixPath(module).name not in ("__init__.py", "__main__.py") and mirror(module) not in there:
            yield module


def test_every_file_has_its_tests_under_the_same_name() -> None:
    check("unmirrored", found(), "has no tests under the same name, tests/ROOM/test_FILE.py: write some")


def test_a_mirror_keeps_folders() -> None:
    assert mirror("edgepipe/quant/place/worth.py") == "tests/quant/place/test_worth.py"
    assert mirror("edgepipe/plugins.py") == "tests/test_plugins.py"
