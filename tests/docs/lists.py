"""Index pages of docs/: each section's pages with their first sentence, and tables of results inside of pages."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.results_pages import summary

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SECTIONS = {
    "tutorials": ("Tutorials", "Lessons to follow from top to bottom; each ends with something that works."),
    "how-to": ("How-to guides", "One task a page. Every command on these pages is run by a test."),
    "explanation": ("Explanation", "How edgepipe works, and why its figures can be believed."),
    "decisions": ("Decisions", "What was decided, why, and what it costs."),
}
ORDER = {
    "tutorials": ["first-run", "your-checkpoint", "your-detector", "raspberry-pi", "write-a-pass", "write-a-task"],
    "explanation": [
        "architecture",
        "artifacts-and-keys",
        "what-is-measured",
        "int8-placement",
        "saturation",
        "exact-sums",
    ],
}
"""Pages that stand first, in this order; all others follow by name."""
TABLE = re.compile(r"(<!-- table: summary -->\n).*?(<!-- end of table -->)", re.DOTALL)


def index_pages() -> dict[Path, str]:
    """The index of every section whose pages people write."""
    return {DOCS / name / "index.md": _index(name, *about) for name, about in SECTIONS.items()}


def _index(name: str, title: str, about: str) -> str:
    first = ORDER.get(name, [])
    pages = sorted(
        (path for path in (DOCS / name).glob("*.md") if path.name != "index.md"),
        key=lambda path: (first.index(path.stem) if path.stem in first else len(first), path.stem),
    )
    lines = [f"- [{head}]({path.name}): {told}" for path in pages for head, told in [head_of(path)]]
    return "\n".join([f"# {title}", "", about, "", *lines]) + "\n"


def head_of(path: Path) -> tuple[str, str]:
    """(heading, first sentence) of a page."""
    head, _, rest = path.read_text(encoding="utf-8").removeprefix("# ").partition("\n")
    paragraph = " ".join(rest.strip().split("\n\n")[0].split())
    paragraph = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", paragraph).removeprefix("**Decision.** ")
    sentence = re.split(r"(?<=[.:?]) (?=[A-Z`])", paragraph)[0]
    return head.strip(), sentence.rstrip(":") + ("." if sentence.endswith(":") else "")


def readme() -> dict[Path, str]:
    """The README with its table as the results say it."""
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    assert TABLE.search(text), "README.md: <!-- table: summary --> is gone"
    table = "\n".join(summary()) + "\n"
    return {path: TABLE.sub(lambda found: f"{found[1]}{table}{found[2]}", text)}
