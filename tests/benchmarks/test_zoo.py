"""The table of the world: no row gets worse, a killed run goes on, and what hangs is ended."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.results_file import FOLDER, read
from benchmarks.zoo.__main__ import main, run_all
from benchmarks.zoo.brought import numbers, pictures, signals, tokens
from benchmarks.zoo.one import run
from benchmarks.zoo.outcome import Outcome, Row, cells, summary, worse
from benchmarks.zoo.world import by_name

RECORDED = FOLDER / "zoo-world.json"
PACKAGES = Path(__file__).parents[3] / "pkgs"
HANDFUL = {"free height and width": 0.35, "YOLO head, boxes and scores in one": 0.35}
"""A graph that stays open, and tensors of different scales; each with the most bytes left."""


KINDS = {"torchvision", "timm", "text", "transformers", "detection", "segmentation", "recurrent", "control flow"}


def recorded() -> dict[str, list[str]]:
    """Rows of the last recording by their network; none, where nothing was recorded yet."""
    return {row[0]: row for row in read(RECORDED).rows} if RECORDED.is_file() else {}


@pytest.mark.parametrize(("name", "most_bytes"), HANDFUL.items())
def test_a_network_of_its_kind_becomes_small_and_answers_as_before(
    name: str, most_bytes: float, tmp_path: Path
) -> None:
    row = run(by_name()[name], tmp_path / "it", 0)
    log = (tmp_path / "it" / "log.txt").read_text()
    found = row.chains["int8"]
    assert found.verdict in ("helps", "works"), log  # which of the two, no test of seconds may say
    assert found.kept is not None and found.kept > 0.98 and found.smaller is not None
    assert found.smaller > 1 / most_bytes
    assert not (tmp_path / "it" / "work").exists()
    known = recorded().get(name)
    assert known is None or worse(known, cells(row)) == [], log


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.skipif(not RECORDED.is_file(), reason="no table recorded: python -m benchmarks.record zoo-world")
def test_no_row_of_the_table_gets_worse(tmp_path: Path) -> None:
    packages = PACKAGES if PACKAGES.is_dir() else None
    world, known = by_name(packages), recorded()
    there = {name: network for name, network in world.items() if name in known}
    assert {known[name][1] for name in known.keys() - there.keys()} <= {"packages"}
    rows = run_all(there, tmp_path, packages, 0, 600, again=False, jobs=max(1, (os.cpu_count() or 1) // 2))
    found = {row.name: worse(known[row.name], cells(row)) for row in rows}
    assert {name: said for name, said in found.items() if said} == {}


def test_there_are_at_least_sixty_networks_of_many_kinds_without_any_package() -> None:
    world = by_name(Path(__file__).parent)
    assert len(world) >= 60
    assert {network.family for network in world.values()} >= KINDS


def row(verdict: str, kept: float, smaller: float, faster: float, why: str = "") -> list[str]:
    outcome = Outcome.model_validate(
        {"verdict": verdict, "kept": kept, "smaller": smaller, "faster": faster, "why": why}
    )
    return cells(Row(name="n", family="f", megabytes=1.5, chains={"int8": outcome, "cut": outcome}))


def test_what_got_worse_is_told_and_noise_of_speed_is_not() -> None:
    was = row("helps", 0.99, 3.5, 1.5)
    assert worse(was, was) == [] == worse(was, row("works", 0.97, 3.4, 1.1))
    assert worse(was, row("off", 0.5, 3.5, 1.5))[0] == "outcome: helps -> off"
    assert worse(was, row("refused", 0.99, 3.5, 1.5, "why"))[1] == "cut and int8: helps -> refused why"
    assert worse(was, row("helps", 0.9, 3.0, 0.8))[:3] == [
        "kept: 0.990 -> 0.900",
        "smaller: 3.50x -> 3.00x",
        "faster: 1.50x -> 0.80x",
    ]
    assert worse(row("refused", 0, 1, 1), was) == []


def test_a_run_that_ended_is_called_by_what_it_kept_saved_and_cost() -> None:
    assert Outcome.measured(0.99, 3.5, 1.2, 1).verdict == "helps"
    assert Outcome.measured(0.99, 3.5, 0.8, 1).verdict == "works" == Outcome.measured(0.99, 1.0, 1.0, 1).verdict
    assert Outcome.measured(0.3, 3.5, 1.2, 1).verdict == "off"


def test_a_network_that_is_there_is_not_run_again_and_one_without_an_end_is_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = next(iter(HANDFUL))
    world = {name: by_name()[name]}
    (ended,) = run_all(world, tmp_path, None, 0, 0.01, again=False, jobs=1)
    assert ended.chains["int8"].verdict == "failed" and "no end within 0.01 s" in ended.chains["int8"].why
    folder = tmp_path / "free_height_and_width"
    folder.mkdir(exist_ok=True)
    (folder / "row.json").write_text(ended.model_dump_json())
    assert main(["--out", str(tmp_path), "--only", name]) == 1  # at once, from its file
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0].startswith("| network | kind |") and f"| {name} | onnx |" in shown.out
    assert "1 through int8 alone: 1 failed." in shown.err and "1 failed" in summary([ended])
    with pytest.raises(SystemExit):
        main(["--only", "no such"])


@pytest.mark.parametrize("made", [pictures(3, 8, 8), signals(2, 40), numbers(x=(4,)), tokens(50, 12, types=True)])
def test_examples_are_those_of_their_seed_and_differ(made: object) -> None:
    first, again, other = (made(seed, 6) for seed in (1, 1, 2))  # type: ignore[operator]
    for key, value in first.items():
        assert len(value) == 6 and np.array_equal(value, again[key])
    key = next(iter(first))
    assert not np.array_equal(first[key], other[key]) and not np.array_equal(first[key][0], first[key][1])


def test_a_settled_network_answers_each_example_otherwise() -> None:
    import torch

    from benchmarks.zoo.own import plain
    from benchmarks.zoo.settled import settle

    torch.manual_seed(0)
    network = plain()
    values = torch.from_numpy(pictures(3, 32, 32)(0, 16)["images"])
    settle(network, values)
    with torch.no_grad():
        answers = network(torch.from_numpy(pictures(3, 32, 32)(1, 16)["images"]))
    assert float(answers.std(0).mean()) > 0.3
    assert not network.training and all(not module.training for module in network.modules())
