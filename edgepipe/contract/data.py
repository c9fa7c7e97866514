"""Where examples come from: settings that open a data set of three disjoint splits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from edgepipe.contract.guess import Contents, Guess
from edgepipe.contract.settings import Settings
from edgepipe.contract.signature import Signature, Tensor
from edgepipe.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Split(str, Enum):
    """The three disjoint uses of data. Calibration may be drawn from train, never from evaluation."""

    TRAIN = "train"
    CALIBRATION = "calibration"
    EVALUATION = "evaluation"

    def __str__(self) -> str:
        return self.value


class Arrays(dict[str, "NDArray[Any]"]):
    """Named arrays; says what to write where one is used as an array, as passes did before inputs had names."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"'{name}': the inputs of a batch have names: write batch.only for the array of one")


@dataclass(frozen=True)
class Batch:
    """Some examples.

    Attributes:
        inputs: arrays by name, (n, *shape) each; pictures are float32, preprocessed.
        labels: what is right, as the task's `targets` takes it: classes as int64, (n,); numbers of a regression as
            float32, (n, values); texts as numpy's unicode, (n,); or None.
    """

    inputs: Mapping[str, NDArray[Any]]
    labels: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", Arrays(self.inputs))

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def only(self) -> NDArray[Any]:
        """The array of the only input.

        Raises:
            DataError: there are several.
        """
        if len(self.inputs) != 1:
            names = ", ".join(f"'{name}'" for name in self.inputs)
            raise DataError(f"the data gives {len(self.inputs)} inputs ({names}), where only one is taken")
        return next(iter(self.inputs.values()))


def as_numbers(labels: NDArray[Any]) -> NDArray[Any]:
    """Labels as training is given them: texts, (n,), as their code points, int64 (n, longest), 0 behind the end."""
    if labels.dtype.kind != "U":
        return labels
    codes = labels.astype(f"<U{max(1, labels.dtype.itemsize // 4)}").reshape(-1, 1).view("<u4")
    return codes.astype("int64")


class Dataset(Protocol):
    """Pictures (or other arrays) in three splits; nothing here imports torch.

    Iterating decodes as it goes, so memory does not grow with the data set, and the order is
    always that of `indices` (by default 0 … count - 1): the same call gives the same batches.

    Two attributes may be there: `notes`, sentences for people on what was left out or guessed, and `files`, by name the
    bytes of what the device needs beside the model, as a tokenizer.
    """

    @property
    def signature(self) -> Signature:
        """Shape of one example, class names (may be empty), preprocessing."""
        ...

    def count(self, split: Split) -> int:
        """Number of examples; 0 when the source has no such split."""
        ...

    def digest(self, split: Split) -> str:
        """Hex SHA-256 over content, labels, order and preprocessing of the split."""
        ...

    def labels(self, split: Split) -> NDArray[Any] | None:
        """As in `Batch`, for the whole split; None when it has no labels."""
        ...

    def batches(self, split: Split, batch_size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
        """Yield batches in the order of `indices`; the last one may be smaller, and one before another shape."""
        ...


class DataSource(Settings):
    """Base class of every source of data; its fields are settings of the recipe's `data`.

    Class attributes:
        libraries: distributions that it needs installed.
        fetched: settings of folders into which it downloads what is not there yet.
    """

    libraries: ClassVar[tuple[str, ...]] = ()
    fetched: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def open(self, cache: Path) -> Dataset:
        """Find and check the examples; `cache` is a folder that keeps content hashes between runs.

        Raises:
            DataError: the examples cannot be used; the message names the culprit and the remedy.
        """

    def task_known(self) -> str | None:
        """Name of the task that the labels are of, as far as that is known before they are opened; None: it is not."""
        return None

    @classmethod
    def guess(cls, contents: Contents, inputs: Sequence[Tensor]) -> Guess | None:
        """What this source would make of a place that holds data; None: it is none of its own.

        Args:
            inputs: of the model, as far as its file says: the size of pictures follows from them.
        """
        del contents, inputs
        return None

    def alternatives(self) -> Sequence[tuple[str, DataSource]]:
        """The same examples otherwise preprocessed, as a model may have learned from them; each with what differs.

        `edgepipe new` scores some labelled examples with each and takes the best.
        """
        return ()

    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, as far as they are known before the examples are opened; empty: they are not."""
        return ()

    def no_training(self) -> str | None:
        """Why nothing can be trained with these, as far as that is known before they are opened; with the remedy."""
        return None
