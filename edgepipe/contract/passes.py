"""The pass contract: a pure function from an artifact to a new artifact.

A pass is a frozen pydantic model (its settings) with an `apply` method. It never touches its input
and keeps no state; what it needs besides (data, seed, a scratch folder) comes in the `Job`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import JsonValue

from edgepipe.contract.artifact import Artifact, Kind, seal
from edgepipe.contract.data import Dataset, Split
from edgepipe.contract.settings import Settings
from edgepipe.contract.signature import Signature, one_input
from edgepipe.contract.target import Target
from edgepipe.contract.tasks import Task
from edgepipe.contract.traits import BESIDE

Progress = Callable[[float, str], None]
"""`progress(share_done in [0, 1], text)`; called by passes as often as they like."""


def _no_progress(share: float, text: str) -> None:
    """Progress for whoever does not watch."""


@dataclass(frozen=True)
class Job:
    """What a pass is given beside its input.

    Attributes:
        out: empty folder, into which the pass writes the files of its result.
        state: folder that survives a killed run, for resumable training state; keyed by the step.
        data: the recipe's data.
        seed: seed of every random choice the pass makes.
        label: the step's label in the recipe, for messages.
        progress: report of the share done; cheap to call.
        facts: what the pass found out (a ratio it achieved, a learning curve); JSON values only,
            stored beside the artifact and shown in metrics.json and the report.
        teacher: the recipe's baseline artifact, where a pass needs the float model (distillation).
        alone: entered while time is measured: nothing else on this machine measures meanwhile.
        task: says what the model's outputs mean.
    """

    out: Path
    state: Path
    data: Dataset
    seed: int
    label: str
    progress: Progress = _no_progress
    facts: dict[str, JsonValue] = field(default_factory=dict)
    teacher: Artifact | None = None
    alone: Callable[[], AbstractContextManager[None]] = nullcontext
    task: Task | None = None

    def add(self, fact: str, *items: JsonValue) -> None:
        """Append to the list that a fact is: notes, a learning curve."""
        known = self.facts.setdefault(fact, [])
        assert isinstance(known, list)
        known.extend(items)

    def seal(self, kind: Kind, signature: Signature) -> Artifact:
        """Close `out` as an artifact of `kind`."""
        return seal(self.out, kind, signature)


class Pass(Settings):
    """Base class of every pass. Subclasses declare settings as pydantic fields with descriptions.

    Class attributes:
        reads, writes: the kind of artifact taken and returned.
        data: splits whose content the result may depend on; those of `splits()` enter the cache key.
        libraries: distributions whose versions the result depends on; they enter the cache key.
        needs_teacher: whether `Job.teacher` (the baseline) is used; its digest enters the cache key.
        timed: whether the result holds times measured here; the machine enters the cache key.
        requires, provides, removes: traits, see `contract.traits`; for some settings only: `needs` and `traits`.
    """

    reads: ClassVar[Kind]
    writes: ClassVar[Kind]
    data: ClassVar[tuple[Split, ...]] = ()
    libraries: ClassVar[tuple[str, ...]] = ()
    needs_teacher: ClassVar[bool] = False
    timed: ClassVar[bool] = False
    requires: ClassVar[tuple[str, ...]] = ()
    provides: ClassVar[tuple[str, ...]] = ()
    removes: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def apply(self, model: Artifact, job: Job) -> Artifact:
        """Write the new model into `job.out` and return it sealed.

        Raises:
            PassError: the pass cannot do its work on this model; the message says why and the remedy.
        """

    def splits(self) -> tuple[Split, ...]:
        """Splits that these settings depend on; `data` unless a subclass needs fewer for some settings."""
        return self.data

    def uses(self) -> tuple[Settings, ...]:
        """Plug-ins that these settings name, as formats: their code and libraries enter the cache key too."""
        return ()

    def learns(self) -> bool:
        """Whether these settings need the train split's labels and the task's loss; asked before the first step."""
        return False

    def one_class_only(self) -> bool:
        """Whether these settings can only learn where each example has one class (`Task.one_class`)."""
        return False

    def needs(self) -> dict[str, str]:
        """Traits that the model must have, each with the setting that asks for it, as in `scope=latency`; else ""."""
        return dict.fromkeys(self.requires, "")

    def traits(self, before: frozenset[str]) -> frozenset[str]:
        """Traits of the result, of a model that had those `before`."""
        return (before - BESIDE - frozenset(self.removes)) | frozenset(self.provides)

    def behind(self, before: Pass | None) -> str | None:
        """What is wrong with standing directly behind `before` (None: behind no pass), in a sentence; None: nothing."""
        del before
        return None

    def problems(self) -> list[tuple[str, str]]:
        """(setting, sentence) of what is named and exists nowhere; asked before the first step that is computed."""
        return []

    def misfits(self, input_shape: tuple[int, ...]) -> list[tuple[str, str]]:
        """(setting, sentence) of what does not take examples of this shape; asked as `problems` is."""
        del input_shape
        return []

    def on_target(self, target: Target) -> list[str]:
        """What of this step will be slow or in vain on the target, in sentences, told before anything runs."""
        del target
        return []

    def inputs_misfit(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """(setting, sentence) of what does not take networks with inputs of these names; asked as `problems` is.

        Networks of kind torch have one.
        """
        return [("pass", one_input(names))] if self.reads is Kind.TORCH and len(names) > 1 else []

    def settings(self) -> dict[str, Any]:
        """The settings as JSON values, defaults included; part of the cache key."""
        return self.model_dump(mode="json")
