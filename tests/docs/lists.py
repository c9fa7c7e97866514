"""Index pages of docs/: each section's pages with their first sentence, and tables of results inside of pages."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.results_pages import summary

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SECTIONS = {
    "tutorials": ("Tutorials", "Lessons to follow from top to bottom; each ends with something that works."),
    "how-to": (
        "How-to guides",
        "One task a page. Every command on these pages is run by a test, or says why it is not.",
    ),
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
GROUPS = {
    "how-to": {
        "To begin": ["begin-with-what-you-have", "choose-a-recipe"],
        "Make it smaller and faster": [
            "quantize-without-training",
            "find-sensitive-layers",
            "prune-without-training",
            "train-and-compress",
            "sweep-and-search",
            "within-a-budget",
        ],
        "Deploy and keep": [
            "export-formats",
            "verify-elsewhere",
            "run-on-a-device",
            "gate-in-ci",
            "track-runs",
            "several-machines",
            "the-store",
            "record-a-result",
        ],
        "Kinds of models and data": [],
    }
}
"""Headings of an index with their pages; the last takes all that no other names."""
_MOST = 150
"""Letters of a sentence in a list."""
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
    groups = GROUPS.get(name, {"": []})
    named = [stem for stems in groups.values() for stem in stems]
    lines = [f"# {title}", "", about, ""]
    for heading, stems in groups.items():
        if heading:
            lines += [f"## {heading}", ""]
        chosen = [path for path in pages if (path.stem in stems if stems else path.stem not in named)]
        for path in sorted(chosen, key=lambda path: stems.index(path.stem)) if stems else chosen:
            head, told = head_of(path)
            lines.append(f"- [{head}]({path.name}): {told}")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def head_of(path: Path) -> tuple[str, str]:
    """(heading, first sentence) of a page."""
    head, _, rest = path.read_text(encoding="utf-8").removeprefix("# ").partition("\n")
    told = (part for part in rest.strip().split("\n\n") if not part.startswith(("#", "|", "<!--", "```", "!")))
    paragraph = " ".join(next(told).split())
    paragraph = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", paragraph).removeprefix("**Decision.** ")
    sentence = re.split(r"(?<=[.:?]) (?=[A-Z`])", paragraph)[0]
    if len(sentence) > _MOST:
        cut = max(sentence.rfind(mark, 0, _MOST) for mark in (": ", "; ", ", ", " ("))
        sentence = sentence[:cut] if cut > 0 else sentence
    return head.strip(), sentence.rstrip(".:") + "."


def readme() -> dict[Path, str]:
    """The README with its table as the results say it."""
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    assert TABLE.search(text), "README.md: <!-- table: summary --> is gone"
    table = "\n".join(summary()) + "\n"
    return {path: TABLE.sub(lambda found: f"{found[1]}{table}{found[2]}", text)}
