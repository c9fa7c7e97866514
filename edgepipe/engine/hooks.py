"""Named moments of a run, and what hangs on them: progress for a person, the bundle, the report's page.

Tracking hangs on the last of them: `tracking.Tracked`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgepipe.base.files import is_folder
from edgepipe.plugins import find
from edgepipe.records.metrics import Metrics, StepRecord

if TYPE_CHECKING:
    from edgepipe.contract import Dataset
    from edgepipe.contract.artifact import Artifact
    from edgepipe.recipe.schema import Recipe


class Watcher(Protocol):
    """Whoever shows the run's progress to a person."""

    def begin(self, label: str, number: int, total: int) -> None:
        """A step starts."""

    def progress(self, share: float, text: str) -> None:
        """The current step has done `share` of its work, in [0, 1]."""

    def notice(self, text: str) -> None:
        """Something worth a line."""

    def done(self, record: StepRecord) -> None:
        """A step is finished and measured."""


class _Silent:
    def begin(self, label: str, number: int, total: int) -> None: ...
    def progress(self, share: float, text: str) -> None: ...
    def notice(self, text: str) -> None: ...
    def done(self, record: StepRecord) -> None: ...


SILENT: Watcher = _Silent()


class Hook:
    """Does something at moments of a run; a subclass overrides those that it needs."""

    def deployed(self, recipe: Recipe, artifact: Artifact, data: Dataset, final: Path) -> None:
        """`final`, a folder, holds a copy of the last step's artifact. What raises here fails the run."""

    def recorded(self, metrics: Metrics, folder: Path) -> None:
        """`folder/metrics.json` is written, of a failed run too. After an OSError here it says that the run failed."""

    def ended(self, metrics: Metrics, folder: Path) -> None:
        """All that the run writes is written. What raises here leaves it as it is."""


class Bundle(Hook):
    """What makes a model usable anywhere, beside it in `final/`."""

    def deployed(self, recipe: Recipe, artifact: Artifact, data: Dataset, final: Path) -> None:
        from edgepipe.bundle.build import build

        places = (*recipe.verify, *filter(None, [recipe.target.verify]))
        browser = any(find("places", name).page for name in places)
        libraries = recipe.model.settings.libraries
        task = None if recipe.task is None else recipe.task.settings
        build(final, recipe.name, artifact.signature, data, browser=browser, libraries=libraries, task=task)


class Page(Hook):
    """report.html, and the model card in the bundle."""

    def recorded(self, metrics: Metrics, folder: Path) -> None:
        from edgepipe.report.card import model_card
        from edgepipe.report.html import write_report

        write_report(metrics, folder / "report.html")
        final = folder / "final"
        if is_folder(final):
            from edgepipe.bundle.manifest import read_bundle, seal_bundle
            from edgepipe.contract.artifact import open_artifact

            card = model_card(metrics, open_artifact(final, verify=False).signature)
            (final / "README.md").write_text(card, encoding="utf-8")
            seal_bundle(final, read_bundle(final))  # the card is part of it
