"""A file that another runtime takes, written from ONNX, and that runtime's answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import JsonValue

from edgepipe.contract.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

Asked = Callable[[Mapping[str, "NDArray[Any]"]], dict[str, "NDArray[Any]"]]
"""Asks a model: inputs by name, the first axis of each counts the examples, to outputs by name, likewise."""


@dataclass(frozen=True)
class Written:
    """What a format wrote.

    Attributes:
        files: the first is the model.
        answers: asks the file in its own runtime, by the ONNX file's names.
        facts: worth recording: layers that run in int8, versions.
    """

    files: tuple[Path, ...]
    answers: Asked
    facts: dict[str, JsonValue] = field(default_factory=dict)


class Format(Settings):
    """Base class of every format that `export` writes.

    Class attributes:
        needs: modules that must be importable, each with what installs it.
        libraries: distributions whose versions the file depends on; they enter the cache key.
        fixed_shapes: whether every axis must be a number: `export.shapes` gives those that have names.
        stable: whether the same model gives the same bytes every time.
        exact: whether an int8 file rounds as ONNX Runtime does: it is then held to the tolerance of a float file.
    """

    needs: ClassVar[Mapping[str, str]] = {}
    libraries: ClassVar[tuple[str, ...]] = ()
    fixed_shapes: ClassVar[bool] = False
    stable: ClassVar[bool] = True
    exact: ClassVar[bool] = False

    @abstractmethod
    def write(self, onnx: Path, out: Path, int8_layers: int) -> Written:
        """Write the file and open it again.

        Args:
            onnx: the file that it is made from.
            int8_layers: layers that ONNX Runtime runs in int8; as many must run in int8 there.
        Raises:
            PassError: the format cannot express the model, or would run int8 layers in float.
        """
