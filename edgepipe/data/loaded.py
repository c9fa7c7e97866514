"""What a user's loader gives, made arrays: one example after another, each checked against the first."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgepipe.base.text import printable
from edgepipe.data.arrays import check_values
from edgepipe.errors import DataError
from edgepipe.store.user_code import place_of

ONLY = "input"
"""Name of an input that has none."""
_LONGEST = 8
"""Bytes of a number."""
_Found = TypeVar("_Found")


class Example(NamedTuple):
    """One example: arrays by input, and what is right: an array, a text or None."""

    inputs: dict[str, NDArray[Any]]
    label: NDArray[Any] | str | None

    def digest(self) -> str:
        """Hex SHA-256 over names, types, shapes and content of the inputs."""
        found = hashlib.sha256()
        for name, value in self.inputs.items():
            found.update(f"{name} {value.dtype.str} {value.shape}\n".encode())
            found.update(np.ascontiguousarray(value).data)
        return found.hexdigest()


def asked(where: str, function: Callable[[], _Found]) -> _Found:
    """What the user's code answers.

    Raises:
        DataError: it raised; the message says what, in which line of which file.
    """
    try:
        return function()
    except StopIteration:
        raise
    except (Exception, SystemExit) as error:
        raise DataError(f"{where}: failed at {place_of(error)}: {type(error).__name__}: {error}") from error


def from_loader(given: Any) -> bool:
    """Whether it is a DataLoader of torch that gives batches."""
    return _of_torch(given, "DataLoader") and getattr(given, "batch_sampler", None) is not None


def by_number(given: Any) -> bool:
    """Whether examples can be asked for by number, in any order."""
    both = hasattr(type(given), "__len__") and hasattr(type(given), "__getitem__")
    return both and not _of_torch(given, "IterableDataset")


def _of_torch(given: Any, name: str) -> bool:
    """Whether it is of a class of torch.utils.data, asked without importing torch."""
    return any(
        kind.__name__ == name and kind.__module__.startswith("torch.utils.data.") for kind in type(given).__mro__
    )


@dataclass
class Reader:
    """Makes examples of what a loader gives for one split.

    Attributes:
        where: names the split in messages.
        labels: as of `PythonData`.
        forms: type and number of axes of each input, by the first example.
    """

    where: str
    labels: str
    forms: dict[str, tuple[str, int]] = field(default_factory=dict)
    _has_label: bool | None = None

    def example(self, given: Any, number: int) -> Example:
        """One example.

        Raises:
            DataError: it is none, or of another form than the first.
        """
        place = f"{self.where}[{number}]"
        inputs, label = self._parts(place, given)
        named = isinstance(inputs, Mapping)
        arrays = {
            str(name): self._input(place, str(name), value, named=named)
            for name, value in (inputs.items() if named else [(ONLY, inputs)])
        }
        if not arrays:
            raise DataError(f"{place}: has no inputs: give at least one array besides `{self.labels}`")
        forms = {name: (value.dtype.name, value.ndim) for name, value in arrays.items()}
        self.forms = self.forms or forms
        if forms != self.forms:
            raise DataError(
                f"{place}: is {_said(forms)}, but {self.where}[0] is {_said(self.forms)}: give all examples the same "
                "arrays, of which only lengths may differ"
            )
        if self._has_label is None:
            self._has_label = label is not None
        if self._has_label != (label is not None):
            has, other = ("no", "one") if label is None else ("a", "none")
            raise DataError(f"{place}: has {has} label, and {self.where}[0] {other}: give all of them one, or none")
        return Example({name: arrays[name] for name in self.forms}, _label(place, label))

    def batch(self, given: Any, number: int) -> Iterator[Example]:
        """The examples of a batch, the first one being `number`.

        Raises:
            DataError: its arrays have not one length, or as of `example`.
        """
        place = f"{self.where}[{number}...]"
        inputs, label = self._parts(place, given)
        named = isinstance(inputs, Mapping)
        columns = {name: as_array(f"{place}: `{name}`", value) for name, value in inputs.items()} if named else {}
        if not named:
            columns[ONLY] = as_array(place, inputs)
        if label is not None and not (isinstance(label, Sequence) and all(isinstance(item, str) for item in label)):
            label = as_array(f"{place}: its labels", label)
        lengths = {
            len(value) if np.ndim(value) else -1 for value in (*columns.values(), *([label] * (label is not None)))
        }
        if len(lengths) != 1 or -1 in lengths:
            raise DataError(
                f"{place}: a batch whose arrays have not one length: the first axis of each counts examples. "
                "Set data.batched=false where these are no batches"
            )
        for row in range(lengths.pop()):
            one: Any = {name: value[row] for name, value in columns.items()} if named else columns[ONLY][row]
            yield self.example((one, None if label is None else label[row]), number + row)

    def _parts(self, place: str, given: Any) -> tuple[Any, Any]:
        """(inputs, label) of an example or a batch."""
        if given is None:
            raise DataError(f"{place}: is None: return (inputs, label), or a mapping of arrays")
        if isinstance(given, Mapping):
            return {name: value for name, value in given.items() if name != self.labels}, given.get(self.labels)
        if isinstance(given, (tuple, list)):
            if len(given) != 2:
                raise DataError(
                    f"{place}: is a {type(given).__name__} of {len(given)}: return (inputs, label), and several inputs "
                    "as a mapping by their names"
                )
            if given[0] is None:
                raise DataError(f"{place}: its inputs are None: return (inputs, label)")
            return given[0], given[1]
        return given, None

    def _input(self, place: str, name: str, value: Any, *, named: bool) -> NDArray[Any]:
        what = f"{place}: `{printable(name)}`" if named else f"{place}: its inputs"
        found = as_array(what, value)
        if found.dtype.kind not in "biuf" or found.dtype.itemsize > _LONGEST:
            raise DataError(f"{what}: are of type {found.dtype}: give numbers that ONNX has, up to 64 bits, or bool")
        if 0 in found.shape or (not named and not found.ndim):
            raise DataError(f"{what}: have shape {found.shape}: give the shape of one example, as (3, 224, 224)")
        check_values(place, name if named else "input", found, named)
        return np.ascontiguousarray(found) if named else np.ascontiguousarray(found, np.float32)


def as_array(what: str, value: Any) -> NDArray[Any]:
    """An array, of a tensor of torch or another library too.

    Raises:
        DataError: it is no array and no number.
    """
    given = value
    try:
        if callable(detach := getattr(value, "detach", None)):
            value = detach().cpu()
        if callable(convert := getattr(value, "numpy", None)):
            value = convert()
        found = np.asarray(value) if isinstance(value, (np.ndarray, np.generic, int, float, list, tuple)) else None
    except Exception as error:  # of whatever library the tensor is
        raise DataError(f"{what}: cannot be made a numpy array: {type(error).__name__}: {error}") from error
    if found is None or found.dtype.kind not in "biufU":
        raise DataError(
            f"{what}: found {type(given).__name__}, which is no array of numbers: give a numpy array or a tensor, "
            "preprocessed as the model takes it"
        )
    return found


def _label(place: str, label: Any) -> NDArray[Any] | str | None:
    if label is None or isinstance(label, str):
        return label
    found = as_array(f"{place}: its label", label)
    if found.dtype.kind == "U" or (found.dtype.kind == "f" and not np.isfinite(found).all()):
        raise DataError(f"{place}: its label holds NaN, infinity or texts: leave the example out, or give numbers")
    return found


def _said(forms: Mapping[str, tuple[str, int]]) -> str:
    return ", ".join(f"`{printable(name)}` ({kind}, {axes} axes)" for name, (kind, axes) in forms.items())


def size_of(example: Example) -> int:
    """Bytes of its inputs."""
    return sum(value.dtype.itemsize * math.prod(value.shape) for value in example.inputs.values())
