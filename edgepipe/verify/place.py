"""What a place of verification is: another processor or runtime that answers the same inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from numpy.typing import NDArray


@dataclass(frozen=True)
class Answers:
    """What a place answered.

    Attributes:
        outputs: float32, (n, ...), the model's first output.
        runtime: name and version.
        milliseconds: of each run; empty where an emulator's time would mean nothing.
    """

    outputs: NDArray[Any]
    runtime: str
    milliseconds: list[float] = field(default_factory=list)


Done = Callable[[int], None]
"""Called with the number of examples answered so far."""


class Place(Protocol):
    """One processor or runtime. `timed`: its milliseconds are real ones, taken while nothing else measures here."""

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

    def answer(self, model: Path, inputs: Path, count: int, work: Path, done: Done) -> Answers:
        """Run the model on the first `count` examples of an .npy file; `work` is an empty folder.

        Raises:
            VerifyError: it cannot run there; says what the runtime said.
        """
        ...


class Target(Protocol):
    """What a name in `verify:` stands for."""

    def lacking(self) -> str | None:
        """What this machine lacks to verify it, and how to get it; None: nothing."""
        ...

    def places(self) -> list[Place]:
        """Where the model is run."""
        ...
