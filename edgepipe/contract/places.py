"""A place of proof: processors or runtimes that answer the same inputs as this machine."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from edgepipe.contract.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class PlaceAnswers:
    """What a processor answered.

    Attributes:
        outputs: by name, the first axis of each counts the examples.
        runtime: name and version.
        milliseconds: of each run; empty where an emulator's time would mean nothing.
    """

    outputs: dict[str, NDArray[Any]]
    runtime: str
    milliseconds: list[float] = field(default_factory=list)


Done = Callable[[int], None]
"""Called with the number of examples answered so far."""


class Processor(Protocol):
    """One processor or runtime of a place. `timed`: its milliseconds are real, taken while nothing else measures."""

    timed: ClassVar[bool]

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def threads(self) -> int:
        """Threads of the runtime."""
        ...

    def identity(self) -> dict[str, str]:
        """Versions of what answers: they are part of the key under which answers are stored."""
        ...

    def answer(self, model: Path, inputs: Path, count: int, work: Path, done: Done) -> PlaceAnswers:
        """Run the model on the first `count` examples.

        Args:
            inputs: folder of one `N.npy` for each input, (n, ...), and `inputs.json`: `inputs`, [{"name", "file",
                "type", "axis" (that counts examples, null: none), "stepped"}, ...]; `outputs`, [{"name", "axis" (null:
                of one run, all of it is one example's)}, ...]; `batch`, examples of a run; `steps`, runs of an example;
                `state`, {input: output that feeds it}.
            work: an empty folder.
        Raises:
            VerifyError: it cannot run there; says what the runtime said.
        """
        ...


class Place(Settings):
    """Base class of every place that `verify` names.

    Class attributes:
        installs: whether `edgepipe targets install` prepares it.
        timed: whether a processor of it has real times, so that a budget of them can be judged.
        page: whether it runs the page of a bundle, so that one made for it brings the page's runtime.
        remedy: what to say where outputs that must be bit-identical are not; "": nothing.
    """

    installs: ClassVar[bool] = False
    timed: ClassVar[bool] = False
    page: ClassVar[bool] = False
    remedy: ClassVar[str] = ""

    @abstractmethod
    def lacking(self) -> str | None:
        """What this machine lacks to verify there, and how to get it; None: nothing."""

    @abstractmethod
    def processors(self) -> Sequence[Processor]:
        """Where the model is run."""

    def install(self, say: Callable[[str], None]) -> Path:
        """Fetch what it needs beyond packages of the system; where that lies.

        Raises:
            VerifyError: it could not be fetched.
        """
        raise NotImplementedError
