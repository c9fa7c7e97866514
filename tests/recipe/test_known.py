"""The plan refuses what cannot run, before anything runs, and says which step stands in the way."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from edgepipe.contract import Artifact, Job, Kind, Pass
from edgepipe.recipe.plan import make_plan
from edgepipe.recipe.schema import validate
from tests.registered import register

ONNX = {"source": "onnx", "path": "m.onnx"}
TORCH = {"source": "torchvision", "name": "resnet18"}


def problems(*steps: str | dict[str, Any], model: dict[str, Any] = ONNX, **more: Any) -> list[tuple[str, str]]:
    """(key, sentence) of what the plan refuses; a step is a pass or its settings, labelled a, b, c, …"""
    passes = {
        label: step if isinstance(step, dict) else {"pass": step} for label, step in zip("abcdef", steps, strict=False)
    }
    recipe = validate({"name": "r", "model": model, "data": {"source": "digits"}, "passes": passes, **more})
    return [(key, text) for key, text, _ in make_plan(recipe).problems]


def test_quantizing_twice_is_refused_and_names_both_steps() -> None:
    assert problems("quantize_static", "export", "quantize_static") == [
        (
            "passes.c.pass",
            "quantize_static needs a model that is float, and since 'a' (quantize_static) this one is int8: "
            "remove one of the two steps",
        )
    ]


@pytest.mark.parametrize("first", ["quantize_static", "quantize_dynamic", "quantize_weights", "quantize_aware"])
@pytest.mark.parametrize(
    "second", ["quantize_static", "quantize_dynamic", "quantize_weights", "quantize_aware", "time_int8"]
)
def test_no_quantizer_and_no_timing_stands_behind_a_quantizer(first: str, second: str) -> None:
    ((key, text),) = problems(first, second)
    assert key == "passes.b.pass"
    assert text.startswith(f"{second} needs a model that is float, and since 'a' ({first}) this one is int8")
    assert ("or move 'b' before 'a'" in text) == (second == "time_int8")


def test_computing_in_float16_excludes_quantizers_both_ways_and_storing_does_not() -> None:
    compute = {"pass": "to_float16", "mode": "compute"}
    assert problems("quantize_static", "to_float16") == problems("to_float16", "quantize_static") == []
    ((_, behind),) = problems("quantize_static", compute)
    assert behind == (
        "mode=compute needs a model that is float, and since 'a' (quantize_static) this one is int8: "
        "remove one of the two steps"
    )
    ((_, before),) = problems(compute, "quantize_dynamic")
    assert "since 'a' (to_float16) this one is half" in before
    assert problems("to_float16", compute) == []


@pytest.mark.parametrize("between", [[], ["prune_weights"]])
def test_a_table_that_no_step_directly_before_made_is_refused(between: list[str]) -> None:
    latency = {"pass": "prune_channels", "scope": "latency", "times_faster": 2}
    weights = [{"pass": name, "amount": 0.5} for name in between]
    steps = ["tabulate_latency", *weights, latency] if between else [latency]
    ((_, text),) = problems(*steps, model=TORCH)
    assert text == "scope=latency needs a step `pass: tabulate_latency` directly before it. Put one there"
    assert problems("tabulate_latency", latency, model=TORCH) == []


def test_measured_times_come_from_a_step_directly_before_of_the_same_graph() -> None:
    measured = {"pass": "quantize_static", "keep_float": "measured"}
    ((_, text),) = problems("time_int8", "export", measured)
    assert text == "keep_float=measured needs a step `pass: time_int8` directly before it. Put one there"
    assert problems("time_int8", measured) == []
    ((_, text),) = problems("time_int8", {**measured, "exclude": ["Gemm"]})
    assert "exclude differs" in text


def test_pruning_an_int8_model_is_refused_by_its_kind() -> None:
    ((_, text),) = problems("quantize_static", {"pass": "prune_channels", "ratio": 0.5}, model=TORCH)
    assert "prune_channels reads torch, but here the model is onnx (the model became onnx for 'a')" in text


def test_what_learns_from_a_baseline_that_comes_later_is_refused() -> None:
    steps = ["distill", {"pass": "prune_channels", "ratio": 0.5}]
    ((key, text),) = problems(*steps, model=TORCH, baseline="b")
    assert (key, text) == ("passes.a", "distill learns from the baseline, and 'b' comes later")
    assert problems(*steps, model=TORCH) == []


def test_every_refusal_of_a_recipe_is_told_at_once() -> None:
    assert [key for key, _ in problems("quantize_static", "time_int8", "quantize_dynamic")] == [
        "passes.b.pass",
        "passes.c.pass",
    ]


class Silent(Pass):
    """Declares nothing, as passes did before there were traits."""

    reads: ClassVar[Kind] = Kind.ONNX
    writes: ClassVar[Kind] = Kind.ONNX

    def apply(self, model: Artifact, job: Job) -> Artifact:
        raise NotImplementedError


class Wants(Silent):
    """Wants what nobody gives."""

    requires: ClassVar[tuple[str, ...]] = ("blessed",)


class Blesses(Silent):
    """Gives it."""

    provides: ClassVar[tuple[str, ...]] = ("blessed",)


@pytest.fixture
def third_parties(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(**kinds: type[Pass]) -> None:
        register(monkeypatch, "passes", **{name: f"{__name__}:{kind.__name__}" for name, kind in kinds.items()})

    return install


def test_a_pass_that_declares_nothing_stands_anywhere_of_its_kind(third_parties: Any) -> None:
    third_parties(silent=Silent)
    assert problems("silent", "quantize_static", "silent", "to_float16", "silent") == []
    assert len(problems("quantize_static", "silent", "quantize_static")) == 1


def test_a_third_party_has_traits_of_its_own(third_parties: Any) -> None:
    third_parties(wants=Wants)
    assert problems("wants")[0][1] == (
        "wants needs a model that is blessed, and no installed pass provides that: remove this step"
    )
    third_parties(wants=Wants, blesses=Blesses)
    assert problems("wants")[0][1] == "wants needs a step `pass: blesses` before it. Put one there"
    assert problems("blesses", "export", "wants") == []
