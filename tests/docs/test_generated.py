"""What is written from the source says what the source says, and every link of the documentation leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.docs.commands import python_page
from tests.docs.generated import pages, stale
from tests.docs.lists import ROOT, head_of
from tests.docs.reference import extras_of

BY_HAND = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")


def test_no_generated_page_differs_from_its_source() -> None:
    made = pages()
    differ = [
        str(path.relative_to(ROOT))
        for path, text in made.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    differ += [str(path.relative_to(ROOT)) for path in stale(made)]
    assert not differ, "write them anew: python -m tests.docs"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 8192


def test_the_recipe_of_the_readme_is_the_one_that_ships() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    ships = yaml.safe_load((ROOT / "recipes" / "resnet18_int8.yaml").read_text(encoding="utf-8"))
    assert yaml.safe_load(shown) == {key: value for key, value in ships.items() if key != "description"}


def test_links_of_documents_beside_the_site_lead_to_files() -> None:
    for name in BY_HAND:
        for link in re.findall(r"\]\(([^)\s]+)\)", (ROOT / name).read_text(encoding="utf-8")):
            path, _, anchor = link.partition("#")
            if not re.match(r"[a-z]+:", link):
                assert (ROOT / path).is_file(), f"{name}: {link}"
                assert not anchor or anchor in anchors(ROOT / path), f"{name}: {link}"


def test_anchors_that_pages_link_to_are_headings() -> None:
    wrong, checked = [], 0
    for page in (ROOT / "docs").rglob("*.md"):
        for path, anchor in re.findall(r"\]\(([\w./-]*)#([^)\s]+)\)", page.read_text(encoding="utf-8")):
            target = (page.parent / path).resolve() if path else page
            checked += 1
            if anchor not in anchors(target):
                wrong.append(f"{page.relative_to(ROOT)}: {path}#{anchor}")
    assert not wrong
    assert checked > 30


def anchors(page: Path) -> set[str]:
    """Ids of the headings of a page."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {"-".join(re.sub(r"[^\w\s-]", "", head.lower()).split()) for head in heads}


def test_a_page_is_listed_by_its_heading_and_first_sentence(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Do it\n\nIt does [this](a.md) and `that.x`. And more.\n", encoding="utf-8")
    assert head_of(page) == ("Do it", "It does this and `that.x`.")


def test_extras_are_read_from_the_project(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text(
        '[project.optional-dependencies]\none = ["a>=1", "b-c; x"]\n# word\ntwo = [\n    "d>=2",\n]\n'
        'dev = ["e"]\n[tool]\n'
    )
    assert extras_of(project) == {"one": ("a", "b-c"), "two": ("d",)}


def test_every_public_name_says_what_it_is() -> None:
    told = re.findall(r"^\| \[?`(\w+)`.*? \| (.*) \|$", python_page(), re.MULTILINE)
    assert len(told) > 40
    assert not [name for name, what in told if not what]
