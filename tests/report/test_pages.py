"""The pages: self-contained, complete, and safe against what a recipe or data set may call itself."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edgepipe.__main__ import main
from edgepipe.plugins import find
from edgepipe.records.metrics import Metrics, WrongAnswer
from edgepipe.records.quality import TaskRecord
from edgepipe.report.card import model_card
from edgepipe.report.html import write_report
from edgepipe.report.svg import Dot, scatter
from edgepipe.report.sweep import _names, pareto, write_sweep
from edgepipe.report.table import markdown_table
from tests.small import arguments


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    assert main(arguments(folder, f"hydra.run.dir={folder}/run")) == 0
    return folder / "run"


class _Balanced(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "rect", "path", "polyline", "circle", "br"):
            self.open.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None: ...

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_is_one_self_contained_page(run: Path) -> None:
    text = (run / "report.html").read_text()
    parser = _Balanced()
    parser.feed(text)
    assert parser.open == []
    found = Metrics.model_validate_json((run / "metrics.json").read_text())
    curve = [{"epoch": epoch, "loss": 1 / epoch, "accuracy": 0.5, "seconds": 1.0} for epoch in (1, 2, 3)]
    told = found.final.model_copy(update={"by_class": {"IoU": {"<b>sky": 0.25, "road": 0.5}}}) if found.final else None
    trained = [step.model_copy(update={"facts": {"curve": curve}}) for step in found.passes]
    write_report(found.model_copy(update={"passes": trained, "final": told}), run / "trained.html")
    parser.feed((run / "trained.html").read_text())
    assert "&lt;b&gt;sky" in (run / "trained.html").read_text()
    assert parser.open == []
    assert [load for load in parser.loads if not load.startswith("data:")] == []
    assert "http" not in re.sub(r"<style>.*?</style>", "", text, flags=re.S)
    for part in ("What each step cost and bought", "Audit of export", "Layers", "Where it comes from", "QLinearConv"):
        assert part in text


def test_names_from_outside_are_escaped(run: Path, tmp_path: Path) -> None:
    found = Metrics.model_validate_json((run / "metrics.json").read_text())
    evil = "<script>alert(1)</script>"
    steps = [
        step.model_copy(
            update={
                "findings": [evil],
                "wrong": [WrongAnswer(index=0, label=evil, answer=evil, picture_png='"><blink>')],
            }
        )
        for step in found.passes
    ]
    evil_run = found.model_copy(update={"recipe": evil, "passes": steps, "overrides": [evil]})
    write_report(evil_run, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "<script" not in text
    assert "<blink>" not in text


def test_markdown_shows_names_from_outside_as_they_are(run: Path) -> None:
    found = Metrics.model_validate_json((run / "metrics.json").read_text())
    evil = "<b>x</b> [a](http:) `c` *d* __e__ f_g | $h$ ~~i~~\nj"
    shown = r"&lt;b&gt;x&lt;/b&gt; \[a\](http:) \`c\` \*d\* \_\_e\_\_ f_g \| \$h\$ \~\~i\~\~ j"
    steps = [step.model_copy(update={"findings": [evil], "label": evil}) for step in found.passes]
    told = model_card(found.model_copy(update={"recipe": evil, "passes": steps}), None)
    assert told.startswith(f"# {shown}\n")
    assert f"- {shown}: {shown}\n" in told
    assert f"| {shown} |" in told
    assert evil[:8] not in told and evil[9:18] not in told


def test_the_card_says_how_to_feed_the_model_and_names_every_file(run: Path) -> None:
    card = (run / "final" / "README.md").read_text()
    found = Metrics.model_validate_json((run / "metrics.json").read_text())
    assert "## How to feed it" in card
    assert found.files
    for name, digest in found.files.items():
        assert f"| `{name}` | `{digest}` |" in card


def test_the_markdown_table_has_a_row_for_each_step(run: Path) -> None:
    found = Metrics.model_validate_json((run / "metrics.json").read_text())
    rows = [line for line in markdown_table(found).splitlines() if line.startswith("| ")]
    assert [row.split("|")[1].strip() for row in rows] == ["step", "load", "quantize", "export"]
    assert len({row.count("|") for row in rows}) == 1


def test_report_verb_writes_the_page_again(run: Path) -> None:
    before = (run / "report.html").read_text()
    (run / "report.html").unlink()
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").read_text() == before


def test_compare_puts_runs_on_one_page(run: Path, tmp_path: Path) -> None:
    assert main(["compare", str(run), str(run / "metrics.json"), "--out", str(tmp_path / "c")]) == 0
    assert {path.name for path in (tmp_path / "c").iterdir()} == {
        ".edgepipe",
        "sweep.html",
        "sweep.json",
        "sweep.csv",
        "sweep.md",
    }
    assert main(["compare", str(tmp_path)]) == 2


def test_pareto_keeps_what_nothing_beats_in_both() -> None:
    def run(task: str, value: float, ms: float) -> dict[str, object]:
        score = {"value": value, "ci95": None, "better": "higher", "unit": ""}
        return {"task": {"name": task}, "final": {"quality": {"good": score}, "ms": ms}}

    runs = [run("a", *each) for each in [(0.9, 3.0), (0.8, 1.0), (0.7, 2.0), (0.9, 3.0)]]
    assert pareto([*runs, {"final": None}], "ms") == [True, True, False, True, False]
    assert pareto([*runs, run("b", 0.1, 9.0)], "ms")[-1]  # another task's measure beats nothing


def test_a_learning_curve_draws_validation_beside_training(run: Path, tmp_path: Path) -> None:
    found = Metrics.model_validate_json((run / "metrics.json").read_text())
    curve = [{"epoch": i, "loss": 2 - i / 2, "validation_loss": 2.0, "seconds": 1.0} for i in (1, 2)]
    steps = [step.model_copy(update={"facts": {"curve": curve}}) for step in found.passes[:1]]
    write_report(found.model_copy(update={"passes": steps}), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    section = text[text.index("Learning curve: load") :]
    chart = section[section.index("<svg") : section.index("</svg>")]
    assert chart.count("<polyline") == 2
    assert ">validation loss</text>" in chart
    assert 'aria-label="validation' not in section  # no second chart for it


def test_a_learning_curve_of_one_epoch_is_told_in_words(run: Path, tmp_path: Path) -> None:
    found = Metrics.model_validate_json((run / "metrics.json").read_text())
    curve = [{"epoch": 1, "loss": 1.25, "validation_accuracy": 0.5, "seconds": 1.0}]
    steps = [step.model_copy(update={"facts": {"curve": curve}}) for step in found.passes[:1]]
    write_report(found.model_copy(update={"passes": steps}), tmp_path / "page.html")
    assert "<p>One epoch: loss 1.25, validation accuracy 0.5.</p>" in (tmp_path / "page.html").read_text()


def test_compared_runs_of_equal_names_and_odd_folders_are_told_apart_and_linked(run: Path, tmp_path: Path) -> None:
    found = Metrics.model_validate_json((run / "metrics.json").read_text())
    runs = []
    for name in ("a #1?", "b"):
        (tmp_path / name / "run").mkdir(parents=True)
        runs.append((["recipe=ptq"], found, tmp_path / name / "run"))
    write_sweep(runs, tmp_path)
    records = json.loads((tmp_path / "sweep.json").read_text())["runs"]
    assert len({record["name"] for record in records}) == 2
    page = (tmp_path / "sweep.html").read_text()
    assert page.count('href="a%20%231%3F/run/report.html"') == 4  # the table and three scatters


def test_a_drop_of_accuracy_is_said_in_points() -> None:
    from edgepipe.records.metrics import GoalResult
    from edgepipe.report.table import goal_line

    result = GoalResult(name="accuracy_drop", wanted=0.01, got=0.0011, met=True, margin=0.0089)
    task = TaskRecord.of("classification", find("tasks", "classification"))
    assert goal_line(result, task) == "top-1 drop: +0.11 points, goal 1.00 points: met, 0.89 points to spare"
    assert goal_line(result) == "accuracy_drop: 0.0011, goal 0.01: met, 0.0089 to spare"
    missed = GoalResult(name="top1", wanted=0.9, got=0.5, met=False, margin=-0.4)
    assert goal_line(missed, task) == "top-1: 50.00%, goal 90.00%: MISSED, 40.00% short"


def test_overrides_too_long_for_a_terminal_give_way_to_the_folder() -> None:
    long = f"model.weights={'x' * 120}"
    assert _names([([long, "seed=1"], None, Path("a/0")), ([long, "seed=2"], None, Path("a/1"))]) == [
        "seed=1",
        "seed=2",
    ]
    assert _names([([long], None, Path("a/0")), (["seed=2"], None, Path("a/1"))]) == ["0", "seed=2"]
    assert _names([([long], None, Path("a/0"))]) == ["0"]


def test_names_of_points_in_one_place_do_not_lie_over_each_other() -> None:
    names = [f"passes.prune.ratio=0.{number} seed=1" for number in range(6)]
    dots = [Dot(1.0, 2.0, name, "report.html", name == names[5]) for name in names]
    drawn = scatter(dots, x_title="ms", y_title="top-1, %")
    assert drawn.count("<circle") == 6
    assert drawn.count('class="name"') == 4  # right and left, above and below
    assert ">ratio=0.5 seed=1</text>" in drawn  # the front's name first
    assert "<title>passes.prune.ratio=0.0 seed=1</title>" in drawn


@pytest.mark.parametrize("name", ["agreement", "classification", "embedding", "multilabel", "regression"])
def test_every_tasks_page_and_table_say_its_own_measures(name: str, run: Path, tmp_path: Path) -> None:
    task = TaskRecord.of(name, find("tasks", name))
    headline = task.measures[0]
    scores = {each.name: {"value": 0.75, "ci95": (0.7, 0.8), "better": each.better} for each in task.measures}
    drops = {each.name: {"drop": 0.0125, "ci95": (0.01, 0.02)} for each in task.measures}
    content = json.loads((run / "metrics.json").read_text()) | {"task": task}
    for step in (*content["passes"], {"measurements": content["final"], "versus_baseline": content["versus_baseline"]}):
        step["measurements"]["quality"] = scores
        step["versus_baseline"]["quality"] = drops
    line = {"name": headline.name, "wanted": 0.5, "got": 0.75, "margin": 0.25, "met": True}
    proof = {"target": "arm64", "place": "A72", "examples": 9, "alike": 1.0, "quality": {headline.name: 0.75}}
    found = Metrics.model_validate(content | {"goal": [line], "proofs": [proof]})
    text = markdown_table(found)
    assert f"| step | {headline.title} | drop (95%) |" in text
    assert f"{headline.title}: {headline.text(0.75)}, goal {headline.text(0.5)}: met" in text
    assert f"| {headline.title} there | {headline.title} here | alike |" in text
    write_report(found, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    for measure in task.measures:
        assert f">{measure.title}</span>" in page
        assert (f"<th>{measure.title}</th>" in page) == measure.column
        assert f"- {measure.title}: {measure.text(0.75)} on " in model_card(found, None)
    parser = _Balanced()
    parser.feed(page)
    assert parser.open == []
    write_sweep([(["recipe=ptq"], found, tmp_path / "run")], tmp_path)
    assert f"| run | status | {headline.title} | drop (95%) |" in (tmp_path / "sweep.md").read_text()
    assert headline.change_name in (tmp_path / "sweep.csv").read_text().splitlines()[0].split(",")
