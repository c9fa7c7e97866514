"""Training after each step of a schedule: what it says of itself, and where it resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgepipe.contract import Job
from edgepipe.training import training
from edgepipe.training.recovery import Recovery
from edgepipe.training.settings import TrainingSettings


def test_each_step_resumes_in_its_own_folder_and_its_words_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = []

    def train(_: Any, settings: TrainingSettings, job: Job, __: Any) -> list[dict[str, float]]:
        states.append(job.state)
        job.progress(0.5, "halfway")
        job.add("notes", "slow")
        job.facts["epochs_of_it"] = settings.epochs
        return [{"epoch": 1, "loss": 0.5}]

    monkeypatch.setattr(training, "train", train)
    said = []
    job = Job(tmp_path, tmp_path / "state", None, 0, "prune", progress=lambda share, text: said.append((share, text)))
    model: Any = type("Model", (), {"signature": None})
    for number in (0, 1):
        assert Recovery(epochs=3).run(None, model, job, number, 2) == [{"epoch": 1, "loss": 0.5}]
    assert states == [tmp_path / "state" / "step0", tmp_path / "state" / "step1"]
    assert [text for _, text in said] == ["recovery 1/2: halfway", "recovery 2/2: halfway"]
    assert [share for share, _ in said] == pytest.approx([0.325, 0.825])
    assert job.facts == {
        "curve": [{"epoch": 1, "loss": 0.5}] * 2,
        "recoveries": [{"epochs_of_it": 3}] * 2,
        "notes": ["recovery 1: slow", "recovery 2: slow"],
    }
