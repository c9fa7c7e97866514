"""Who hangs on a run is called at its moments, and may end it badly only where nothing is published yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgepipe.engine.hooks import Bundle, Hook, Page
from edgepipe.engine.run import run
from edgepipe.recipe.compose import compose
from edgepipe.records.metrics import Metrics, read_metrics
from tests.small import arguments


class Listening(Hook):
    """Notes what it is told and what lies in the run's folder then; raises at the moments that it is made for."""

    def __init__(self, **raises: BaseException) -> None:
        self.heard: list[tuple[str, set[str]]] = []
        self.raises = raises

    def _hear(self, moment: str, folder: Path) -> None:
        self.heard.append((moment, {path.name for path in folder.iterdir()}))
        if moment in self.raises:
            raise self.raises[moment]

    def deployed(self, recipe: Any, artifact: Any, data: Any, final: Path) -> None:
        del recipe, artifact, data
        self._hear("deployed", final.parent)

    def recorded(self, metrics: Metrics, folder: Path) -> None:
        del metrics
        self._hear("recorded", folder)

    def ended(self, metrics: Metrics, folder: Path) -> None:
        del metrics
        self._hear("ended", folder)


def done(folder: Path, *hooks: Hook) -> Metrics:
    """A run of one step, the model loaded."""
    recipe, plan = compose(arguments(folder, "~passes.quantize", "~passes.export"))
    return run(recipe, plan, folder / "run", hooks=hooks).metrics


def test_moments_come_in_order_and_find_what_they_promise(tmp_path: Path) -> None:
    hook = Listening()
    assert done(tmp_path, Bundle(), Page(), hook).status == "ok"
    assert [moment for moment, _ in hook.heard] == ["deployed", "recorded", "ended"]
    assert [{"final", "metrics.json", "report.html"} & there for _, there in hook.heard] == [
        {"final"},
        {"final", "metrics.json", "report.html"},
        {"final", "metrics.json", "report.html"},
    ]
    assert {path.name for path in (tmp_path / "run" / "final").iterdir()} >= {"bundle.json", "README.md", "model.onnx"}


def test_a_bundle_that_cannot_be_made_fails_the_run_and_leaves_no_half(tmp_path: Path) -> None:
    hook = Listening(deployed=OSError("no place"))
    metrics = done(tmp_path, hook)
    assert metrics.status == "failed"
    assert [moment for moment, _ in hook.heard] == ["deployed", "recorded", "ended"]
    assert not (tmp_path / "run" / "final").exists()


@pytest.mark.parametrize("error", [OSError("no place"), KeyboardInterrupt()])
def test_a_page_that_cannot_be_written_makes_the_record_that_of_a_failed_run(
    tmp_path: Path, error: BaseException
) -> None:
    with pytest.raises(type(error)):
        done(tmp_path, Listening(recorded=error))
    assert read_metrics(tmp_path / "run").status == "failed"
    assert not (tmp_path / "run" / "final").exists()


def test_what_fails_at_the_end_leaves_a_good_run_good(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        done(tmp_path, Bundle(), Listening(ended=KeyboardInterrupt()))
    assert read_metrics(tmp_path / "run").status == "ok"
    assert (tmp_path / "run" / "final" / "model.onnx").is_file()
