"""Facts of a device, each with its source."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from edgepipe.__main__ import main
from edgepipe.contract.target import Target
from edgepipe.recipe.lookup import shipped_recipes
from tests.small import arguments

PROFILES = sorted((shipped_recipes() / "target").glob("*.yaml"))


def profile(name: str) -> Target:
    return Target.model_validate(yaml.safe_load((shipped_recipes() / "target" / f"{name}.yaml").read_text()))


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profile_is_valid_and_named_as_its_file(path: Path) -> None:
    assert profile(path.stem).name == path.stem


def test_a_fact_without_a_source_is_refused() -> None:
    with pytest.raises(ValidationError, match="source"):
        Target.model_validate({"name": "x", "cores": {"value": 4}})
    with pytest.raises(ValidationError, match="low <= high"):
        Target.model_validate({"name": "x", "share_of_peak": {"value": [0.5, 0.1], "source": "s"}})


def test_facts_belong_to_a_device_with_a_name_and_a_target_of_verification_exists(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cores = {"value": 4, "source": "s"}
    with pytest.raises(ValidationError, match=r"states facts \(cores\) needs a `name` of its own"):
        Target.model_validate({"cores": cores})
    assert Target.model_validate({"name": "mine", "cores": cores}).name == "mine"
    assert main(arguments(tmp_path, "target.name=mine", "target.verify=arm65")) == 2
    assert "target.verify: no target of verification. Did you mean 'arm64'" in capfd.readouterr().err
    assert main(arguments(tmp_path, "target=1.5")) == 2
    assert "there is no target '1.5'" in capfd.readouterr().err
    assert main(arguments(tmp_path, "target=[1]")) == 2
    assert "target: takes one name, found [1]" in capfd.readouterr().err


def test_a_profile_with_a_memory_states_a_budget_below_it() -> None:
    for path in PROFILES:
        target = profile(path.stem)
        if target.memory_mb is not None:
            assert (target.budget.memory_mb or 0) <= target.memory_mb.value / 2, path
