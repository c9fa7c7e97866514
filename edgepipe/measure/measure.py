"""Everything that is measured after a step, in one call."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Dataset, Progress, Split
from edgepipe.errors import MeasureError
from edgepipe.measure import accuracy, size
from edgepipe.measure.accuracy import Predictions
from edgepipe.measure.audit import audit
from edgepipe.measure.latency import latency, paired_latency
from edgepipe.measure.macs import layers
from edgepipe.measure.memory import probe
from edgepipe.measure.outputs import output_changes
from edgepipe.measure.settings import MeasureSettings
from edgepipe.measure.values import Values, embedding, regression
from edgepipe.measure.wrong import wrong_answers
from edgepipe.onnx.graph import Graph
from edgepipe.records.metrics import Audit, Measurements, Versus, WrongAnswer
from edgepipe.tasks.intervals import wilson


@dataclass(frozen=True)
class Measured:
    """What is known about an artifact; `versus` of the baseline itself is exactly 1."""

    measurements: Measurements
    versus: Versus
    audit: Audit
    predictions: Predictions | Values
    wrong: list[WrongAnswer] = field(default_factory=list)


def measure(
    onnx: Path,
    data: Dataset,
    baseline: Path | None,
    baseline_predictions: Predictions | Values | None,
    settings: MeasureSettings,
    progress: Progress = lambda _share, _text: None,
    exclusive: Callable[[], AbstractContextManager[None]] = nullcontext,
    shown: str | None = None,
) -> Measured:
    """Measure one ONNX file, against the baseline if there is one.

    Args:
        baseline: ONNX file of the baseline; None when `onnx` is the baseline itself.
        baseline_predictions: the baseline's answers; required with `baseline`.
        exclusive: entered while time is measured, to keep other measurements away.
        shown: what messages about its answers call the model; None: its file.
    Raises:
        MeasureError: the model cannot be run, or answers nonsense; names the file.
    """
    if (baseline is None) != (baseline_predictions is None):
        raise MeasureError(
            f"{onnx}: the baseline's file and its predictions belong together; got one without the other"
        )
    progress(0.0, "size")
    shape = data.signature.input_shape
    graph = Graph.load(onnx)
    stored = size.parameters(graph)
    own_layers = layers(graph, shape)
    ask = accuracy.predict if data.signature.task == "classification" else accuracy.values
    predictions: Predictions | Values = ask(
        onnx,
        data,
        batch_size=settings.batch_size,
        progress=lambda share, text: progress(0.05 + 0.5 * share, text),
        shown=shown,
    )
    example = next(data.batches(Split.EVALUATION, 1, [0])).only
    size_bytes = size.size_bytes(onnx)
    with exclusive():
        own, versus = _speed(onnx, baseline, example, size_bytes, settings, progress)
        progress(0.85, "audit")
        audited, int8_share = audit(onnx, example, own_layers, threads=settings.threads, runs=settings.audit_runs)
        progress(0.92, "load time and memory")
        fresh = probe(onnx, shape, threads=settings.threads, runs=settings.probe_runs)
    answered, compared, wrong = _answers(predictions, baseline_predictions, data, settings, shown or str(onnx))
    if baseline is not None:
        progress(0.97, "outputs")
        compared = {**compared, "outputs": output_changes(onnx, baseline, data)}
    versus = Versus.model_validate({**versus.model_dump(), **compared})
    progress(1.0, "measured")
    measurements = Measurements(
        examples=len(predictions),
        **answered,
        size_bytes=size_bytes,
        gzip_bytes=size.gzip_bytes(onnx),
        parameters=stored.count,
        nonzero_share=stored.nonzero_share,
        macs=sum(layer.cost.macs for layer in own_layers),
        latency_p50_ms=own[0],
        latency_p90_ms=own[1],
        load_ms=fresh.load_ms,
        peak_rss_bytes=fresh.peak_rss_bytes,
        int8_share=int8_share,
    )
    return Measured(measurements, versus, audited, predictions, wrong)


def _answers(
    predictions: Predictions | Values,
    baseline: Predictions | Values | None,
    data: Dataset,
    settings: MeasureSettings,
    artifact: str,
) -> tuple[dict[str, Any], dict[str, Any], list[WrongAnswer]]:
    """(measurements, comparison with the baseline, newly wrong answers) in the measure of the task."""
    if isinstance(predictions, Values):
        other = baseline if isinstance(baseline, Values) else None
        if data.signature.task == "embedding":
            return embedding(predictions, other, artifact), {"agreement": None}, []
        measured, compared = regression(predictions, other, artifact)
        return measured, {**compared, "agreement": None}, []
    known = baseline if isinstance(baseline, Predictions) else None
    top1 = accuracy.top1(predictions, known)
    wrong: list[WrongAnswer] = []
    versus: dict[str, Any] = {}
    if known is not None:
        drop = accuracy.paired_drop(predictions, known)
        if drop is None and top1 is not None:  # without labels the baseline is right, every other answer a loss
            low, high = wilson(round(top1 * len(predictions)), len(predictions))
            drop = (1 - top1, (1 - high, 1 - low))
        versus = {
            "accuracy_drop": drop[0] if drop else None,
            "accuracy_drop_ci95": drop[1] if drop else None,
            "agreement": accuracy.agreement(predictions, known),
        }
        wrong = wrong_answers(predictions, known, data, most=settings.wrong_examples)
    else:
        versus = {"accuracy_drop": 0.0, "accuracy_drop_ci95": (0.0, 0.0)}
    if top1 is None:
        top1 = 1.0  # without labels the baseline is what is agreed with
    n = len(predictions)
    measured = {"top1": top1, "top1_ci95": wilson(round(top1 * n), n), "top5": accuracy.top5(predictions)}
    return measured, versus, wrong


def _speed(
    onnx: Path,
    baseline: Path | None,
    example: NDArray[np.float32],
    size_bytes: int,
    settings: MeasureSettings,
    progress: Progress,
) -> tuple[tuple[float, float], Versus]:
    """(p50, p90) in milliseconds, and the comparison with the baseline as far as speed and size go."""
    threads, seconds, warmup = settings.threads, settings.latency_seconds, settings.warmup
    if baseline is None:
        progress(0.6, "speed")
        alone = latency(onnx, example, threads=threads, seconds=seconds, warmup=warmup)
        exact = Versus(times_smaller=1.0, times_faster=1.0, times_faster_ci95=(1.0, 1.0), agreement=1.0)
        return (alone.p50_ms, alone.p90_ms), exact
    paired = paired_latency(
        baseline,
        onnx,
        example,
        threads=threads,
        seconds=seconds,
        warmup=warmup,
        seed=settings.seed,
        progress=lambda share, text: progress(0.6 + 0.25 * share, text),
    )
    versus = Versus(
        times_smaller=size.size_bytes(baseline) / size_bytes,
        times_faster=paired.times_faster,
        times_faster_ci95=paired.times_faster_ci95,
    )
    return (paired.step.p50_ms, paired.step.p90_ms), versus
