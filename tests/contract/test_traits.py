"""What passes say of the model that comes out of them."""

from __future__ import annotations

from edgepipe.contract.traits import BESIDE, FLOAT, HALF, INT8, LATENCY_TABLE, MASKED, SPARSE
from edgepipe.passes.distill import Distill
from edgepipe.passes.lower import Lower
from edgepipe.passes.prune_weights import PruneWeights
from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.passes.tabulate_latency import TabulateLatency
from edgepipe.passes.to_float16 import ToFloat16
from edgepipe.plugins import entries, find


def test_traits_add_up_and_files_beside_the_model_stay_behind() -> None:
    loaded = frozenset({FLOAT})
    pruned = PruneWeights(amount=0.5).traits(TabulateLatency().traits(loaded))
    assert TabulateLatency().traits(loaded) == {FLOAT, LATENCY_TABLE}
    assert pruned == {FLOAT, MASKED, SPARSE}
    assert Distill.model_validate({"student": {"name": "resnet18"}}).traits(pruned) == {FLOAT}
    assert Lower().traits(pruned) == {FLOAT, SPARSE}
    assert ToFloat16().traits(QuantizeStatic().traits(Lower().traits(pruned))) == {SPARSE, INT8, HALF}
    assert ToFloat16(mode="compute").traits(loaded) == {HALF}


def test_every_built_in_trait_is_a_word_and_those_beside_the_model_are_known() -> None:
    known = {FLOAT, INT8, HALF, SPARSE, MASKED, *BESIDE}
    for name in entries("passes"):
        kind = find("passes", name)
        assert {*kind.requires, *kind.provides, *kind.removes} <= known, name
