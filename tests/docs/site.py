"""`python -m tests.docs.site`: docs/ to a site, in site/; a broken link is an error.

What depends on the history, or is only a note to the tests, is added to a copy (build/docs), so that the pages that are
committed never change by themselves: how many commits changed what is behind a result, and why a block is not tested.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.lists import DOCS, ROOT

COPY = ROOT / "build" / "docs"
SINCE = re.compile(r"^<!-- changed since: ([0-9a-f]{40}) (.+?) -->$", re.MULTILINE)
SKIPPED = re.compile(r'^<!-- skip: next "(.+?)" -->$', re.MULTILINE)


def prepare(folder: Path = COPY) -> Path:
    """A copy of docs/ with what is not committed."""
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(DOCS, folder)
    for path in folder.rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        text = SKIPPED.sub(lambda found: f"*Not run by the tests: {found[1]}.*\n", text)
        path.write_text(SINCE.sub(lambda found: changed_since(found[1], found[2].split()), text), encoding="utf-8")
    return folder


def changed_since(commit: str, behind: list[str], root: Path = ROOT) -> str:
    """What to say of a result: how many commits have changed the code behind it."""
    done = subprocess.run(
        ["git", "rev-list", "--count", f"{commit}..HEAD", "--", *behind],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    where = " and ".join(f"`{name}`" for name in behind)
    if done.returncode:
        return f"\n!!! note\n    The commit is not in this clone, so whether {where} changed since is not known."
    count = int(done.stdout)
    if count == 0:
        return f"\n*{where} has not changed since.*"
    commits = "1 commit" if count == 1 else f"{count} commits"
    return f"\n!!! warning\n    {commits} changed {where} since: measured anew, figures may differ."


def build() -> int:
    """The exit code of the generator."""
    prepare()
    program = shutil.which("zensical", path=str(Path(sys.executable).parent)) or "zensical"
    return subprocess.run([program, "build", "--clean", "--strict"], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(build())
