"""Where a network comes from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import JsonValue

from edgepipe.contract.artifact import Artifact, Kind
from edgepipe.contract.guess import Guess
from edgepipe.contract.passes import Job
from edgepipe.contract.settings import Settings
from edgepipe.contract.signature import Signature, Tensor, one_input
from edgepipe.errors import ModelError


class ModelSource(Settings):
    """Base class of every source of models; its fields are settings of the recipe's `model`.

    Class attributes:
        kind: the kind of artifact that loading gives, where `gives` does not say otherwise.
        libraries: distributions whose versions the result depends on; they enter the cache key.
    """

    kind: ClassVar[Kind]
    libraries: ClassVar[tuple[str, ...]] = ()
    # Whether the result is compared with its source on evaluation inputs, which then enter the cache key.
    compares: ClassVar[bool] = False
    # Settings whose content `digests` covers: the same file is the same model wherever it lies.
    located: ClassVar[frozenset[str]] = frozenset({"path", "weights"})

    @abstractmethod
    def digests(self) -> dict[str, JsonValue]:
        """What the loaded network depends on besides the settings: digests of files and code; quick."""

    def gives(self) -> Kind:
        """The kind of artifact that loading gives with these settings; imports nothing to know it."""
        return self.kind

    def takes_pixels(self) -> bool:
        """Whether the network takes whole numbers: of pictures the bytes that they are, not normalized floats."""
        return False

    def problems(self) -> list[tuple[str, str]]:
        """(setting, sentence) of what is named and exists nowhere; asked before the first step that is computed."""
        return []

    def misfits(self, input_shape: tuple[int, ...]) -> list[tuple[str, str]]:
        """(setting, sentence) of what does not take examples of this shape; asked as `problems` is."""
        del input_shape
        return []

    def inputs_misfit(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """(setting, sentence) of what gives no networks with inputs of these names; asked as `problems` is.

        Networks of kind torch have one.
        """
        return [("source", one_input(names))] if self.gives() is Kind.TORCH and len(names) > 1 else []

    @classmethod
    def network(cls, base: Mapping[str, Any]) -> Any:
        """The torch network, before any edit and with any weights, of an artifact that this source wrote.

        Args:
            base: what the source wrote as the `base` of its architecture; it may come from somebody else's store.
        Raises:
            ModelError: it names what this source may not build.
        """
        del base
        raise ModelError(f"{cls.__name__} gives no torch networks")

    @classmethod
    def guess(cls, given: str) -> Guess | None:
        """What this source would make of a file, a folder or a name of a network; None: it is none of its own."""
        del given
        return None

    @classmethod
    def names(cls) -> Sequence[str]:
        """Networks that it knows by name, for who mistypes one."""
        return ()

    def takes(self) -> tuple[Tensor, ...]:
        """What the network takes, for one example each, where its file says so at a glance; else nothing."""
        return ()

    @abstractmethod
    def load(self, out: Path, signature: Signature, seed: int, job: Job | None = None) -> Artifact:
        """Write the network into `out` and return it sealed.

        Args:
            job: gives a converted model real examples to be compared on, and takes its facts.

        Raises:
            ModelError: the network or its weights cannot be used.
        """
