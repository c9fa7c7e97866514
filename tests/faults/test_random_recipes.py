"""Random recipes, files and command lines: each is planned, or refused in words with exit 2."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from edgepipe.__main__ import main
from edgepipe.errors import RecipeError
from edgepipe.plugins import entries, find
from edgepipe.recipe.compose import to_recipe
from tests.faults import nearly_right, random_words

_WORDS = st.one_of(
    st.text(max_size=8), st.sampled_from(["quantize", "ratio", "pass", "model", "${oops}", "${oc.env:X}", "???"])
)
_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(10**40), 10**40), st.floats(), _WORDS, st.just("a: b")
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_WORDS, inner, max_size=3)),
    max_leaves=6,
)
_NAMES = sorted(entries("passes"))


@st.composite
def _step(draw: st.DrawFn) -> Any:
    name = draw(st.sampled_from(_NAMES))
    fields = sorted(find("passes", name).model_fields)
    content: dict[str, Any] = {"pass": name}
    for field in draw(st.lists(st.sampled_from(fields), max_size=3, unique=True)) if fields else ():
        content[field] = draw(st.one_of(_VALUES, st.sampled_from([0.3, 3, True, "mse", "dynamic"])))
    return content


_SOURCES = {
    "model": [
        {"source": "torchvision", "name": "resnet18", "weights": None, "num_classes": None},
        {"source": "onnx", "path": "m"},
    ],
    "data": [{"source": "digits"}, {"source": "npz", "calibration": "c.npz", "evaluation": "e.npz"}],
}


@st.composite
def recipes(draw: st.DrawFn) -> dict[str, Any]:
    """A recipe that is right in most places and wrong in some."""
    content: dict[str, Any] = {
        key: draw(st.one_of(st.sampled_from(good), st.sampled_from(good), _VALUES)) for key, good in _SOURCES.items()
    }
    labels = st.one_of(st.sampled_from(["prune", "quantize", "export", "a", "b"]), _WORDS)
    content["passes"] = draw(
        st.one_of(st.dictionaries(labels, st.one_of(_step(), _step(), _VALUES), max_size=4), _VALUES)
    )
    for key in draw(
        st.lists(
            st.sampled_from(
                ["baseline", "goal", "seed", "lowering", "measure", "store", "target", "tolerances", "extra"]
            ),
            max_size=3,
            unique=True,
        )
    ):
        content[key] = draw(_VALUES)
    for key in draw(st.lists(st.sampled_from(["model", "data", "passes"]), max_size=1)):
        del content[key]
    return content


@given(recipes())
@settings(max_examples=2000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
def test_a_random_recipe_is_planned_or_refused_in_words(content: dict[str, Any]) -> None:
    try:
        config = OmegaConf.create(content)
    except Exception:  # not a config at all: Hydra would not have composed it
        return
    try:
        recipe, plan = to_recipe(config, {"recipe": "random"}, [])
    except RecipeError as error:
        assert str(error).strip()
        assert "Traceback" not in str(error)
        return
    assert len(plan.steps) >= 1 + len(recipe.passes)


def _composed(rng: random.Random) -> None:
    content = random_words.content(rng)
    try:
        config = OmegaConf.create(content)
    except Exception:  # not a config at all: Hydra would not have composed it
        return
    try:
        to_recipe(config, {"recipe": "random"}, [])
    except RecipeError as error:
        assert str(error).strip(), content
    except Exception as error:
        raise AssertionError(f"{content}: {error!r}") from error


def _planned(rng: random.Random, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = random_words.command(rng, folder)
    code = main(["plan", *argv])
    said = capsys.readouterr()
    assert code in (0, 2), (argv, said.err)
    assert "defect" not in said.err and "Traceback" not in said.err, (argv, said.err)
    assert code == 0 or said.err.startswith("error: "), (argv, said.err)


def _attempts(folder: Path, capsys: pytest.CaptureFixture[str], seeds: range, *, planned_of_100: int) -> None:
    for seed in seeds:
        rng = random.Random(seed)
        if seed % 100 < planned_of_100:
            _planned(rng, folder, capsys)
        else:
            _composed(rng)


def test_settings_at_their_edges_files_and_command_lines_are_planned_or_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _attempts(tmp_path, capsys, range(200), planned_of_100=4)


def _ran(folder: Path, seed: int, capsys: pytest.CaptureFixture[str], torch_share: float) -> int:
    """Run what is right in all but one place: it ends well, or is refused in words."""
    argv = nearly_right.arguments(random.Random(seed), folder / str(seed), torch_share=torch_share)
    code = main(argv)
    said = "".join(capsys.readouterr())
    assert code in (0, 1, 2), (seed, argv, said)
    for word in ("internal error", "defect", "Traceback", "traceback is in"):
        assert word not in said, (seed, argv, said)
    assert code == 0 or "error: " in said or "missed" in said or "goal" in said, (seed, argv, said)
    shutil.rmtree(folder / str(seed))
    return code


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_recipes_that_are_right_in_all_but_one_place_run_or_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = [_ran(tmp_path, seed, capsys, 0) for seed in (1, 15)]
    assert 0 in codes


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_many_recipes_that_are_nearly_right_reach_the_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = [_ran(tmp_path, seed, capsys, 0.05) for seed in range(1000, 1050)]
    assert codes.count(0) > len(codes) / 3


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_slips_are_no_defect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _attempts(tmp_path, capsys, range(1000, 11_000), planned_of_100=50)
