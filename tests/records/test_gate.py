"""Every number that can be wanted, gated or searched has one direction, and the gate goes by it."""

from __future__ import annotations

import pytest

from edgepipe.recipe.schema import Goal
from edgepipe.records.gate import BETTER, GATED, gated_values, room
from edgepipe.records.metrics import Measurements, Versus
from edgepipe.records.pareto import OBJECTIVES
from edgepipe.targets.profile import Budget


def test_everything_that_can_be_wanted_or_gated_has_a_direction() -> None:
    assert {*Goal.model_fields, *Budget.model_fields, *GATED} | (set(OBJECTIVES) - {"quality"}) <= set(BETTER)


@pytest.mark.parametrize("name", sorted(BETTER))
def test_more_of_it_moves_the_margin_the_right_way(name: str) -> None:
    assert (room(name, 2.0, 1.0) > room(name, 1.0, 1.0)) == (BETTER[name] == "higher")


def test_the_metrics_of_a_step_are_named_as_the_gate_names_them() -> None:
    bare = {name: 0 for name, field in Measurements.model_fields.items() if field.is_required()}
    measured = Measurements.model_validate({**bare, "top1": 0.5, "macs": 7, "int8_share": {"conv": 1.0}})
    versus = Versus(times_smaller=3.5, times_faster=2, times_faster_ci95=(1, 3))
    assert gated_values(measured, versus) == {
        "top1": 0.5,
        "macs": 7.0,
        "size_bytes": 0.0,
        "gzip_bytes": 0.0,
        "int8_share.conv": 1.0,
        "times_smaller": 3.5,
        "times_faster": 2.0,
    }
    assert gated_values(None, None) == {}
