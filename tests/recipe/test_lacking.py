"""What a recipe names and is not there is told before it runs."""

from __future__ import annotations

from pathlib import Path

from edgepipe.recipe.lacking import lacking_of
from edgepipe.recipe.schema import Recipe, validate
from tests.small import npz


def recipe(**parts: dict[str, object]) -> Recipe:
    return validate({"name": "r", "model": {"source": "torchvision", "name": "resnet18"}, **parts})


def test_a_file_that_is_not_there_is_told_with_its_key(tmp_path: Path) -> None:
    there, gone = npz(tmp_path / "e.npz", 4, 0), tmp_path / "t.npz"
    found = list(lacking_of(recipe(data={"source": "npz", "evaluation": str(there), "train": str(gone)})))
    assert found == [f"r: data.train: there is no {gone} here"]


def test_a_folder_that_its_source_fills_may_be_missing(tmp_path: Path) -> None:
    assert list(lacking_of(recipe(data={"source": "cifar10", "root": str(tmp_path / "nowhere")}))) == []
    found = list(lacking_of(recipe(data={"source": "image_folder", "root": str(tmp_path / "nowhere")})))
    assert found == [f"r: data.root: there is no {tmp_path / 'nowhere'} here"]
