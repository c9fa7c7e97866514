"""metrics.json says how a run ended, whenever and however it did."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from edgepipe.engine.record import Account, describe, no_place, withdraw
from edgepipe.recipe.compose import compose
from edgepipe.records.metrics import Failure, StepRecord, read_metrics
from tests.small import arguments


@pytest.fixture
def account(tmp_path: Path) -> Account:
    recipe, plan = compose(arguments(tmp_path))
    (tmp_path / "run" / "final").mkdir(parents=True)
    return Account(recipe, plan, tmp_path / "run", ["recipe=ptq"])


def test_a_run_that_ends_before_anything_is_open_has_a_record_and_no_model(account: Account) -> None:
    account.write(Failure(step=None, error="InputError", message="no such https://me:secret@host/x"))
    found = read_metrics(account.folder)
    assert found.status == "failed"
    assert found.failure is not None
    assert "secret" not in found.failure.message
    assert [(step.label, step.status) for step in found.passes] == [
        ("load", "not_run"),
        ("quantize", "not_run"),
        ("export", "not_run"),
    ]
    assert not (account.folder / "final").exists()


def test_the_step_at_work_has_failed_whether_it_was_on_record_already_or_not(account: Account) -> None:
    account.records.append(StepRecord.model_validate({"label": "load", "pass": "load"}))
    failure = Failure(step="quantize", error="PassError", message="no")
    account.label = "quantize"
    assert [step.status for step in account.metrics(failure).passes] == ["ok", "failed", "not_run"]
    account.label = "load"
    assert [step.status for step in account.metrics(failure).passes] == ["failed", "not_run", "not_run"]


def test_a_record_is_withdrawn_with_all_that_was_published(account: Account) -> None:
    metrics = account.write(None)
    (account.folder / "report.html").write_text("x")
    withdraw(metrics, account.folder, OSError(errno.EACCES, "Permission denied"))
    assert [path.name for path in account.folder.iterdir()] == ["metrics.json"]
    failure = read_metrics(account.folder).failure
    assert failure is not None
    assert failure.message.endswith("Permission denied. Choose a writable folder with hydra.run.dir=DIR")


def test_a_full_disk_is_told_with_its_folder(tmp_path: Path) -> None:
    assert "hydra.run.dir" in no_place(OSError(errno.ENOSPC, "No space left on device"), tmp_path)


def test_a_recipe_as_plain_values_names_its_passes_and_sources(account: Account) -> None:
    plain = describe(account.recipe)
    assert plain["passes"]["quantize"]["pass"] == "quantize_static"
    assert (plain["model"]["source"], plain["data"]["source"]) == ("onnx", "npz")
