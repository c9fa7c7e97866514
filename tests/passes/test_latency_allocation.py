"""Widths by measured latency: the table, the choice, the cut."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import ValidationError

from edgepipe.contract.artifact import Artifact, open_artifact
from edgepipe.errors import PassError
from edgepipe.measure.layer_times import Layer, layer_milliseconds
from edgepipe.passes.finetune import Finetune
from edgepipe.passes.prune_channels import PruneChannels
from edgepipe.passes.tabulate_latency import TabulateLatency
from edgepipe.pruning.allocation import LatencyTable, LayerTable, Root, allocate, grid, step
from edgepipe.torch import artifact as torch_artifact
from tests.passes.workbench import Workbench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("bench"), small=True)


@pytest.fixture(scope="module")
def tabled(bench: Workbench) -> Artifact:
    return bench.do(TabulateLatency(round_to=8), bench.loaded)[0]


def table(**layers: LayerTable) -> LatencyTable:
    return LatencyTable(precision="int8", threads=1, processor="", layers=layers)


def linear(most: int, milliseconds: float) -> LayerTable:
    """One input width; time in proportion to the output width."""
    return LayerTable(ins=(1,), outs=(most // 2, most), milliseconds=((milliseconds / 2, milliseconds),))


def test_milliseconds_are_interpolated() -> None:
    found = LayerTable(ins=(16, 32), outs=(16, 64), milliseconds=((1.0, 4.0), (2.0, 8.0)))
    assert found.at(32, 64) == 8.0
    assert found.at(24, 40) == pytest.approx((2.5 + 5) / 2)
    assert found.at(32, 8) == pytest.approx(1.0)  # below the least: in proportion


def test_measured_widths_are_multiples_and_end_at_the_whole() -> None:
    assert grid(128, 16, False) == (16, 32, 64, 96, 128)
    assert grid(24, 16, False) == (16, 24)
    assert grid(10, 16, True) == (10,)


def test_time_is_taken_where_it_costs_least() -> None:
    slow = Root(64, range(65), {}, ["slow"])
    fast = Root(64, range(65), {}, ["fast"])
    times = table(slow=linear(64, 8.0), fast=linear(64, 1.0))
    shapes = {"slow": (1, 64), "fast": (1, 64)}
    kept, before, after = allocate([slow, fast], times, shapes, 1.8, 16)
    assert kept == [32, 64]  # equally dear channels: those of the slow layer go
    assert (before, after) == (9.0, 5.0)
    precious = Root(64, range(0, 6401, 100), {}, ["slow"])
    kept, _, _ = allocate([precious, fast], times, shapes, 1.05, 16)
    assert kept == [64, 32]


def test_cuts_go_on_across_widths_that_take_as_long_as_wider_ones() -> None:
    def stepped(*milliseconds: float) -> LayerTable:
        return LayerTable(ins=(3,), outs=(16, 32, 48, 64), milliseconds=(milliseconds,))

    alone = Root(64, range(65), {}, ["a"])
    flat = stepped(0.25, 0.5, 1.0, 1.0)  # 48 channels take what 64 do
    assert allocate([alone], table(a=flat), {"a": (3, 64)}, 2.0, 16) == ([32], 1.0, 0.5)
    costless, precious = Root(64, [0.0] * 65, {}, ["a"]), Root(64, range(0, 6_500, 100), {}, ["b"])
    times, shapes = table(a=flat, b=stepped(0.1, 0.5, 0.75, 1.0)), {"a": (3, 64), "b": (3, 64)}
    assert allocate([costless, precious], times, shapes, 1.3, 16) == ([32, 64], 2.0, 1.5)
    # What saves more than is wanted is not taken for its surplus.
    steep, gentle = Root(64, range(65), {}, ["a"]), Root(64, range(0, 650, 10), {}, ["b"])
    times = table(a=stepped(0.1, 0.97, 0.98, 1.0), b=stepped(0.1, 0.4, 0.7, 1.0))
    assert allocate([steep, gentle], times, shapes, 1.01, 16)[0] == [48, 64]


def test_it_ends_when_nothing_more_can_be_saved() -> None:
    kept, before, after = allocate([Root(64, range(65), {}, ["a"])], table(a=linear(64, 1.0)), {"a": (1, 64)}, 100, 16)
    assert kept == [16]
    assert after == pytest.approx(before / 4)


def test_a_layer_behind_a_concat_loses_the_share_of_the_group_only() -> None:
    times = table(reads=LayerTable(ins=(32, 64), outs=(8,), milliseconds=((1.0,), (2.0,))))
    half = Root(32, range(33), {"reads": 0.5}, [])
    kept, before, after = allocate([half], times, {"reads": (64, 8)}, 1.2, 16)
    assert kept == [16]
    assert (before, after) == (2.0, 1.5)


@pytest.mark.parametrize("int8", [True, False])
def test_a_wider_layer_takes_longer(int8: bool) -> None:
    layers = [Layer(64, width, 1, (3, 3), (1, 1), (1, 1), (32, 32)) for width in (16, 128)]
    layers.append(Layer(64, 64, 64, (3, 3), (2, 2), (1, 1), (32, 32)))
    narrow, wide, depthwise = layer_milliseconds(layers, int8=int8, threads=1)
    assert 0 < 2 * narrow < wide
    assert 0 < depthwise < wide


def test_the_table_is_part_of_the_artifact_and_changes_no_answer(bench: Workbench, tabled: Artifact) -> None:
    assert "latency_table.json" in open_artifact(tabled.path).manifest.files
    found = LatencyTable.model_validate_json((tabled.path / "latency_table.json").read_text())
    assert set(found.layers) == {"stem.0", "block.0", "block.3", "fc"}
    assert found.layers["block.0"].ins == (8, 16, 24, 32)
    assert found.layers["fc"].outs == (10,)
    assert (bench.torch_logits(tabled) == bench.torch_logits(bench.loaded)).all()


def test_times_are_taken_alone_and_belong_to_this_machine(bench: Workbench) -> None:
    entered: list[str] = []

    @contextmanager
    def alone() -> Iterator[None]:
        entered.append("in")
        yield
        entered.append("out")

    what = TabulateLatency(round_to=16)
    bench.do(what, bench.loaded, alone=alone)
    assert entered == ["in", "out"] * (len(entered) // 2) != []
    assert what.timed  # so `run` puts the machine into the key


@pytest.mark.slow  # on layers this small a busy machine's times need not grow with the width
def test_channels_are_cut_until_the_table_says_fast_enough(bench: Workbench, tabled: Artifact) -> None:
    what = PruneChannels(scope="latency", times_faster=1.4, importance="taylor", round_to=8)
    pruned, job = bench.do(what, tabled)
    before, after = job.facts["layers_milliseconds"]
    assert after <= before / 1.4
    network = torch_artifact.build(pruned)
    assert [network.stem[0].out_channels % 8, network.block[0].out_channels % 8] == [0, 0]
    assert network.block[0].out_channels < 48
    assert bench.do(what, tabled)[0].digest == pruned.digest
    _, job = bench.do(what.model_copy(update={"steps": 3}), tabled)
    assert job.facts["layers_milliseconds"][1] <= before / 1.4


def test_refusals(bench: Workbench, tabled: Artifact) -> None:
    tuned, _ = bench.do(Finetune(epochs=1), tabled)
    with pytest.raises(PassError, match="put a step `pass: tabulate_latency` directly before"):
        bench.do(PruneChannels(scope="latency", times_faster=2), tuned)
    with pytest.raises(ValidationError, match="belong together"):
        PruneChannels(scope="latency", ratio=0.5)
    with pytest.raises(ValidationError, match="set ratio"):
        PruneChannels()


def test_a_time_that_no_width_reaches_is_refused_before_anything_is_cut(bench: Workbench, tabled: Artifact) -> None:
    with pytest.raises(PassError, match=r"at most \d+\.\d\dx faster, and times_faster=100 was asked .*nothing was cut"):
        bench.do(PruneChannels(scope="latency", times_faster=100, importance="l2", round_to=8), tabled)


def test_the_step_of_widths_fits_the_width() -> None:
    assert [step(width, "auto") for width in (8, 16, 24, 32, 48, 64, 72, 512)] == [8, 4, 4, 8, 8, 16, 16, 16]
    assert step(8, 16) == 16
    assert grid(16, "auto", False) == (4, 8, 12, 16)
    assert grid(64, "auto", False) == grid(64, 16, False) == (16, 32, 48, 64)


def test_a_narrow_network_is_cut_by_steps_that_fit_it() -> None:
    slow = Root(16, range(17), {}, ["slow"])
    times = table(slow=linear(16, 8.0))
    kept, _, _ = allocate([slow], times, {"slow": (1, 16)}, 1.3, "auto")
    assert kept == [12]
    assert allocate([slow], times, {"slow": (1, 16)}, 1.3, 16)[0] == [16]  # in steps of 16 there is nothing to cut
