"""A wrong name is told with the nearest right one, or with all of them."""

from __future__ import annotations

from edgepipe.base.suggest import did_you_mean


def test_a_near_name_is_suggested_alone_and_a_far_one_gets_them_all() -> None:
    assert did_you_mean("quantise_static", ["quantize_static", "prune_channels"]) == " Did you mean 'quantize_static'?"
    assert did_you_mean("x", ["b", "a"]) == " Known: a, b."
    assert did_you_mean("x", []) == ""
