"""Everything that is measured after a step, in one call."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgepipe.contract import Answers, ByClass, Dataset, Figure, Interval, Progress, Split, Task
from edgepipe.errors import MeasureError
from edgepipe.measure import size
from edgepipe.measure.answers import Answered, Model, answered, targets_of
from edgepipe.measure.audit import audit
from edgepipe.measure.latency import latency, paired_latency
from edgepipe.measure.macs import layers
from edgepipe.measure.memory import probe
from edgepipe.measure.outputs import output_changes
from edgepipe.measure.promised import classes_told, figures, share_alike
from edgepipe.measure.settings import MeasureSettings
from edgepipe.measure.wrong import wrong_answers
from edgepipe.onnx.graph import Graph
from edgepipe.onnx.inputs import inputs_of
from edgepipe.onnx.sequences import first_step
from edgepipe.onnx.tensor_types import declared
from edgepipe.records.metrics import Audit, Measurements, OutputChange, Versus, WrongAnswer
from edgepipe.records.quality import Score, TaskRecord


@dataclass(frozen=True)
class Measured:
    """What is known about an artifact; `versus` of the baseline itself is exactly 1."""

    measurements: Measurements
    versus: Versus
    audit: Audit
    answered: Answered
    wrong: list[WrongAnswer] = field(default_factory=list)


def measure(
    onnx: Path,
    data: Dataset,
    task: Task,
    baseline: Path | None,
    before: Measured | None,
    settings: MeasureSettings,
    progress: Progress = lambda _share, _text: None,
    exclusive: Callable[[], AbstractContextManager[None]] = nullcontext,
    shown: str | None = None,
) -> Measured:
    """Measure one ONNX file, against the baseline if there is one.

    Args:
        task: says what the outputs mean.
        baseline: ONNX file of the baseline; None when `onnx` is the baseline itself.
        before: what was measured of the baseline; required with `baseline`.
        exclusive: entered while time is measured, to keep other measurements away.
        shown: what messages about its answers call the model; None: its file.
    Raises:
        MeasureError: the model cannot be run, or answers nonsense; names the file.
    """
    if (baseline is None) != (before is None):
        raise MeasureError(
            f"{onnx}: the baseline's file and what was measured of it belong together; got one without the other"
        )
    progress(0.0, "size")
    model = Model.of(onnx, data, shown)
    graph = model.graph
    graph.real = example = _one_run(graph, data)
    shapes = {name: value.shape[1:] for name, value in example.items()}
    stored = size.parameters(graph)
    own_layers = layers(graph, shapes)
    found = answered(
        model,
        data,
        task,
        batch_size=settings.batch_size,
        progress=lambda share, text: progress(0.05 + 0.5 * share, text),
    )
    outputs: list[OutputChange] = []
    if baseline is not None:
        progress(0.57, "outputs")
        outputs = output_changes(model.session, baseline, data, task)
    del model  # its session holds memory, and threads, that what is timed shall not meet
    size_bytes = size.size_bytes(graph.files)
    with exclusive():
        own, speed = _speed(onnx, baseline, example, settings, progress)
        progress(0.85, "audit")
        audited, int8_share = audit(graph, example, own_layers, threads=settings.threads, runs=settings.audit_runs)
        progress(0.92, "load time and memory")
        fresh = probe(onnx, graph.filled(shapes), threads=settings.threads, runs=settings.probe_runs)
    try:
        answers_before = before.answered if before else None
        quality, versus, wrong = _quality(found.answers, answers_before, data, task, settings.wrong_examples)
        by_class = _by_class(found.answers, answers_before, data, task)
    except MeasureError as error:
        raise MeasureError(f"{shown or onnx}: {error}") from error
    progress(1.0, "measured")
    smaller = before.measurements.size_bytes / size_bytes if before else 1.0
    measurements = Measurements(
        examples=found.count,
        quality=quality,
        by_class=by_class,
        size_bytes=size_bytes,
        gzip_bytes=size.gzip_bytes(graph.files),
        parameters=stored.count,
        nonzero_share=stored.nonzero_share,
        macs=sum(layer.cost.macs for layer in own_layers),
        latency_p50_ms=own[0],
        latency_p90_ms=own[1],
        load_ms=fresh.load_ms,
        peak_rss_bytes=fresh.peak_rss_bytes,
        int8_share=int8_share,
    )
    return Measured(
        measurements, Versus(times_smaller=smaller, **speed, **versus, outputs=outputs), audited, found, wrong
    )


def _one_run(graph: Graph, data: Dataset) -> dict[str, NDArray[Any]]:
    """What one run takes of the first evaluation example, by input: (1, ...) each."""
    signature, inputs = data.signature, inputs_of(graph.model.graph)
    given = next(data.batches(Split.EVALUATION, 1, [0])).inputs
    return first_step(list(map(declared, inputs)), given, signature.state, signature.steps or 1, graph.name)


def _quality(
    answers: Answers, baseline: Answered | None, data: Dataset, task: Task, most_wrong: int
) -> tuple[dict[str, Score], dict[str, Any], list[WrongAnswer]]:
    """(what the task measures, the same against the baseline, newly wrong answers)."""
    record = TaskRecord.of(data.signature.task, task)
    before = answers if baseline is None else baseline.answers
    targets = targets_of(task, data, before)
    measured = {} if targets is None else figures(task, "measured", task.measured(answers, targets))
    if baseline is None:
        same = {name: Figure(0.0, (0.0, 0.0)) for name, figure in measured.items() if figure.value is not None}
        return record.scores(measured), {"alike": 1.0, "quality": record.drops(same)}, []
    compared = {} if targets is None else figures(task, "compared", task.compared(answers, before, targets))
    wrong = [] if targets is None else wrong_answers(task, answers, before, targets, data, most=most_wrong)
    alike = share_alike(task, task.alike(answers, before), task.count(answers))
    return record.scores(measured), {"alike": alike, "quality": record.drops(compared)}, wrong


def _by_class(answers: Answers, baseline: Answered | None, data: Dataset, task: Task) -> ByClass:
    targets = targets_of(task, data, answers if baseline is None else baseline.answers)
    return {} if targets is None else classes_told(task, task.by_class(answers, targets, data.signature))


def _speed(
    onnx: Path,
    baseline: Path | None,
    example: dict[str, NDArray[Any]],
    settings: MeasureSettings,
    progress: Progress,
) -> tuple[tuple[float, float], dict[str, Any]]:
    """(p50, p90) in milliseconds, and the comparison with the baseline as far as speed goes."""
    threads, seconds, warmup = settings.threads, settings.latency_seconds, settings.warmup
    if baseline is None:
        progress(0.6, "speed")
        alone = latency(onnx, example, threads=threads, seconds=seconds, warmup=warmup)
        return (alone.p50_ms, alone.p90_ms), _versus(1.0, (1.0, 1.0))
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
    return (paired.step.p50_ms, paired.step.p90_ms), _versus(paired.times_faster, paired.times_faster_ci95)


def _versus(times_faster: float, interval: Interval) -> dict[str, Any]:
    return {"times_faster": times_faster, "times_faster_ci95": interval}
