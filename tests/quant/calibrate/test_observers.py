"""Observers stream: same answer in one batch or many, and a fixed number of bytes."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.quant.arithmetic.affine import activation_parameters, dequantize, quantize
from edgepipe.quant.calibrate.observers import Observer, ObserverName, energies_of


def observed(values: np.ndarray, parts: int) -> Observer:
    observer = Observer()
    for part in np.array_split(values, parts):
        observer.observe(part)
    return observer


def error(values: np.ndarray, low: float, high: float) -> float:
    scale, zero = activation_parameters(low, high)
    return float(np.square(dequantize(quantize(values, scale, zero, np.uint8), scale, zero) - values).mean())


@pytest.mark.parametrize("kind", ["min_max", "percentile", "mse", "relative_mse", "entropy"])
@pytest.mark.parametrize("relu", [True, False])
def test_the_range_does_not_depend_on_the_batches(kind, relu: bool, monkeypatch) -> None:
    monkeypatch.setattr("edgepipe.quant.calibrate.observers.COUNTED", 50_000)
    values = np.random.default_rng(0).standard_normal(50_000).astype(np.float32)
    values = np.maximum(values, 0) if relu else values
    one, many = observed(np.sort(values), 1).range(kind), observed(np.sort(np.abs(values)), 1)
    assert observed(values, 37).range(kind) == pytest.approx(one, rel=0.03, abs=1e-6)
    assert one[0] <= 0 < one[1]
    assert many.count == 50_000


@pytest.mark.parametrize(("kind", "most"), [("percentile", 6.0), ("mse", 30.0), ("entropy", 36.0)])
def test_one_outlier_does_not_take_the_whole_range(kind, most: float) -> None:
    values = np.random.default_rng(0).standard_normal(1_000_000).astype(np.float32)
    values[5] = 60.0
    low, high = observed(values, 10).range(kind)
    assert high < most
    assert low < -2


@pytest.mark.parametrize("kind", ["percentile", "mse", "relative_mse"])  # the divergence jumps with any change
def test_of_a_large_picture_some_values_say_what_all_would(kind, monkeypatch) -> None:
    drawn = np.random.default_rng(0)
    scales = drawn.uniform(0.2, 3, (1, 64, 1, 1))  # channels differ
    pictures = (drawn.standard_normal((16, 64, 64, 64)) * scales).astype(np.float32)
    sampled = observed(pictures, 2)
    monkeypatch.setattr("edgepipe.quant.calibrate.observers.COUNTED", 2**30)
    whole = observed(pictures, 2)
    assert sampled.count <= whole.count / 4
    assert (sampled.low, sampled.high) == (whole.low, whole.high)
    assert error(pictures, *sampled.range(kind)) == pytest.approx(error(pictures, *whole.range(kind)), rel=0.05)


def test_no_row_or_column_of_a_large_picture_is_left_out() -> None:
    for shape in [(96, 112, 112), (32, 64, 64), (1, 6, 2**16), (3, 640, 480), (1, 1, 65_537)]:
        picture = np.zeros((1, *shape), np.float32)
        picture[..., 0::2] = 1.0  # every second column
        watched = observed(picture, 1)
        ones = watched._bins[np.flatnonzero(watched._bins)[-1]]
        assert ones / watched.count == pytest.approx(0.5, abs=0.01)


def test_one_odd_example_takes_the_range_from_none_of_the_others() -> None:
    examples = np.random.default_rng(0).standard_normal((200, 500)).astype(np.float32)
    examples[7] *= 40
    watched = observed(examples, 5)
    _, wide = watched.range("mse")
    low, high = watched.range("relative_mse")
    assert wide > 90 and 3 < high < 40 and -40 < low < -3
    others = np.delete(examples, 7, axis=0)
    assert error(others, low, high) < 0.2 * error(others, *watched.range("mse"))
    blank = examples.copy()
    blank[3] = 1e-6  # must not count for all of them
    assert observed(blank, 5).range("relative_mse")[1] == pytest.approx(high, rel=0.2)


@pytest.mark.parametrize("parts", [1, 5, 201])
@pytest.mark.parametrize("place", [0, 100, 200])
def test_a_blank_example_decides_no_range(place: int, parts: int) -> None:
    examples = np.maximum(np.random.default_rng(0).standard_normal((200, 500)), 0).astype(np.float32)
    wanted = observed(examples, 4).range("relative_mse")[1]
    with_blank = np.insert(examples, place, 0.0, axis=0)
    assert observed(with_blank, parts).range("relative_mse")[1] == pytest.approx(wanted, rel=0.05)


@pytest.mark.parametrize("parts", [1, 5, 200])
def test_where_most_examples_are_zero_the_others_decide(parts: int) -> None:
    examples = np.maximum(np.random.default_rng(0).standard_normal((200, 500)), 0).astype(np.float32)
    examples[np.arange(200) % 5 > 0] = 0
    low, high = observed(examples, parts).range("relative_mse")
    assert low == 0
    alive = examples[::5]
    assert error(alive, low, high) < 1.3 * error(alive, *observed(alive, 1).range("mse"))


@pytest.mark.parametrize("parts", [1, 8, 200])
def test_the_order_of_the_examples_decides_nothing(parts: int) -> None:
    examples = np.random.default_rng(0).laplace(size=(200, 500)).astype(np.float32)
    examples[np.arange(200) % 4 == 0] *= 0.02  # quiet pictures: a class of its own, in a file sorted by class
    first = examples[np.argsort(np.arange(200) % 4, kind="stable")]
    ranges = [observed(order, parts).range("relative_mse") for order in (first, first[::-1], examples)]
    assert ranges[0] == ranges[1] == ranges[2]
    whole = error(examples, *ranges[0])
    assert whole < 1.3 * error(examples, *observed(examples, 1).range("mse"))


def test_energies_of_huge_values_are_finite() -> None:
    assert energies_of(np.full((2, 3), 1e30, np.float32)) == pytest.approx([1e60, 1e60], rel=1e-5)
    assert energies_of(np.zeros((2, 3), np.float32)).tolist() == [0, 0]


def test_mse_has_the_least_squared_error_of_all_ranges(monkeypatch) -> None:
    monkeypatch.setattr("edgepipe.quant.calibrate.observers.COUNTED", 20_000)
    values = np.random.default_rng(0).laplace(size=200_000).astype(np.float32)
    observer = observed(values, 10)

    errors = {kind: error(values, *observer.range(kind)) for kind in ("min_max", "percentile", "entropy", "mse")}
    assert errors["mse"] <= 1.001 * min(errors.values())
    assert errors["mse"] < 0.8 * errors["min_max"]


def test_min_max_is_exact_and_moving_average_smooths() -> None:
    observer = Observer(histogram=False)
    observer.observe(np.array([0.0, 1.0], np.float32))
    observer.observe(np.array([0.0, 11.0], np.float32))
    assert observer.range("min_max") == (0.0, 11.0)
    assert observer.range("moving_average") == pytest.approx((0.0, 2.0))


def test_growing_the_range_keeps_every_count() -> None:
    observer = Observer()
    for power in range(-20, 20):
        observer.observe(np.full(100, 2.0**power, np.float32))
    assert observer._bins is not None
    assert observer._bins.sum() == 4000
    assert observer._bins.nbytes == 8192 * 8


def test_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        Observer().observe(np.array([1.0, np.nan], np.float32))


@pytest.mark.parametrize("kind", ["min_max", "moving_average", "percentile", "mse", "entropy"])
def test_a_tail_that_no_reader_sees_does_not_cut_off_the_other_end(kind: ObserverName) -> None:
    """SiLU answers 0 to -80 as to -8; a range that covers the tail would have to cut off its large answers."""
    generator = np.random.default_rng(0)
    seen = generator.normal(0, 2, 20_000)
    tail = generator.uniform(-80, -8, 20_000)
    bare = observed(np.clip(seen, -8, None), 10)
    both = observed(generator.permutation(np.concatenate([seen, tail])), 10)
    low, high = both.range(kind, limits=(-8.0, np.inf))
    assert low >= -8
    assert high == pytest.approx(bare.range(kind)[1], rel=0.25)
    if kind == "mse":
        cut_later = (max(-8.0, both.range(kind)[0]), both.range(kind)[1])
        assert error(seen, low, high) < error(seen, *cut_later)


@pytest.mark.parametrize("most", [np.nextafter(np.float32(1), np.float32(0)), np.finfo(np.float32).max, 1.9999999])
def test_the_largest_value_below_a_power_of_two_has_a_bin(most: float) -> None:
    values = np.linspace(0, most, 100, dtype=np.float32)
    watched = observed(np.concatenate([values, -values]), 1)
    assert watched._bins.sum() == 200 and watched._bins[-1] == watched._bins[0] == 1
    assert watched.range("percentile") == pytest.approx((-most, most))


def test_values_too_small_to_be_told_from_zero_count_as_zeros() -> None:
    watched = observed(np.linspace(0, 1e-36, 100, dtype=np.float32), 1)
    assert watched.count == watched._bins.sum() == 100
    assert 0 <= watched.range("relative_mse")[1] < 1e-30


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0,), (2, 0, 5)])
def test_arrays_without_values_change_no_range(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).standard_normal((10, 8)).astype(np.float32)
    observer = observed(values, 2)
    assert Observer().range("min_max") == (0.0, 0.0)
    before = observer.range("mse")
    observer.observe(np.zeros(shape, np.float32))
    assert observer.range("mse") == before
    nothing = Observer()
    nothing.observe(np.zeros(shape, np.float32))
    assert nothing.range("relative_mse") == (0.0, 0.0)
