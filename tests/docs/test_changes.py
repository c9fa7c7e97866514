"""News fragments become a section of the changelog."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.lists import ROOT

PROGRAM = Path(sys.executable).with_name("towncrier")
NAME = re.compile(r"\+[\w.-]+\.(added|changed|deprecated|removed|fixed|security)\.md")


def test_every_fragment_has_a_name_that_becomes_a_line() -> None:
    wrong = [path.name for path in (ROOT / "changes").iterdir() if not NAME.fullmatch(path.name)]
    assert wrong == ["README.md"], "changes/+NAME.TYPE.md is wanted: see changes/README.md"


@pytest.mark.skipif(not PROGRAM.is_file(), reason="towncrier is missing: pip install 'edgepipe[docs]'")
def test_a_release_turns_fragments_into_a_section_above_the_last_one(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "changes", tmp_path / "changes")
    (tmp_path / "changes" / "+one.fixed.md").write_text("A thing is right now.\n")
    for version in ("8.0", "9.0"):
        if version == "9.0":
            (tmp_path / "changes" / "+two.added.md").write_text("A thing more.\n")
        command = [PROGRAM, "build", "--yes", "--version", version]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    text = (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")
    new, old = text.index("## 9.0 ("), text.index("## 8.0 (")
    assert new < text.index("- A thing more.") < old < text.index("- A thing is right now.")
    assert [path.name for path in (tmp_path / "changes").iterdir()] == ["README.md"]
