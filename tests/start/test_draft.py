"""A draft is a recipe that composes, says why each thing is so, and takes what its user says over what it found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from edgepipe.errors import RecipeError
from edgepipe.recipe.compose import compose
from edgepipe.start.draft import Wish, as_yaml, draft
from tests.start import bright


@pytest.fixture
def wish(tmp_path: Path) -> Wish:
    bright.network(tmp_path / "a model.onnx")
    bright.pictures(tmp_path / "p")
    return Wish(str(tmp_path / "a model.onnx"), str(tmp_path / "p"))


def test_a_draft_composes_and_says_where_its_settings_come_from(wish: Wish, tmp_path: Path) -> None:
    found = draft(wish, tmp_path / "store")
    assert found.name == "a_model_int8"
    assert found.content["data"]["std"] == [1.0, 1.0, 1.0]
    assert found.content["data"]["calibration_size"] == 32
    text = as_yaml(found, "edgepipe new")
    assert "# 40 pictures in 2 folders" in text
    assert "top-1 100.00%" in text
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    recipe, plan = compose([f"recipe={tmp_path / 'a.yaml'}"])
    assert recipe.task_name == "classification"
    assert [step.label for step in plan.steps] == ["load", "quantize", "export"]


def test_what_is_said_stands_and_is_not_asked_again(wish: Wish, tmp_path: Path) -> None:
    said = {"data.mean": [0.0] * 3, "data.std": [1.0] * 3, "goal.times_smaller": 2, "passes.half.pass": "to_float16"}
    found = draft(Wish(wish.model, wish.data, drop=0.5, settings=said), tmp_path / "store")
    assert found.content["goal"] == {"times_smaller": 2}
    assert found.content["passes"] == {"half": {"pass": "to_float16"}}
    assert not any(text.startswith("found out") for text in found.findings)


def test_a_network_that_answers_nothing_rightly_is_told_before_hours_are_spent(wish: Wish, tmp_path: Path) -> None:
    for name in ("dark", "light"):  # the other way round: every answer is wrong, whatever the preprocessing
        (tmp_path / "p" / name).rename(tmp_path / "p" / f"{name}_")
    (tmp_path / "p" / "dark_").rename(tmp_path / "p" / "light")
    (tmp_path / "p" / "light_").rename(tmp_path / "p" / "dark")
    said = {"data.mean": [0.0] * 3, "data.std": [1.0] * 3, "data.fit": "stretch"}
    found = draft(Wish(wish.model, wish.data, settings=said), tmp_path / "store")
    assert "found out: " in found.findings[0]  # anything is better than always wrong
    assert "top-1 50.00%, and 0.00% as it was" in found.findings[0]


def test_a_target_that_is_none_is_refused(wish: Wish, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"--target: there is no target 'raspbery'.*raspberry_pi_"):
        draft(Wish(wish.model, wish.data, target="raspbery"), tmp_path / "store")


def test_words_that_yaml_would_read_otherwise_stay_words(wish: Wish, tmp_path: Path) -> None:
    found = draft(Wish(wish.model, wish.data, settings={"description": "a: b # c", "seed": 3}), tmp_path / "store")
    content = yaml.safe_load(as_yaml(found, "edgepipe new"))
    assert (content["description"], content["seed"]) == ("a: b # c", 3)


def test_a_detector_that_counts_its_classes_in_another_order_is_told_so(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "detector.py"
    subprocess.run([sys.executable, str(example), "--out", str(tmp_path / "d")], check=True)
    found = draft(Wish(str(tmp_path / "d" / "detector.onnx"), str(tmp_path / "d" / "pictures")), tmp_path / "store")
    assert found.content["task"] == {"name": "detection", "labels": [1, 0]}  # red, green; sorted: green, red
    assert "mAP 100.00%, and 0.00% as it was" in found.findings[0]
