"""The site: built from the pages, with what depends on the history; a broken link stops it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.lists import ROOT
from tests.docs.site import changed_since, prepare

PROGRAM = Path(sys.executable).with_name("zensical")
needs_zensical = pytest.mark.skipif(not PROGRAM.is_file(), reason="zensical is missing: pip install 'edgepipe[docs]'")


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@y", "-c", "commit.gpgsign=false", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_result_is_marked_when_what_is_behind_it_has_changed(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "one")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "b").write_text("1")
    git(tmp_path, "add", "b")
    git(tmp_path, "commit", "-qm", "two")
    assert changed_since(commit, ["a"], tmp_path) == "\n*`a` has not changed since.*"
    (tmp_path / "a").write_text("2")
    git(tmp_path, "commit", "-qam", "three")
    assert "1 commit changed `a` and `b` since" not in changed_since(commit, ["a", "b"], tmp_path)
    assert "2 commits changed `a` and `b` since" in changed_since(commit, ["a", "b"], tmp_path)
    assert "1 commit changed `a` since" in changed_since(commit, ["a"], tmp_path)
    assert "is not in this clone" in changed_since("0" * 40, ["a"], tmp_path)


def test_the_copy_says_why_a_block_is_not_run(tmp_path: Path) -> None:
    folder = prepare(tmp_path / "copy")
    said = (folder / "tutorials" / "raspberry-pi.md").read_text(encoding="utf-8")
    assert "*Not run by the tests: needs a Raspberry Pi that answers over SSH.*" in said
    assert "<!-- changed since" not in (folder / "results" / "resnet18.md").read_text(encoding="utf-8")


@needs_zensical
@pytest.mark.parametrize("broken", [False, True])
def test_the_site_is_built_and_a_broken_link_stops_it(broken: bool, tmp_path: Path) -> None:
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    docs = prepare(tmp_path / "build" / "docs")
    if broken:
        (docs / "index.md").write_text("# Site\n\n[nowhere](nowhere.md)\n", encoding="utf-8")
    done = subprocess.run(
        [PROGRAM, "build", "--strict"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == (1 if broken else 0), done.stdout + done.stderr
    if not broken:
        page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
        assert 'name="viewport"' in page and 'data-md-color-scheme="slate"' in page
        assert (tmp_path / "site" / "search.json").is_file() or list((tmp_path / "site").rglob("search*"))
        assert "https://fonts" not in page
