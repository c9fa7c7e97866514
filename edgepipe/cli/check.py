"""The regression gate: a run's metrics against a baseline file, with a tolerance for each metric."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from pydantic import BaseModel, ConfigDict, Field

from edgepipe.base.files import is_file, read_record, write_text
from edgepipe.errors import InputError
from edgepipe.plugins import did_you_mean
from edgepipe.records.metrics import GATED, Metrics, Tolerance, gated_values, read_metrics
from edgepipe.report.terminal import Arguments, PlainConsole


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Expected(Tolerance):
    """One metric's accepted value and how far a run may be worse."""

    value: float = Field(allow_inf_nan=False)
    better: Literal["higher", "lower"]


class Baseline(_Record):
    """A baseline file. Made by `edgepipe accept`, kept in the repository, edited by people."""

    schema_version: Literal[1] = 1
    recipe: str
    instruction_sets: list[str] = Field(description="speed is judged only on a machine with the same")
    metrics: dict[str, Expected] = Field(min_length=1)
    steps: dict[str, dict[str, float]] = Field(
        default={}, description="the metrics after every step: they tell where a regression began"
    )


class Verdict(_Record):
    """One metric of a check. `step`: the first step that is worse than it was, when the metric is."""

    name: str
    expected: float
    limit: float
    got: float | None
    status: Literal["ok", "better", "worse", "missing", "not_judged"]
    why: str = ""
    step: str | None = None


_SPEED = {"times_faster"}
_INT8_SETS = ("AVX2", "AVX512", "VNNI", "AMX", "NEON", "DOT", "I8MM")


def values(metrics: Metrics) -> dict[str, float]:
    """The checkable metrics of a finished run, by name."""
    return gated_values(metrics.final, metrics.versus_baseline)


def _steps(metrics: Metrics) -> dict[str, dict[str, float]]:
    """The same after every step that is compared with the baseline."""
    return {
        step.label: gated_values(step.measurements, step.versus_baseline)
        for step in metrics.passes
        if step.measurements is not None and step.versus_baseline is not None
    }


def int8_sets(metrics: Metrics) -> list[str]:
    """The instruction sets that decide how fast int8 is."""
    return sorted(
        name
        for name in metrics.environment.instruction_sets
        if any(part in name.upper().replace("_", "") for part in _INT8_SETS)
    )


def accept(metrics: Metrics, previous: Baseline | None = None, where: str = "metrics.json") -> Baseline:
    """A baseline from a run. Tolerances: the recipe's, else those that people set in `previous`, else the defaults."""
    expected: dict[str, Expected] = {}
    for name, value in values(metrics).items():
        if previous is not None and name not in previous.metrics:
            continue  # a metric that was taken out of the file stays out
        if not math.isfinite(value):
            raise InputError(f"{where}: {name} is {value}, and nothing can be held against that. Run it again")
        tolerance: Tolerance = previous.metrics[name] if previous is not None else GATED[name].default
        tolerance = metrics.tolerances.get(name, tolerance)
        expected[name] = Expected(
            value=value, better=GATED[name].better, worse_by=tolerance.worse_by, relative=tolerance.relative
        )
    return Baseline(recipe=metrics.recipe, instruction_sets=int8_sets(metrics), metrics=expected, steps=_steps(metrics))


def compare(metrics: Metrics, baseline: Baseline) -> list[Verdict]:
    """A verdict for each metric of the baseline."""
    return list(_verdicts(metrics, baseline))


def _verdicts(metrics: Metrics, baseline: Baseline) -> Iterator[Verdict]:
    got = values(metrics)
    here = int8_sets(metrics)
    for name, expected in baseline.metrics.items():
        tolerance = metrics.tolerances.get(name, expected)
        slack = _slack(tolerance, expected.value)
        limit = expected.value - slack if expected.better == "higher" else expected.value + slack
        value = got.get(name)
        status: Literal["ok", "better", "worse", "missing", "not_judged"] = "ok"
        why = ""
        step = None
        if value is None or not math.isfinite(value):
            status, why = "missing", "the run did not measure it" if value is None else "no finite number"
        elif name in _SPEED and here != baseline.instruction_sets:
            status = "not_judged"
            sets = [", ".join(names) or "none" for names in (here, baseline.instruction_sets)]
            why = f"other processor: int8 by {sets[0]} here, by {sets[1]} in the baseline"
        elif _worse(value, expected.value, expected.better, tolerance):
            if _within_chance(metrics, name, limit):
                why = "beyond the limit, but no more than chance explains"
            else:
                status = "worse"
                step = _began(metrics, baseline, name, expected.better, tolerance)
        elif _gain(value, expected.value, expected.better) > max(slack, 1e-12):
            status = "better"
        yield Verdict(name=name, expected=expected.value, limit=limit, got=value, status=status, why=why, step=step)


def _within_chance(metrics: Metrics, name: str, limit: float) -> bool:
    """Whether an accuracy's 95% interval reaches back over the limit; the drop's is paired, so it is the sharper."""
    if name == "accuracy_drop" and metrics.versus_baseline is not None:
        interval = metrics.versus_baseline.accuracy_drop_ci95
        return interval is not None and interval[0] <= limit
    if name == "top1" and metrics.final is not None:
        interval = metrics.final.top1_ci95
        return interval is not None and interval[1] >= limit
    if name == "cosine" and metrics.final is not None:
        return metrics.final.cosine_ci95 is not None and metrics.final.cosine_ci95[1] >= limit
    if name == "mae" and metrics.final is not None:
        return metrics.final.mae_ci95 is not None and metrics.final.mae_ci95[0] <= limit
    return False


def _slack(tolerance: Tolerance, value: float) -> float:
    return tolerance.worse_by * abs(value) if tolerance.relative else tolerance.worse_by


def _gain(value: float, expected: float, better: str) -> float:
    return value - expected if better == "higher" else expected - value


def _worse(value: float, expected: float, better: str, tolerance: Tolerance) -> bool:
    return _gain(value, expected, better) < -_slack(tolerance, expected) - 1e-9 * max(1.0, abs(expected))


def _began(metrics: Metrics, baseline: Baseline, name: str, better: str, tolerance: Tolerance) -> str | None:
    """The first step whose value is worse than the same step's was, beyond the tolerance."""
    for label, found in _steps(metrics).items():
        old = baseline.steps.get(label, {}).get(name)
        if old is not None and name in found and _worse(found[name], old, better, tolerance):
            return label
    return None


def incomparable(metrics: Metrics) -> list[str]:
    """Why a run's metrics are worth no comparison, a sentence each; empty: they can be compared."""
    if metrics.status == "failed":
        failure = metrics.failure
        step = f"step {failure.step}: " if failure and failure.step else ""
        why = step + failure.message if failure else "no reason recorded"
        return [_one_line(f"the run failed, so nothing can be compared: {why}")]
    failed = [proof for proof in metrics.proofs if proof.status == "failed"]
    return [_one_line(f"not verified: {proof.where}: {proof.why}") for proof in failed]


def _one_line(text: str) -> str:
    """Without what XML does not allow, and without line breaks: GitHub obeys a line that begins with `::`."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def read_baseline(path: Path) -> Baseline:
    """A baseline file.

    Raises:
        InputError: there is none, or it is not one.
    """
    baseline = read_record(path, Baseline, f"Make it: edgepipe accept RUN --baseline {path}")
    for name, expected in baseline.metrics.items():
        if name not in GATED:
            raise InputError(f"{path}: metrics.{name}: no metric that can be checked.{did_you_mean(name, GATED)}")
        if expected.better != GATED[name].better:
            raise InputError(
                f"{path}: metrics.{name}.better: '{expected.better}', but of {name} the {GATED[name].better} value is "
                "the better one. Put that in"
            )
    return baseline


def _number(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name in ("size_bytes", "gzip_bytes", "macs"):
        return f"{value:,.0f}"
    if name in ("mae", "r2", "cosine"):
        return f"{value:.4g}" if name == "mae" else f"{value:.4f}"
    return f"{value:.2f}x" if name.startswith("times_") else f"{100 * value:.2f}%"


def _said(item: Verdict) -> str:
    text = item.status.replace("_", " ")
    if item.step is not None:
        text += f", since step {item.step}"
    return text + (f" ({item.why})" if item.why else "")


def _sentence(item: Verdict) -> str:
    return (
        f"{item.name}: {_number(item.name, item.got)}, limit {_number(item.name, item.limit)}, "
        f"baseline {_number(item.name, item.expected)}: {_said(item)}"
    )


def github_annotations(metrics: Metrics, verdicts: list[Verdict]) -> str:
    """GitHub's workflow commands: an error for each regression, a notice for what was not judged."""
    said = [("error", text) for text in incomparable(metrics)]
    for item in verdicts:
        level = {"worse": "error", "missing": "error", "not_judged": "notice"}.get(item.status)
        if level is not None:
            said.append((level, _sentence(item)))
    lines = []
    for level, sentence in said:
        text = sentence.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        title = f"edgepipe {metrics.recipe}".replace("%", "%25").replace(",", "%2C").replace(":", "%3A")
        lines.append(f"::{level} title={title}::{text}\n")
    return "".join(lines)


def markdown(metrics: Metrics, verdicts: list[Verdict]) -> str:
    """The check as Markdown, for a pull request."""
    from edgepipe.report.table import markdown_rows, markdown_text

    reasons = incomparable(metrics)
    if reasons:
        return "".join(f"**{markdown_text(metrics.recipe)}: {markdown_text(reason)}**\n" for reason in reasons)
    rows = [
        (
            item.name,
            _number(item.name, item.expected),
            _number(item.name, item.limit),
            _number(item.name, item.got),
            _said(item),
        )
        for item in verdicts
    ]
    bad = sum(item.status in ("worse", "missing") for item in verdicts)
    title = f"{metrics.recipe}: " + (f"{bad} metric(s) worse than the baseline" if bad else "no regression")
    return (
        f"**{markdown_text(title)}**\n\n"
        + markdown_rows(("metric", "baseline", "limit", "this run", "verdict"), rows)
        + "\n"
    )


def junit(metrics: Metrics, verdicts: list[Verdict]) -> str:
    """The check as JUnit XML, which every CI system reads."""
    bad = [item for item in verdicts if item.status in ("worse", "missing")]
    reasons = incomparable(metrics)
    suite = ElementTree.Element(
        "testsuite",
        name=f"edgepipe.{metrics.recipe}",
        tests=str(len(verdicts) + len(reasons)),
        failures=str(len(bad) + len(reasons)),
        errors="0",
        skipped=str(sum(item.status == "not_judged" for item in verdicts)),
    )
    for reason in reasons:
        case = ElementTree.SubElement(suite, "testcase", classname=f"edgepipe.{metrics.recipe}", name="run")
        ElementTree.SubElement(case, "failure", message=reason)
    for item in verdicts:
        case = ElementTree.SubElement(suite, "testcase", classname=f"edgepipe.{metrics.recipe}", name=item.name)
        said = _sentence(item)
        if item in bad:
            ElementTree.SubElement(case, "failure", message=said)
        elif item.status == "not_judged":
            ElementTree.SubElement(case, "skipped", message=said)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise InputError(f"GITHUB_STEP_SUMMARY: {path}: cannot be written: {error.strerror or error}") from None


def main_check(argv: list[str]) -> int:
    """`edgepipe check RUN --baseline FILE`: 0 no regression, 1 a regression, 2 nothing to compare."""
    parser = Arguments("edgepipe check", description="Compare a run with a baseline; exit 1 on a regression.")
    parser.add_argument("run", type=Path, help="a run's folder, or its metrics.json")
    parser.add_argument("--baseline", type=Path, required=True, help="file made by `edgepipe accept`")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table as Markdown")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="also write JUnit XML")
    args = parser.read(argv)
    if args is None:
        return 0
    metrics, baseline = read_metrics(args.run), read_baseline(args.baseline)
    if metrics.recipe != baseline.recipe:
        raise InputError(
            f"{args.baseline}: recipe: it is for '{baseline.recipe}', the run is of '{metrics.recipe}'. "
            "Name the baseline of this recipe"
        )
    reasons = incomparable(metrics)
    verdicts = [] if reasons else compare(metrics, baseline)
    text = markdown(metrics, verdicts)
    PlainConsole(soft_wrap=True).print(text, markup=False, end="")
    if args.markdown:
        _write(args.markdown, text)
    if args.junit:
        _write(args.junit, junit(metrics, verdicts))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        sys.stdout.write(github_annotations(metrics, verdicts))
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        if summary:
            _append(Path(summary), text + "\n")
    return 1 if reasons or any(item.status in ("worse", "missing") for item in verdicts) else 0


def main_accept(argv: list[str]) -> int:
    """`edgepipe accept RUN --baseline FILE`: the run becomes what later runs are compared with."""
    parser = Arguments("edgepipe accept", description="Write or update a baseline from a run; tolerances are kept.")
    parser.add_argument("run", type=Path, help="a run's folder, or its metrics.json")
    parser.add_argument("--baseline", type=Path, required=True, help="the file to write")
    args = parser.read(argv)
    if args is None:
        return 0
    metrics = read_metrics(args.run)
    if metrics.status == "failed":
        raise InputError(f"{args.run}: status: the run failed; only a finished run can be accepted")
    if metrics.status == "not_verified":
        raise InputError(f"{args.run}: status: the deployed file answers differently elsewhere; make it right first")
    previous = read_baseline(args.baseline) if is_file(args.baseline) else None
    if previous is not None and previous.recipe != metrics.recipe:
        raise InputError(f"{args.baseline}: recipe: it is for '{previous.recipe}', the run is of '{metrics.recipe}'")
    baseline = accept(metrics, previous, str(args.run))
    _write(args.baseline, json.dumps(baseline.model_dump(mode="json"), indent=1) + "\n")
    PlainConsole(soft_wrap=True).print(f"{args.baseline}: {len(baseline.metrics)} metrics accepted", markup=False)
    return 0
