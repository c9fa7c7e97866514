from __future__ import annotations

from typing import Any

import pytest

from edgepipe.measure.findings import findings, told_of
from edgepipe.records.metrics import Audit, Int8Share, LayerCost, Measurements, OperatorTime, Versus
from edgepipe.tasks.classification import Classification

TASK = Classification()


def seen(**changed: Any) -> Measurements:
    plain: dict[str, Any] = {
        "examples": 1000,
        "size_bytes": 44_800_000,
        "gzip_bytes": 41_000_000,
        "parameters": 11_000_000,
        "nonzero_share": 1.0,
        "macs": 148_000_000,
        "latency_p50_ms": 4.0,
        "latency_p90_ms": 4.2,
        "load_ms": 50.0,
        "peak_rss_bytes": 200_000_000,
        "int8_share": Int8Share(conv=0.0, matmul=0.0),
    }
    return Measurements(**{**plain, **changed})


def against(faster: float = 1.0, **changed: Any) -> Versus:
    return Versus(times_smaller=1.0, times_faster=faster, times_faster_ci95=(faster - 0.01, faster + 0.01), **changed)


def spent(operator: str, share: float, *, int8: bool = False, nodes: int = 5) -> OperatorTime:
    return OperatorTime(operator=operator, nodes=nodes, milliseconds=share, share=share, int8=int8)


def layer(name: str, operator: str, width: int = 64, *, int8: bool = False) -> LayerCost:
    return LayerCost(name=name, operator=operator, weight_shape=[width, 3, 3, 3], weight_bytes=1, macs=1, int8=int8)


def test_zeros_that_buy_nothing_are_said_with_their_numbers() -> None:
    now = seen(nonzero_share=0.1, gzip_bytes=8_000_000)
    assert findings(now, against(1.0), Audit(), TASK, previous=seen()) == [
        "90% of the weights are zero, but this runtime does not use that: 1.00x faster",
        "bytes did not change: 44.80 MB; only gzip gains, from 41.00 MB to 8.00 MB",
    ]


@pytest.mark.parametrize(
    "now",
    [
        {"int8_share": Int8Share(conv=1.0), "size_bytes": 11_000_000},
        {"int8_share": Int8Share(matmul=1.0), "size_bytes": 60_000_000},  # of a small network, more than float
        {"size_bytes": 11_000_000},  # weights alone
    ],
)
def test_weights_that_were_rounded_to_zero_are_not_told_as_pruned(now: dict[str, Any]) -> None:
    found = findings(seen(nonzero_share=0.76, **now), against(0.77), Audit(), TASK, previous=seen())
    assert not any("weights are zero" in text for text in found)


def test_what_keep_float_never_made_slower_is_undone_by_leaving_it_out() -> None:
    now = seen(int8_share=Int8Share(conv=1.0), size_bytes=11_000_000)
    asked = findings(now, against(0.8), Audit(), TASK, previous=seen(), forced=True)[-1]
    assert asked.startswith("keep_float=never asks for that: leave it out")
    assert "keep_float=measured" in findings(now, against(0.8), Audit(), TASK, previous=seen())[-1]


def test_speed_is_that_of_this_step_not_of_the_steps_before() -> None:
    found = findings(
        seen(nonzero_share=0.3), against(3.0), Audit(), TASK, previous=seen(), previous_versus=against(3.0)
    )
    assert "70% of the weights are zero, but this runtime does not use that: 1.00x faster" in found


def test_slow_int8_names_the_operator_that_eats_the_time() -> None:
    now = seen(int8_share=Int8Share(conv=1.0, matmul=1.0), size_bytes=11_000_000)
    audit = Audit(operators=[spent("QLinearConv", 0.45, int8=True), spent("HardSwish", 0.41)])
    remedy = (
        "to keep what loses in float: keep_float=measured in quantize_static with a step `pass: time_int8` before it; "
        "where that is set already, the layers that lose in exclude; or leave the quantization out"
    )
    assert findings(now, against(0.8), audit, TASK, previous=seen()) == [
        "int8 is slower than float here (0.80x, 95% 0.79 to 0.81): 41% of the time is in HardSwish, which has no int8 "
        "kernel",
        remedy,
    ]
    assert remedy in findings(now, against(0.98), audit, TASK, previous=seen())
    assert remedy not in findings(now, against(0.995), audit, TASK, previous=seen())  # 0.985 to 1.005: not told apart


def test_int8_that_loses_what_pruning_won_is_slower_than_the_float_before_it() -> None:
    now, before = seen(int8_share=Int8Share(conv=1.0), size_bytes=6_000_000), seen(size_bytes=21_000_000)
    found = findings(now, against(1.6), Audit(), TASK, previous=before, previous_versus=against(2.0))
    assert "int8 is slower than float here (0.80x, 95% 0.79 to 0.81)" in found
    assert not findings(now, against(2.1), Audit(), TASK, previous=before, previous_versus=against(2.0))
    exported = findings(now, against(1.6), Audit(), TASK, previous=now, previous_versus=against(2.0))
    assert exported == []  # said once, where int8 came in


def test_a_loss_of_accuracy_is_said_once_and_again_when_it_grows() -> None:
    def lost(points: float) -> Versus:
        drop = points / 100
        return against(2.0, accuracy_drop=drop, accuracy_drop_ci95=(drop - 0.0005, drop + 0.0005))

    def said(steps: list[float]) -> list[str]:
        found, told = [], None
        for points in steps:
            texts = findings(seen(), lost(points), Audit(), TASK, told=told)
            told = told_of(lost(points), told, TASK)
            found.append(texts[0].split(" by ")[1].split(" points")[0] if texts else "")
        return found

    assert said([1.0, 1.05, 1.4, 1.4]) == ["1.00", "", "1.40", ""]
    assert said([0.09 * step for step in range(1, 7)]) == ["0.09", "", "0.27", "", "0.45", ""]  # by and by
    assert said([0.04, 0.07, 0.07]) == ["", "0.07", ""]  # what chance explains was not said
    assert said([1.0, 0.0, 1.0]) == ["1.00", "", "1.00"]  # won back in between


def test_convolutions_left_in_float_are_counted() -> None:
    layers = [layer(f"c{i}", "QLinearConv", int8=True) for i in range(9)]
    layers += [layer(f"f{i}", "Conv") for i in range(11)]
    now = seen(int8_share=Int8Share(conv=0.5), size_bytes=11_000_000)
    found = findings(now, against(1.2), Audit(layers=layers), TASK, previous=seen())
    assert found == ["11 of 20 convolutions still run in float"]


def test_conv_integer_is_named_as_slow() -> None:
    audit = Audit(operators=[spent("ConvInteger", 0.9, int8=True, nodes=20)])
    assert findings(seen(), against(0.1), audit, TASK)[0].startswith(
        "20 convolutions run as ConvInteger, 90% of the time"
    )


def test_odd_channel_counts_are_named_only_when_this_step_made_them() -> None:
    audit = Audit(layers=[layer("stem", "Conv", 45), layer("body", "Conv", 64)])
    pruned = seen(macs=70_000_000, size_bytes=20_000_000)
    expected = (
        "1 of 2 convolutions have channel counts off a multiple of 16 (stem: 45), which leaves kernels partly empty"
    )
    assert findings(pruned, against(2.0), audit, TASK, previous=seen()) == [expected]
    assert findings(seen(size_bytes=20_000_000), against(2.0), audit, TASK, previous=seen()) == []


@pytest.mark.parametrize(
    ("drop", "interval", "expected"),
    [
        (0.021, (0.015, 0.027), "top-1 fell by 2.10 points against the baseline"),
        (-0.02, (-0.03, -0.01), "top-1 rose by 2.00 points against the baseline"),
        (0.002, (-0.001, 0.005), None),
    ],
)
def test_accuracy_is_mentioned_only_beyond_its_interval(
    drop: float, interval: tuple[float, float], expected: str | None
) -> None:
    versus = against(2.0, accuracy_drop=drop, accuracy_drop_ci95=interval)
    found = findings(seen(size_bytes=11_000_000), versus, Audit(), TASK, previous=seen())
    assert [text.split(",")[0] for text in found] == ([] if expected is None else [expected])


def test_quantized_files_that_run_in_float_and_leftover_nodes_are_said() -> None:
    audit = Audit(operators=[spent("QuantizeLinear", 0.2), spent("Cast", 0.1)], leftover_qdq=40, leftover_casts=1)
    assert findings(seen(size_bytes=11_000_000), against(1.1), audit, TASK, previous=seen()) == [
        "40 quantize and dequantize nodes run, but no layer runs in int8",
        "40 quantize and dequantize nodes are left, 20% of the time",
        "1 cast is left, 10% of the time",
    ]


def test_fewer_macs_without_speed_are_said() -> None:
    found = findings(seen(macs=74_000_000, size_bytes=20_000_000), against(1.01), Audit(), TASK, previous=seen())
    assert found == ["50% fewer multiply-accumulates, but 1.01x faster"]


def test_a_plain_float_baseline_has_no_findings() -> None:
    audit = Audit(operators=[spent("Conv", 0.99)], layers=[layer("c", "Conv")])
    assert findings(seen(), None, audit, TASK) == []


def test_a_recurrent_layer_in_float_is_said_with_its_part_of_the_work_and_of_the_time() -> None:
    now = seen(int8_share=Int8Share(matmul=0.1), size_bytes=11_000_000)
    lstm = LayerCost(name="l", operator="LSTM", weight_shape=[1, 4, 4], weight_bytes=1, macs=9)
    audit = Audit(layers=[lstm, layer("fc", "QGemm", int8=True)], operators=[spent("LSTM", 0.81, nodes=1)])
    assert findings(now, against(1.2), audit, TASK, previous=seen()) == [
        "LSTM run in float: 90% of the multiply-accumulates, 81% of the time; quantize_dynamic runs LSTM in int8, "
        "quantize_static does not"
    ]


def test_what_is_not_counted_is_said() -> None:
    assert findings(seen(), None, Audit(uncounted=["DFT"]), TASK) == [
        "DFT: how often it multiplies is not known here: the multiply-accumulates are those of the other layers, and "
        "the share in int8 is unknown"
    ]


def test_the_layers_that_int8_made_slower_are_named_as_exclude_takes_them() -> None:
    def timed(name: str, milliseconds: float, *, int8: bool) -> LayerCost:
        return layer(name, "QLinearConv" if int8 else "Conv", int8=int8).model_copy(
            update={"milliseconds": milliseconds}
        )

    before = Audit(layers=[timed("a.conv", 0.5, int8=False), timed("b.conv", 1.0, int8=False)])
    after = Audit(layers=[timed("a.conv", 13.0, int8=True), timed("b.conv", 0.5, int8=True)])
    now = seen(int8_share=Int8Share(conv=1.0), size_bytes=11_000_000)
    assert findings(now, against(0.5), after, TASK, previous=seen(), previous_audit=before)[1:] == [
        "slower in int8 than in float: a.conv (0.50 to 13.00 ms)",
        "to keep what loses in float: keep_float=measured in quantize_static with a step `pass: time_int8` before it; "
        "where that is set already, exclude: [a.conv]; or leave the quantization out",
    ]
