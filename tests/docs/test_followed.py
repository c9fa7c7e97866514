"""Every command of the tutorials and how-to guides runs, as a reader types it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.docs.followed import FILES, ROOT, conversation, examples_of, follow, pages, slow

PAGES = {path.relative_to(ROOT / "docs").with_suffix("").as_posix(): path for path in pages()}
SLOW = [name for name, path in PAGES.items() if any(item.region.evaluator is slow for item in examples_of(path))]
KNOWN = {*FILES, "sh", "console", "text"}


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """The folder that examples/start.py makes, made when a page first asks."""

    @cache
    def made() -> Path:
        folder = tmp_path_factory.mktemp("start") / "start"
        subprocess.run([sys.executable, ROOT / "examples" / "start.py", "--out", folder], check=True, timeout=300)
        return folder

    return made


@pytest.mark.parametrize("name", PAGES)
def test_the_quick_part_of_a_page_works(name: str, start: Callable[[], Path], tmp_path: Path) -> None:
    follow(PAGES[name], tmp_path, start, to_the_end=False)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", SLOW)
def test_a_whole_page_works(name: str, start: Callable[[], Path], tmp_path: Path) -> None:
    for reason in follow(PAGES[name], tmp_path, start, to_the_end=True):
        print(f"skipped: {reason}")


def test_every_block_is_of_a_kind_that_is_run() -> None:
    for path in PAGES.values():
        fences = re.findall(r"^ *```(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert not set(fences[::2]) - KNOWN, (
            f"{path}: {set(fences[::2]) - KNOWN}: tests/docs/followed.py says how to mark it"
        )
        assert not [kind for kind in fences[1::2] if kind], path


def test_a_page_that_is_wrong_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for block in ("```sh\nfalse\n```\n", "```console\n$ echo one\ntwo\n```\n", "```yaml\na: 1\n```\n"):
        page.write_text(f"# Page\n\n{block}", encoding="utf-8")
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        with pytest.raises(AssertionError):
            follow(page, folder, lambda: tmp_path, to_the_end=True)


def test_marks_say_what_is_not_run(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        '# Page\n\n`made/file.yaml`:\n\n```yaml\na: 1\n```\n\n<!-- skip: next "no such machine" -->\n'
        "```sh\nfalse\n```\n\n"
        "<!-- needs: no_such_module -->\n```sh\nfalse\n```\n\n```sh\ntest -f made/file.yaml\n```\n\n<!-- slow -->\n"
        "```sh\ntouch last\n```\n",
        encoding="utf-8",
    )
    folder = tmp_path / "quick"
    folder.mkdir()
    assert follow(page, folder, lambda: tmp_path, to_the_end=False) == [
        "page.md:10: no such machine",
        "page.md:15: not installed: no_such_module",
    ]
    assert not (folder / "last").exists()
    folder = tmp_path / "whole"
    folder.mkdir()
    assert len(follow(page, folder, lambda: tmp_path, to_the_end=True)) == 2
    assert (folder / "last").exists()


def test_a_conversation_has_commands_and_what_they_print() -> None:
    assert list(conversation("$ a \\\n  b\none\n$ c\n")) == [("a \\\n  b\n", "one\n"), ("c\n", "")]
