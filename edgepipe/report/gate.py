"""The regression gate's verdicts as Markdown, JUnit XML and GitHub's annotations."""

from __future__ import annotations

from xml.etree import ElementTree

from edgepipe.records.figures import COSTS
from edgepipe.records.gate import Verdict, incomparable
from edgepipe.records.metrics import Metrics
from edgepipe.records.quality import TaskRecord
from edgepipe.report.answers import number_text
from edgepipe.report.table import markdown_rows, markdown_text


def _number(task: TaskRecord | None, name: str, value: float | None) -> str:
    if value is None:
        return "-"
    found = number_text(task, name, value)
    if found is not None:
        return found
    if name.startswith("int8_share."):
        return f"{100 * value:.2f}%"
    if name not in COSTS:  # of another task
        return f"{value:.4f}"
    return f"{value:.2f}x" if name.startswith("times_") else f"{value:,.0f}"


def _said(item: Verdict) -> str:
    text = item.status.replace("_", " ")
    if item.step is not None:
        text += f", since step {item.step}"
    return text + (f" ({item.why})" if item.why else "")


def _sentence(task: TaskRecord | None, item: Verdict) -> str:
    got, limit, expected = (_number(task, item.name, value) for value in (item.got, item.limit, item.expected))
    return f"{item.name}: {got}, limit {limit}, baseline {expected}: {_said(item)}"


def github_annotations(metrics: Metrics, verdicts: list[Verdict]) -> str:
    """GitHub's workflow commands: an error for each regression, a notice for what was not judged."""
    said = [("error", text) for text in incomparable(metrics)]
    for item in verdicts:
        level = {"worse": "error", "missing": "error", "not_judged": "notice"}.get(item.status)
        if level is not None:
            said.append((level, _sentence(metrics.task, item)))
    lines = []
    for level, sentence in said:
        text = sentence.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        title = f"edgepipe {metrics.recipe}".replace("%", "%25").replace(",", "%2C").replace(":", "%3A")
        lines.append(f"::{level} title={title}::{text}\n")
    return "".join(lines)


def markdown(metrics: Metrics, verdicts: list[Verdict]) -> str:
    """The check as Markdown, for a pull request."""
    reasons = incomparable(metrics)
    if reasons:
        return "".join(f"**{markdown_text(metrics.recipe)}: {markdown_text(reason)}**\n" for reason in reasons)
    rows = [
        (
            item.name,
            _number(metrics.task, item.name, item.expected),
            _number(metrics.task, item.name, item.limit),
            _number(metrics.task, item.name, item.got),
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
        said = _sentence(metrics.task, item)
        if item in bad:
            ElementTree.SubElement(case, "failure", message=said)
        elif item.status == "not_judged":
            ElementTree.SubElement(case, "skipped", message=said)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"
