"""Which file `recipe=NAME` means: the user's own, then those of the command line's folders, then the shipped ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepipe.errors import RecipeError
from edgepipe.recipe import lookup


@pytest.fixture(autouse=True)
def nothing_given() -> Iterator[None]:
    lookup.forget_given()
    yield
    lookup.forget_given()


def made(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / f"{name}.yaml").write_text("passes: {}\n")
    return folder


def test_the_users_recipes_hide_the_shipped_ones_and_a_given_folder_hides_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own, given = made(tmp_path / "recipes", "ptq", "mine"), made(tmp_path / "given", "mine")
    assert lookup.recipe_names()["ptq"] == own / "ptq.yaml"
    assert lookup.recipe_names()["resnet18_int8"].parent == lookup.shipped_recipes()
    lookup.look_in(given)
    assert lookup.recipe_names()["mine"] == given / "mine.yaml"
    lookup.forget_given()
    assert lookup.recipe_names()["mine"] == own / "mine.yaml"


def test_two_recipes_given_as_paths_cannot_run_under_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one, other = made(tmp_path / "one", "a") / "a.yaml", made(tmp_path / "other", "a") / "a.yaml"
    assert lookup.give(one) == "a"
    assert lookup.given_recipes() == {"a": one}
    with pytest.raises(RecipeError, match=r"one/a\.yaml and other/a\.yaml would both run as 'a': rename one"):
        lookup.give(other)


def test_looking_names_up_needs_no_hydra() -> None:
    code = "import sys; sys.modules['hydra'] = None; from edgepipe.recipe.lookup import recipe_names; recipe_names()"
    subprocess.run([sys.executable, "-c", code], check=True)
