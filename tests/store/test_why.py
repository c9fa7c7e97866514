"""Why a result was computed, in words: what differs from the nearest one that is stored."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from edgepipe.store.keys import KEY, RECORD
from edgepipe.store.why import why_missing, why_not_measured


def step(root: Path, name: str, age: float, **key: Any) -> None:
    folder = root / "steps" / name
    folder.mkdir(parents=True)
    (folder / RECORD).write_text(json.dumps({"key": key}))
    os.utime(folder / RECORD, (1e9 - age, 1e9 - age))


def test_a_step_is_compared_with_the_nearest_of_its_pass_and_of_those_with_the_latest(tmp_path: Path) -> None:
    step(tmp_path, "far", 0, **{"pass": "prune"}, settings={"ratio": 0.1, "round_to": 8}, seed=0)
    step(tmp_path, "old", 9, **{"pass": "prune"}, settings={"ratio": 0.2, "round_to": 4}, seed=0)
    step(tmp_path, "near", 1, **{"pass": "prune"}, settings={"ratio": 0.3, "round_to": 4}, seed=0)
    step(tmp_path, "other", 0, **{"pass": "quantize"}, settings={"ratio": 0.5, "round_to": 4}, seed=0)
    wanted = {"pass": "prune", "settings": {"ratio": 0.5, "round_to": 4}, "seed": 0}
    assert why_missing(tmp_path, wanted) == ["settings.ratio: 0.3 -> 0.5"]


def test_the_first_of_its_pass_and_a_damaged_record_have_nothing_to_be_compared_with(tmp_path: Path) -> None:
    step(tmp_path, "a", 0, **{"pass": "prune"})
    (tmp_path / "steps" / "a" / RECORD).write_text("{")
    assert why_missing(tmp_path, {"pass": "prune"}) == ["no result of this pass is stored"]


def test_what_has_no_value_to_show_is_told_in_words(tmp_path: Path) -> None:
    step(tmp_path, "a", 0, **{"pass": "prune"}, input="1", code="1", data={"train": "1"})
    assert why_missing(tmp_path, {"pass": "prune", "input": "2", "code": "2", "data": {"train": "2"}, "n": 1}) == [
        "code: the source of edgepipe or of the pass changed",
        "data.train: other content",
        "input: another model comes in from the step before",
        "n: absent -> 1",
    ]


def test_of_another_model_it_is_not_said_that_its_baseline_is_another(tmp_path: Path) -> None:
    folder = tmp_path / "measurements" / "a"
    folder.mkdir(parents=True)
    (folder / KEY).write_text(json.dumps({"artifact": "1", "baseline": "1"}))
    (folder / RECORD).touch()
    assert why_not_measured(tmp_path, {"artifact": "2", "baseline": "2"}) == ["this model was not measured before"]
    assert why_not_measured(tmp_path, {"artifact": "1", "baseline": "2"}) == ["it is compared with another baseline"]
