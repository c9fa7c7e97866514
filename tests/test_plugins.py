"""Names of six nouns to their classes."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgepipe import plugins
from edgepipe.__main__ import main
from edgepipe.errors import RecipeError
from tests.registered import register
from tests.small import arguments


@pytest.mark.parametrize("group", plugins.NOUNS)
def test_every_built_in_name_keeps_the_contract_of_its_noun(group: str) -> None:
    noun = plugins.NOUNS[group]
    for name, entry in plugins.entries(group).items():
        assert issubclass(plugins.find(group, name), noun.base), name
        assert entry.owner == "edgepipe" or name not in noun.built_in


def test_a_slip_in_a_name_is_told_with_the_name_that_was_meant() -> None:
    with pytest.raises(RecipeError, match=r"unknown pass 'quantise_static'\. Did you mean 'quantize_static'"):
        plugins.find("passes", "quantise_static")
    with pytest.raises(RecipeError, match=r"unknown data source 'digit'\. Did you mean 'digits'"):
        plugins.find("data", "digit")
    with pytest.raises(RecipeError, match="unknown model source None"):
        plugins.find("sources", None)
    with pytest.raises(RecipeError, match=r"unknown task 'multi_label'\. Did you mean 'multilabel'"):
        plugins.find("tasks", "multi_label")


@pytest.mark.parametrize(
    ("group", "target", "said"),
    [
        ("passes", "edgepipe.nowhere:It", "pass 'odd' cannot be loaded from 'edgepipe.nowhere:It'"),
        ("passes", "edgepipe.contract:It", "pass 'odd' cannot be loaded from 'edgepipe.contract:It'"),
        ("passes", "edgepipe.errors:PassError", "is not a subclass of edgepipe.contract.Pass"),
        ("passes", "edgepipe.contract:Pass", "does not declare reads and writes and apply"),
        ("tasks", "edgepipe.contract:Task", "does not declare measures and alike and answers and compared"),
        ("sources", "edgepipe.contract:ModelSource", "does not declare kind and digests and load"),
        ("data", "edgepipe.contract:DataSource", "does not declare open"),
        ("formats", "edgepipe.contract:Format", "does not declare write"),
        ("places", "edgepipe.contract:Place", "does not declare lacking and processors"),
    ],
)
def test_what_a_name_leads_to_must_be_whole(
    group: str, target: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, group, odd=target)
    with pytest.raises(RecipeError, match=said):
        plugins.find(group, "odd")


def test_what_imports_from_where_things_stood_before_is_told_the_line_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "written_before.py").write_text("from edgepipe.artifact import Artifact\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    register(monkeypatch, "passes", old="written_before:Old")
    with pytest.raises(RecipeError, match=r"imports from edgepipe\.artifact: write `from edgepipe\.contract import"):
        plugins.find("passes", "old")
    assert "written_before" not in sys.modules


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Entry points as distributions declare them."""

    def declare(group: str, *points: tuple[str, str, str]) -> None:
        found = []
        for name, target, owner in points:
            point = EntryPoint(name, target, f"edgepipe.{group}")
            vars(point)["dist"] = SimpleNamespace(name=owner)
            found.append(point)
        monkeypatch.setattr(plugins.metadata, "entry_points", lambda **_: found)
        plugins._installed.cache_clear()

    yield declare
    plugins._installed.cache_clear()


def test_a_distribution_adds_a_name_and_owns_it(declared: Any) -> None:
    declared("tasks", ("counting", "edgepipe.tasks.regression:Regression", "edgepipe-counting"))
    assert plugins.entries("tasks")["counting"].owner == "edgepipe-counting"
    assert plugins.entries("tasks")["regression"].owner == "edgepipe"
    assert plugins.find("tasks", "counting").__name__ == "Regression"


def test_a_name_that_two_declare_is_an_error_that_names_both(declared: Any) -> None:
    declared("formats", ("c", "one:C", "edgepipe-one"), ("c", "two:C", "edgepipe-two"))
    with pytest.raises(RecipeError, match="the format name 'c' is declared twice, by edgepipe-one and by edgepipe-two"):
        plugins.find("formats", "c")
    assert set(plugins.loadable("formats")) == set(plugins.NOUNS["formats"].built_in)
    declared("data", ("npz", "one:Npz", "edgepipe-one"))
    with pytest.raises(RecipeError, match="declared twice, by edgepipe and by edgepipe-one"):
        plugins.find("data", "npz")


def test_a_name_that_two_declare_stops_no_list_and_no_recipe_without_it(
    declared: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    declared("passes", ("lost", "one:Lost", "edgepipe-one"), ("to_float16", "one:Half", "edgepipe-one"))
    assert main(["list", "passes"]) == 0
    told = capfd.readouterr().out
    assert "to_float16  (edgepipe, edgepipe-one)" in told
    assert "the pass name 'to_float16' is declared twice, by edgepipe and by edgepipe-one" in told
    assert "quantize_static" in told
    assert main(["plan", *arguments(tmp_path)]) == 0
    assert main(["plan", *arguments(tmp_path), "+passes.half.pass=to_float16"]) == 2
    assert "'to_float16' is declared twice" in " ".join(capfd.readouterr().err.split())
