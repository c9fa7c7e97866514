"""report.html: one self-contained page over one run; reads metrics.json and nothing else."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgepipe.base.files import write_text
from edgepipe.records.metrics import Audit, Metrics, StepRecord
from edgepipe.records.quality import TaskRecord
from edgepipe.records.sensitivity import LayerEffect
from edgepipe.report.answers import change_title, interval_text, measures_of, score_text
from edgepipe.report.classes import classes_section
from edgepipe.report.page import page, table, tile
from edgepipe.report.proofs import proof_columns, proof_notes, proof_rows
from edgepipe.report.sensitivity import layers_section
from edgepipe.report.svg import Bar, bars, lines
from edgepipe.report.table import columns, estimate_line, goal_line, markdown_table, percent, rows, times


def write_report(metrics: Metrics, path: Path) -> None:
    """Write the page; it appears whole or not at all."""
    write_text(path, page(f"edgepipe: {metrics.recipe}", _body(metrics)))


def _body(metrics: Metrics) -> Iterator[str]:
    words = {"ok": ("ok", "good"), "failed": ("failed", "bad"), "missed_goal": ("missed its goal", "bad")}
    words["not_verified"] = ("answers differently elsewhere", "bad")
    word, kind = words[metrics.status]
    where = f"{metrics.environment.cpu}, {metrics.environment.threads} thread(s)"
    yield f'<h1>{html.escape(metrics.recipe)} <span class="{kind}">{word}</span></h1>'
    yield (
        f'<div class="soft">{html.escape(metrics.started)}, {metrics.seconds:.0f} s, {html.escape(where)}'
        f"{', ' + html.escape(' '.join(metrics.overrides)) if metrics.overrides else ''}</div>"
    )
    if metrics.failure is not None:
        step = f"step {metrics.failure.step}: " if metrics.failure.step else ""
        yield f'<pre class="bad">{html.escape(step + metrics.failure.message)}</pre>'
    yield from _tiles(metrics)
    if metrics.goal:
        yield "<ul>"
        for result in metrics.goal:
            yield f'<li class="{"good" if result.met else "bad"}">{html.escape(goal_line(result, metrics.task))}</li>'
        yield "</ul>"
    yield from _estimates(metrics)
    yield from _proofs(metrics)
    yield from _devices(metrics)
    yield "<h2>What each step cost and bought</h2>"
    yield from _waterfall(metrics)
    base = [index for index, step in enumerate(metrics.passes) if step.label == metrics.baseline_step]
    yield table(columns(metrics), rows(metrics), strong=base)
    yield '<p class="soft">The bold step is the baseline: every comparison is with it, on the same examples.</p>'
    found = [(step.label, finding) for step in metrics.passes for finding in step.findings]
    if found:
        yield "<h2>Findings</h2><ul>"
        yield from (f"<li><b>{html.escape(label)}</b>: {html.escape(text)}</li>" for label, text in found)
        yield "</ul>"
    yield from classes_section(metrics)
    yield from _outputs(metrics.passes)
    yield from _sensitivity(metrics.passes, metrics.task)
    yield from _curves(metrics.passes)
    done = [step for step in metrics.passes if step.audit is not None]
    if done and done[-1].audit is not None:
        yield from _audit(done[-1].label, done[-1].audit)
        base_audit = next((step.audit for step in done if step.label == metrics.baseline_step), None)
        yield from _layers(done[-1].audit, base_audit)
    yield from _wrong(metrics.passes)
    yield "<h2>For a pull request</h2>"
    pasted = html.escape(markdown_table(metrics))
    yield f"<details><summary>The table as Markdown</summary><pre>{pasted}</pre></details>"
    yield from _origin(metrics)


def _outputs(steps: Sequence[StepRecord]) -> Iterator[str]:
    """Each output of the last step that was compared, with its worst examples and its worst part."""
    told = [step for step in steps if step.versus_baseline is not None and step.versus_baseline.outputs]
    if not told or told[-1].versus_baseline is None:
        return
    yield f"<h2>Each output of {html.escape(told[-1].label)} against the baseline</h2>"
    heads = ("output", "values", "cosine", "worst 1%", "relative error", "worst 1%", "R2", "worst part", "rows alike")
    rows = [
        (
            item.name,
            str(item.values),
            f"{item.cosine:.4f}",
            f"{item.cosine_worst:.4f}",
            percent(item.relative_error),
            percent(item.relative_error_worst),
            "-" if item.r2 is None else f"{item.r2:.4f}",
            "-" if item.worst_part_r2 is None else f"{item.worst_part} {item.worst_part_r2:.4f}",
            percent(item.rows_alike),
        )
        for item in told[-1].versus_baseline.outputs
    ]
    yield table(heads, rows)


def _estimates(metrics: Metrics) -> Iterator[str]:
    if metrics.target == "host" or not metrics.estimates:
        return
    yield f"<h2>On the target {html.escape(metrics.target)}</h2><ul>"
    yield from (f"<li>{html.escape(estimate_line(item))}</li>" for item in metrics.estimates)
    yield "</ul>"


def _devices(metrics: Metrics) -> Iterator[str]:
    if not metrics.devices:
        return
    yield "<h2>On real devices</h2>"
    rows = [
        (
            f"{item.device} ({item.machine}, {item.cores} cores)",
            f"{item.golden}, {item.match}",
            f"{item.latency_p50_ms:.2f}",
            f"{item.latency_p90_ms:.2f}",
            str(item.threads),
            item.onnxruntime,
            item.when,
        )
        for item in metrics.devices
    ]
    yield table(("device", "golden outputs", "ms p50", "ms p90", "threads", "ONNX Runtime", "when"), rows, left=(1, 6))


def _proofs(metrics: Metrics) -> Iterator[str]:
    if not metrics.proofs:
        return
    yield "<h2>Run elsewhere: the deployed file on other processors and runtimes</h2>"
    heads = proof_columns(metrics.task, metrics.proofs)
    yield table(heads, proof_rows(metrics.task, metrics.proofs), left=(1, len(heads) - 2))
    yield "<ul>"
    yield from (f"<li>{html.escape(note)}</li>" for note in proof_notes(metrics.proofs))
    yield "</ul>"
    yield (
        '<p class="soft">The same examples as here, one at a time. A graph that is int8 throughout must answer '
        "bit-identically. Milliseconds are given only where nothing was emulated.</p>"
    )


def _tiles(metrics: Metrics) -> Iterator[str]:
    final, versus, base = metrics.final, metrics.versus_baseline, metrics.baseline
    if final is None or versus is None or base is None:
        return
    low, high = versus.times_faster_ci95
    yield '<div class="tiles">'
    yield tile(
        "smaller", times(versus.times_smaller), f"{base.size_bytes / 1e6:.2f} to {final.size_bytes / 1e6:.2f} MB"
    )
    yield tile("faster", times(versus.times_faster), f"95%: {low:.2f} to {high:.2f}")
    measures = measures_of(metrics)
    for measure in measures[:1]:
        drop = versus.quality.get(measure.name)
        if drop is not None and drop.drop is not None:
            interval = f"95%: {interval_text(measure, drop.ci95)}" if drop.ci95 is not None else "against the baseline"
            yield tile(change_title(measure), measure.change_text(drop.drop), interval)
    for measure in measures:
        note = f"on {final.examples:,} examples" if measure is measures[0] else ""
        yield tile(measure.title, score_text(measure, final.quality.get(measure.name)), note)
    yield tile("latency p50", f"{final.latency_p50_ms:.2f} ms", f"was {base.latency_p50_ms:.2f} ms")
    kind = "matrix products" if final.int8_share.conv is None else "convolutions"
    share = final.int8_share.matmul if final.int8_share.conv is None else final.int8_share.conv
    yield tile(f"int8 {kind}", percent(share, 0), "of their multiply-accumulates")
    yield tile("peak memory", f"{final.peak_rss_bytes / 1e6:.0f} MB", f"was {base.peak_rss_bytes / 1e6:.0f} MB")
    yield "</div>"


def _waterfall(metrics: Metrics) -> Iterator[str]:
    done = [step for step in metrics.passes if step.measurements is not None]
    if not done:
        return
    first = measures_of(metrics)[:1]
    answers, size, speed = [], [], []
    for step in done:
        measured, versus = step.measurements, step.versus_baseline
        assert measured is not None
        strong = step.label == metrics.baseline_step
        for measure in first:
            score = measured.quality.get(measure.name)
            if score is not None and score.value is not None:
                answers.append(Bar(step.label, score.value, measure.text(score.value), score.ci95, strong))
        size.append(Bar(step.label, measured.size_bytes, f"{measured.size_bytes / 1e6:.2f} MB", None, strong))
        if versus is not None:
            text = times(versus.times_faster)
            speed.append(Bar(step.label, versus.times_faster, text, versus.times_faster_ci95, strong))
    yield '<div class="charts">'
    for measure in first:
        title = measure.title[:1].upper() + measure.title[1:]
        if any(item.interval is not None for item in answers):
            title += ", 95% interval"
        if measure.better == "lower":
            title += ", lower is better"
        ends = [end for item in answers for end in (item.value, *(item.interval or ())) if end is not None]
        yield bars(answers, title=title, high=1.0 if max(ends) <= 1 and measure.better == "higher" else None)
    yield bars(size, title="Bytes on disk")
    if speed:
        yield bars(speed, title="Times faster than the baseline, 95% interval")
    yield "</div>"


def _curves(steps: Sequence[StepRecord]) -> Iterator[str]:
    for step in steps:
        curve = step.facts.get("curve")
        rows = [point for point in curve if isinstance(point, dict)] if isinstance(curve, list) else []
        if not rows:
            continue
        names = [
            name
            for name in rows[0]
            if name not in ("epoch", "seconds") and all(isinstance(point.get(name), (int, float)) for point in rows)
        ]
        if len(rows) == 1:
            told = ", ".join(f"{name.replace('_', ' ')} {rows[0][name]:g}" for name in names)
            yield f"<h2>Learning curve: {html.escape(step.label)}</h2><p>One epoch: {html.escape(told)}.</p>"
            continue
        yield f'<h2>Learning curve: {html.escape(step.label)}</h2><div class="charts">'
        for name in names:
            if name.removeprefix("validation_") in names and name.startswith("validation_"):
                continue  # drawn with its counterpart on the training examples
            together = [item for item in (name, f"validation_{name}") if item in names]
            series = {
                item.replace("_", " "): [(float(i + 1), float(point[item])) for i, point in enumerate(rows)]  # type: ignore[arg-type]
                for item in together
            }
            yield lines(series, x_title="epoch", y_title=name.replace("_", " "))
        yield "</div>"


def _sensitivity(steps: Sequence[StepRecord], task: TaskRecord | None) -> Iterator[str]:
    for step in steps:
        layers, kept = step.facts.get("sensitivity"), step.facts.get("kept_worst")
        if not isinstance(layers, list) or not isinstance(kept, list):
            continue
        yield f"<h2>Sensitivity: each layer of {html.escape(step.label)} alone in int8, on calibration examples</h2>"
        effects = [LayerEffect.model_validate(item) for item in layers]
        yield from layers_section(effects, [str(node) for node in kept], task)
        yield '<p class="soft">The bold layers were kept in float.</p>'


def _audit(label: str, audit: Audit) -> Iterator[str]:
    yield f"<h2>Audit of {html.escape(label)}: what ONNX Runtime really runs</h2>"
    yield (
        f"<p>{audit.leftover_qdq} quantize/dequantize node(s) and {audit.leftover_casts} cast(s) are left in the graph "
        "after the runtime's own optimizations.</p>"
    )
    rows = [
        (
            item.operator,
            str(item.nodes),
            "int8" if item.int8 else "float",
            f"{item.milliseconds:.3f}",
            percent(item.share, 1),
        )
        for item in audit.operators
    ]
    yield table(("operator", "nodes", "arithmetic", "ms", "share of time"), rows, left=(2,))


def _layers(audit: Audit, base: Audit | None) -> Iterator[str]:
    if not audit.layers:
        return
    before = {layer.name: layer for layer in base.layers} if base is not None else {}
    yield "<h2>Layers</h2>"
    rows = []
    for layer in audit.layers:
        old = before.get(layer.name)
        rows.append(
            (
                layer.name,
                layer.operator,
                "x".join(map(str, layer.weight_shape)),
                f"{layer.weight_bytes:,}",
                f"{old.weight_bytes / layer.weight_bytes:.1f}x" if old and layer.weight_bytes else "-",
                f"{layer.macs:,}",
                "-" if layer.milliseconds is None else f"{layer.milliseconds:.3f}",
                f"{old.milliseconds:.3f}" if old is not None and old.milliseconds is not None else "-",
                "int8" if layer.int8 else "float",
            )
        )
    columns = ("layer", "operator", "weights", "bytes", "smaller", "MACs", "ms", "ms, baseline", "arithmetic")
    yield table(columns, rows, left=(1, 2, 8))


def _wrong(steps: Sequence[StepRecord]) -> Iterator[str]:
    # Of the model that is deployed: what an early step got wrong may have been recovered since.
    last = next((step for step in reversed(steps) if step.measurements is not None), None)
    if last is None or not last.wrong:
        return
    yield f"<h2>Answered rightly by the baseline, wrongly after {html.escape(last.label)}</h2>"
    yield '<div class="pictures">'
    for item in last.wrong:
        drawn = [(item.label_png, "right"), (item.baseline_png, "baseline"), (item.answer_png, last.label)]
        known = "".join(
            f'<span><img alt="{html.escape(word)}" src="data:image/png;base64,{html.escape(png)}">'
            f"{html.escape(word)}</span>"
            for png, word in drawn
            if png
        )
        plain = item.picture_png and f'<img alt="" src="data:image/png;base64,{html.escape(item.picture_png)}">'
        picture = known or plain or ""
        text = f"#{item.index}: {item.label}, answered {item.answer}"
        yield f"<figure{' class=drawn' if known else ''}>{picture}<figcaption>{html.escape(text)}</figcaption></figure>"
    yield "</div>"


def _origin(metrics: Metrics) -> Iterator[str]:
    environment = metrics.environment
    yield "<h2>Where it comes from</h2>"
    rows = [
        ("edgepipe", environment.edgepipe),
        ("python", environment.python),
        ("platform", environment.platform),
        ("processor", f"{environment.cpu}, {environment.cores} core(s): {', '.join(environment.instruction_sets)}"),
        *sorted(environment.libraries.items()),
        ("recipe", metrics.inputs.recipe),
        ("model", metrics.inputs.model or "-"),
        *((f"data, {name}", digest) for name, digest in metrics.inputs.data.items()),
        *((f"final/{name}", digest) for name, digest in metrics.files.items()),
    ]
    yield table(("", ""), rows, left=(1,))
    for step in metrics.passes:
        if step.settings:
            said = ", ".join(f"{name}={value}" for name, value in step.settings.items())
            yield f'<p class="soft"><b>{html.escape(step.label)}</b> {html.escape(step.pass_)}: {html.escape(said)}</p>'
