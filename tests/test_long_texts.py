"""A text of a megabyte costs about a megabyte's time, whatever repeats in it: nothing is looked at again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgepipe.__main__ import main
from edgepipe.base.text import holds_password, shown, without_passwords
from edgepipe.measure.match import _names
from edgepipe.onnx.fixed_batch import _named
from edgepipe.recipe.interpolations import folder_inside, refuse_reaching
from edgepipe.recipe.words import elements, quoted
from edgepipe.sources.sklearn.to_onnx import _lacking

LETTERS = 1_000_000
HEADER = "# @package _global_\ndefaults:\n  - /model: resnet18\n  - /data: digits\n  - _self_\npasses: {}\n"


def filled(unit: str, begin: str = "", end: str = "") -> str:
    return begin + unit * (LETTERS // len(unit)) + end


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (holds_password, filled("a.")),
        (holds_password, filled("a-", "http://")),
        (holds_password, filled("//a:")),
        (holds_password, filled("http://a:")),
        (without_passwords, filled("//a:", end="@")),
        (without_passwords, filled("?a.token.", "http://")),
        (shown, filled("ssh://a")),
        (shown, filled("ab:/")),
        (quoted, filled("\\")),
        (elements, filled("a'")),
        (lambda text: refuse_reaching({"key": text}, "r.yaml"), filled("\\")),
        (folder_inside, filled("${now:}", "a")),
        (_names, filled("_nchwc", end="x")),
        (lambda text: _named(text), filled("Node (")),
        (lambda text: _lacking(ValueError(text)), filled("a", "<class '")),
    ],
    ids=lambda value: value[:9] if isinstance(value, str) else "",
)
def test_a_long_text_is_read_in_a_time_that_grows_with_its_length_alone(read: Callable, text: str) -> None:
    before = time.process_time()
    read(text)
    assert time.process_time() - before < 20  # tenths of a second; minutes to days where each letter costs all others


@pytest.mark.parametrize("unit", ["//a:", "\\", "${description.", "${seed}"])
def test_a_recipe_with_a_long_text_is_planned_or_refused_at_once(tmp_path: Path, unit: str, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text(f"{HEADER}description: '{filled(unit)[:200_000]}'\n")
    before = time.process_time()
    assert main(["plan", "recipe=r.yaml"]) in (0, 2)
    assert time.process_time() - before < 20


def test_what_an_address_holds_is_found_at_the_end_of_a_long_word_too() -> None:
    long = "a" * 100
    assert holds_password(f"{long}://user:word@host")
    assert without_passwords(f"{long}.http://user:word@host") == f"{long}.http://***@host"
    assert without_passwords("9http://user:word@host/a 1http://token@host") == "9http://***@host/a 1http://***@host"
    assert without_passwords(f"http://user:{long}@{long}@host") == "http://***@host"


def test_a_name_without_what_the_runtime_appends_is_what_it_was() -> None:
    assert _names("conv_token_12_nchwc") == ["conv_token_12_nchwc", "conv"]
    assert _names("conv_nhwc_1") == ["conv_nhwc_1"]
    assert _names("_nchwc") == ["_nchwc"]
