"""Every page that is written from something else, and what it says now."""

from __future__ import annotations

from pathlib import Path

from benchmarks.results_pages import result_pages
from tests.docs import commands, contracts, rooms
from tests.docs.lists import DOCS, index_pages, readme
from tests.docs.reference import REFERENCE, noun_pages, recipe_page, recipes_page, targets_page

WHOLE = (DOCS / "results", DOCS / "reference")
"""Folders in which nothing is written by hand, but for `.nav.yml`."""


def pages() -> dict[Path, str]:
    """Path to text; README and index pages among them."""
    return {
        contracts.PAGE: contracts.page(),
        **{DOCS / "results" / f"{name}.md": text for name, text in result_pages().items()},
        rooms.PICTURE: rooms.picture(),
        **dict(noun_pages()),
        REFERENCE / "index.md": commands.INDEX,
        REFERENCE / "commands.md": commands.commands_page(),
        REFERENCE / "metrics.md": commands.metrics_page(),
        REFERENCE / "errors.md": commands.errors_page(),
        REFERENCE / "python-api.md": commands.python_page(),
        REFERENCE / "recipe.md": recipe_page(),
        REFERENCE / "recipes.md": recipes_page(),
        REFERENCE / "targets.md": targets_page(),
        **index_pages(),
        **readme(),
    }


def stale(made: dict[Path, str]) -> list[Path]:
    """Files of generated folders that nothing makes any more."""
    return [path for folder in WHOLE for path in sorted(folder.rglob("*.md")) if path not in made]
