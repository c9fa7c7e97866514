"""Base of the model sources' settings; imports neither torch nor onnx."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from pydantic import JsonValue

from edgepipe.base.files import is_file
from edgepipe.contract import Job
from edgepipe.contract.artifact import Artifact, Kind, Signature, file_sha256
from edgepipe.contract.settings import Settings


class ModelSettings(Settings):
    """Where a network comes from. `kind` is the kind of artifact that loading gives."""

    kind: ClassVar[Kind]
    libraries: ClassVar[tuple[str, ...]] = ()
    # Whether the result is compared with its source on evaluation inputs, which then enter the cache key.
    compares: ClassVar[bool] = False
    # Settings whose content `digests` covers: the same file is the same model wherever it lies.
    located: ClassVar[frozenset[str]] = frozenset({"path", "weights"})

    @abstractmethod
    def digests(self) -> dict[str, JsonValue]:
        """What the loaded network depends on besides the settings: digests of files and code; quick."""

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

    @abstractmethod
    def load(self, out: Path, signature: Signature, seed: int, job: Job | None = None) -> Artifact:
        """Write the network into `out` and return it sealed.

        Args:
            job: gives a converted model real examples to be compared on, and takes its facts.

        Raises:
            ModelError: the network or its weights cannot be used.
        """


def file_digest(value: str | None, key: str) -> JsonValue:
    """SHA-256 of a file that a setting (`key`) names; the name itself when it is no file."""
    if value is None:
        return None
    path = Path(value)
    return file_sha256(path) if is_file(path, key) else value


def is_path(value: str) -> bool:
    """Whether a `weights` setting means a file rather than the name of published weights."""
    return value.endswith((".pth", ".pt", ".safetensors")) or "/" in value or "\\" in value
