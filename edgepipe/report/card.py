"""The model card that lies beside the deployed files."""

from __future__ import annotations

from edgepipe.contract import Signature
from edgepipe.records.metrics import Measurements, Metrics
from edgepipe.report.answers import measures_of
from edgepipe.report.table import markdown_table, markdown_text


def _answers(final: Measurements, metrics: Metrics) -> list[str]:
    found = []
    for measure in measures_of(metrics):
        score = final.quality.get(measure.name)
        if score is None or score.value is None:
            continue
        text = f"- {measure.title}: {measure.text(score.value)} on {final.examples:,} examples"
        if score.ci95 is not None:
            text += f" (95%: {measure.text(score.ci95[0])} to {measure.text(score.ci95[1])})"
        found.append(text)
    return found


def model_card(metrics: Metrics, signature: Signature | None) -> str:
    """Markdown: what the model is, how to feed it, what it scores and where that was measured.

    Source: Mitchell et al., Model Cards for Model Reporting, FAT* 2019, arXiv:1810.03993.
    """
    final = metrics.final
    lines = [f"# {markdown_text(metrics.recipe)}", ""]
    if final is not None:
        lines += [
            f"- size: {final.size_bytes:,} bytes ({final.gzip_bytes:,} gzipped)",
            f"- parameters: {final.parameters:,}; multiply-accumulates for one example: {final.macs:,}",
            *_answers(final, metrics),
            f"- latency: {final.latency_p50_ms:.2f} ms (p50), {final.latency_p90_ms:.2f} ms (p90), one example at a "
            f"time, {metrics.environment.threads} thread(s), {metrics.environment.cpu}",
            f"- peak memory of a process that loads and runs it: {final.peak_rss_bytes / 1e6:.0f} MB",
            "",
        ]
    if signature is not None:
        lines += ["## How to feed it", "", "```json", signature.model_dump_json(indent=1), "```", ""]
    lines += ["## Files", "", "| file | SHA-256 |", "|:---|:---|"]
    lines += [f"| `{name}` | `{digest}` |" for name, digest in sorted(metrics.files.items())]
    lines += ["", "## How it was made", "", markdown_table(metrics)]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(metrics.environment.libraries.items()))
    lines += [
        f"Made by edgepipe {metrics.environment.edgepipe} with {versions} at {metrics.started}.",
        "",
        "The accuracy holds for the evaluation data of this run and for inputs prepared as above; measure on your own.",
    ]
    return "\n".join(lines) + "\n"
