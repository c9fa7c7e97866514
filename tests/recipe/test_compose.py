"""Recipes and overrides become a validated recipe, or one message that names every problem."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgepipe.errors import RecipeError
from edgepipe.recipe.compose import compose
from edgepipe.recipe.lookup import recipe_names, shipped_recipes


def test_every_shipped_recipe_names_what_it_is_in_one_line() -> None:
    assert {"resnet18_int8", "ptq", "resnet18_ptq", "resnet18_lab", "mobilenet_v2_int8"} <= set(recipe_names())
    for path in shipped_recipes().glob("*.yaml"):
        assert "\ndescription: " in path.read_text(encoding="utf-8"), path


def test_flagship_runs_in_the_order_written_with_the_lowering_inserted() -> None:
    _, plan = compose(["recipe=resnet18_int8"])
    assert [step.label for step in plan.steps] == ["load", "train", "prune", "recover", "lower", "quantize", "export"]
    assert [step.label for step in plan.steps if step.inserted] == ["lower"]
    assert plan.baseline == "train"


def test_override_reaches_a_setting_that_the_recipe_does_not_list() -> None:
    recipe, _ = compose(["recipe=resnet18_int8", "passes.prune.round_to=8"])
    assert recipe.passes["prune"].settings.model_dump()["round_to"] == 8


def test_step_is_removed_with_a_tilde() -> None:
    _, plan = compose(["recipe=resnet18_int8", "~passes.recover"])
    assert "recover" not in [step.label for step in plan.steps]


def test_all_problems_come_at_once_with_key_and_nearest_name() -> None:
    with pytest.raises(RecipeError) as caught:
        compose(
            [
                "recipe=resnet18_int8",
                "passes.prune.ratoi=0.3",
                "passes.train.epochs=many",
                "passes.recover.pass=finetun",
                "data.image_sise=3",
                "goal.times_smller=3",
                "gaol.times_faster=3",
            ]
        )
    text = str(caught.value)
    assert len(text.splitlines()) == 6
    assert "passes.prune.ratoi: unknown key. Did you mean 'ratio'? Found: 0.3." in text
    assert "passes.recover.pass: unknown pass 'finetun'. Did you mean 'finetune'?" in text
    assert "data.image_sise: unknown key. Did you mean 'image_size'?" in text
    assert "gaol: unknown key. Did you mean 'goal'?" in text
    assert "passes.train.epochs: Input should be a valid integer" in text


def test_torch_pass_after_an_onnx_pass_is_refused_before_any_work() -> None:
    with pytest.raises(RecipeError, match=r"passes\.late\.pass: prune_channels reads torch, but .* onnx"):
        compose(["recipe=resnet18_int8", "+passes.late.pass=prune_channels", "+passes.late.ratio=0.3"])


def test_torch_pass_on_an_onnx_model_says_how_the_model_came(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="this model came as onnx"):
        compose(
            ["recipe=resnet18_int8", "model=onnx", f"model.path={tmp_path}/m.onnx", "~passes.train", "baseline=null"]
        )


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"there is no recipe 'resnet18_int9'\. Did you mean 'resnet18_int8'\?"):
        compose(["recipe=resnet18_int9"])


def test_missing_group_lists_the_choices() -> None:
    with pytest.raises(RecipeError, match=r"add data=NAME, one of: .*cifar10, .*digits, .*image_folder, .*npz"):
        compose(["recipe=ptq", "model=resnet18"])


def test_mandatory_value_says_how_to_set_it() -> None:
    with pytest.raises(RecipeError, match=r"model\.weights: missing: set it on the command line"):
        compose(["recipe=resnet18_ptq", "data=digits"])


def test_own_recipes_folder_comes_first_and_shipped_groups_still_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "recipes"
    own.mkdir()
    (own / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - /model: resnet18\n  - /data: digits\n  - _self_\n"
        "passes:\n  quantize:\n    pass: quantize_dynamic\n"
    )
    monkeypatch.chdir(tmp_path)
    recipe, plan = compose(["recipe=mine"])
    assert recipe.name == "mine"
    assert [step.label for step in plan.steps] == ["load", "lower", "quantize"]


def test_recipe_may_be_a_path_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.yaml"
    path.write_text("# @package _global_\ndefaults:\n  - /model: resnet18\n  - /data: digits\n  - _self_\npasses: {}\n")
    recipe, _ = compose([f"recipe={path}"])
    assert recipe.name == "elsewhere"


@pytest.mark.parametrize("text", ["passes: [", "passes: {a: &a [*a]}", "\x00", "!!python/object/apply:os.system [ls]"])
def test_unreadable_yaml_is_a_recipe_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(f"# @package _global_\n{text}\n")
    with pytest.raises(RecipeError):
        compose([f"recipe={path}"])


def _lines(*overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        compose(["recipe=resnet18_int8", *overrides])
    return str(caught.value).splitlines()


def test_unknown_groups_are_told_together_with_unknown_keys_and_passes() -> None:
    lines = _lines("model=resnet81", "data=digitz", "passes.prune.ratoi=1", "passes.quantize.pass=shrnik")
    assert len(lines) == 4
    assert "model: there is no model 'resnet81'. Did you mean 'resnet18'?" in lines[0]
    assert "data: there is no data 'digitz'. Did you mean 'digits'?" in lines[1]
    assert "passes.prune.ratoi" in lines[2]
    assert "unknown pass 'shrnik'" in lines[3]


@pytest.mark.parametrize(
    "override", ["seeed=4", "trust_code=maybe", "goal={times_faster: quick}", "passes.nwe.ratio=0.3", "passes=3"]
)
def test_what_was_typed_is_never_blamed_on_a_file(override: str) -> None:
    assert _lines(override)[0].startswith("command line: ")


def test_what_is_wrong_in_a_file_is_not_blamed_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    groups = "defaults:\n  - /model: resnet18\n  - /data: digits\n  - _self_\n"
    path.write_text(f"{groups}passes:\n  cut: {{ratio: 0.5}}\n")
    with pytest.raises(RecipeError) as caught:
        compose([f"recipe={path}", "passes.cut.round_to=8", "model=resnet18"])
    assert str(caught.value).startswith(f"{path}: passes.cut.pass: missing")


def test_a_seed_that_no_library_takes_is_refused() -> None:
    assert "seed: Input should be less than 4294967296" in _lines("seed=99999999999999999999999")[0]


def test_a_setting_of_several_kinds_is_one_problem_under_its_own_key() -> None:
    (line,) = _lines("data.image_size=0")
    assert line.startswith("command line: data.image_size: Input should be greater than or equal to 1, or: ")
    (line,) = _lines("lowering.batch=0")
    assert line.startswith("command line: lowering.batch: Input should be 'dynamic', or: ")
    (line,) = _lines("passes.export.batch=-1")
    assert line.startswith("command line: passes.export.batch: Input should be 'keep' or 'dynamic', or: ")
    (line,) = _lines("passes.prune.exclude=conv1")
    assert "passes.prune.exclude: Input should be a list, as in [1,2]" in line


def test_an_unknown_key_deep_inside_is_compared_with_the_names_there() -> None:
    (line,) = _lines("passes.prune.recover.epocs=3")
    assert "passes.prune.recover.epocs: unknown key. Did you mean 'epochs'?" in line


def test_what_a_group_leaves_open_is_blamed_on_its_file() -> None:
    assert "data/npz.yaml: data.evaluation: missing" in _lines("data=npz")[0]


def test_everything_that_is_missing_is_told_at_once_with_what_is_wrong() -> None:
    with pytest.raises(RecipeError) as caught:
        compose(["recipe=ptq", "model=onnx", "data=npz", "passes.quantize.obsrver=mse"])
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "passes.quantize.obsrver: unknown key. Did you mean 'observer'?" in lines[0]
    assert "data.evaluation: missing: set it on the command line, as in data.evaluation=VALUE" in lines[1]
    assert "model.path: missing: set it on the command line, as in model.path=VALUE" in lines[2]


def test_an_interpolation_that_leads_nowhere_is_a_problem_of_its_key() -> None:
    (line,) = _lines("passes.train.epochs=${nosuch}")
    assert line.startswith("command line: passes.train.epochs: Interpolation key 'nosuch' not found")


def test_a_flag_is_no_number_anywhere_in_a_recipe() -> None:
    places = ["seed", "data.image_size", "measure.threads", "goal.times_smaller", "passes.prune.recover.epochs"]
    with pytest.raises(RecipeError) as caught:
        compose(["recipe=resnet18_int8", *(f"++{place}=true" for place in places), "passes.quantize.keep_worst=true"])
    lines = str(caught.value).splitlines()
    for place in (*places, "passes.quantize.keep_worst"):
        assert any(f"{place}: a number is wanted" in line for line in lines), (place, lines)


def test_a_flag_stays_a_flag() -> None:
    recipe, _ = compose(["recipe=resnet18_int8", "passes.train.horizontal_flip=true"])
    assert recipe.passes["train"].settings.model_dump()["horizontal_flip"] is True


def test_hydra_is_driven_by_one_file_and_its_private_modules_are_known_there_only() -> None:
    package = Path(shipped_recipes.__globals__["__file__"]).parents[1]
    imports = {
        path.relative_to(package).as_posix(): re.findall(
            r"^ *(?:from|import) (hydra[\w.]*)", path.read_text(encoding="utf-8"), re.M
        )
        for path in package.rglob("*.py")
    }

    knowing = sorted(name for name, found in imports.items() if found)
    assert knowing == ["recipe/explain.py", "recipe/hydra_app.py", "recipe/words.py"]
    private = [name for name, found in imports.items() if any("._" in module for module in found)]
    assert private == ["recipe/hydra_app.py"]
