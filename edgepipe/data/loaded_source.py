"""The examples of a user's loader: read once, hashed, and read again or from a temporary file as they are asked for."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.base.suggest import did_you_mean
from edgepipe.contract import Dataset, Split, Tensor
from edgepipe.contract.artifact import canonical_json
from edgepipe.data.array_source import ArraySource, Examples
from edgepipe.data.loaded import Example, Reader, asked, by_number, from_loader, size_of
from edgepipe.data.loaded_labels import Gathered
from edgepipe.data.splits import Rows
from edgepipe.data.table_source import views_of
from edgepipe.errors import DataError
from edgepipe.plugins import entries
from edgepipe.store.user_code import call

if TYPE_CHECKING:
    from edgepipe.data.python import PythonData

_SAID = ("classes", "task")
_FREE = 1 << 30
"""Bytes that copies leave on the disk."""
_NOT_EXAMPLES = (str, bytes, int, float, bool)


class _Copies:
    """Examples in a temporary file, which is gone when this process ends."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (as long as the data)
        self._offsets: list[int] = []
        self._shapes: list[tuple[tuple[int, ...], ...]] = []
        self._end = 0
        self._one_at_a_time = threading.Lock()

    def add(self, where: str, example: Example) -> None:
        """Write one behind the others.

        Raises:
            DataError: there is hardly any room left.
        """
        if len(self._offsets) % 256 == 0 and shutil.disk_usage(self._folder).free < _FREE + 256 * size_of(example):
            raise DataError(
                f"{where}: its examples take {self._end:,} bytes so far, and {self._folder} is nearly full: what is "
                "read only once is kept there. Give a sequence, whose examples are read by number, or make room"
            )
        self._offsets.append(self._end)
        self._shapes.append(tuple(value.shape for value in example.inputs.values()))
        for value in example.inputs.values():
            self._end += self._file.write(value.data)

    def read(self, row: int, kinds: Mapping[str, np.dtype[Any]]) -> dict[str, NDArray[Any]]:
        """One example, by input."""
        found: dict[str, NDArray[Any]] = {}
        with self._one_at_a_time:
            self._file.seek(self._offsets[row])
            for (name, kind), shape in zip(kinds.items(), self._shapes[row], strict=True):
                content = self._file.read(kind.itemsize * int(np.prod(shape, dtype=np.int64)))
                found[name] = np.frombuffer(content, kind).reshape(shape)
        return found


@dataclass
class LoadedExamples:
    """Implements `Examples`.

    Attributes:
        again: reads one by number once more; None: they are in `copies`.
        shapes: by input, one of each kind with the number of the first example that has it.
    """

    where: str
    kinds: dict[str, np.dtype[Any]]
    shapes: dict[str, dict[tuple[int, ...], int]]
    hashes: list[str]
    labels: NDArray[Any] | None
    again: Callable[[int], Example] | None = field(repr=False)
    copies: _Copies | None = field(repr=False)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(
            Tensor(name=name, dtype=kind.name, shape=_common(name, list(self.shapes[name])))
            for name, kind in self.kinds.items()
        )

    def read(self, row: int) -> dict[str, NDArray[Any]]:
        """One example, by input.

        Raises:
            DataError: it is another one than when it was read first.
        """
        if self.copies is not None:
            return self.copies.read(row, self.kinds)
        assert self.again is not None
        found = self.again(row)
        if found.digest() != self.hashes[row]:
            raise DataError(
                f"{self.where}[{row}]: is another one each time it is read: let what is random in it follow from its "
                "number, or return iter(...) of the examples, which are then read once and kept"
            )
        return found.inputs

    def notes(self) -> Iterator[str]:
        """What may be a mistake, in sentences."""
        for name, shapes in self.shapes.items():
            if len(shapes) > 1:
                (one, first), (other, second) = list(shapes.items())[:2]
                yield (
                    f"{self.where}: `{name}` has {len(shapes)} shapes, as {one} in [{first}] and {other} in [{second}]"
                )


class LoadedSource(ArraySource):
    """Implements `Dataset` over what a loader gave."""

    def __init__(
        self,
        views: Mapping[Split, tuple[Examples, Rows]],
        classes: Sequence[str],
        task: str | None,
        notes: Sequence[str],
    ) -> None:
        super().__init__(views)
        said = {"classes": tuple(classes), "task": task or self._signature.task}
        self._signature = self._signature.model_copy(update=said)
        self.notes = tuple(notes)

    def digest(self, split: Split) -> str:
        """Hex SHA-256 over shape, content, label and order of every example, classes and task."""
        digest = hashlib.sha256(canonical_json(self.signature.model_dump(mode="json")).encode())
        if split in self._views:
            examples, rows = self._views[split]
            for row in rows:
                label = b"" if examples.labels is None else np.ascontiguousarray(examples.labels[row]).tobytes()
                digest.update(f"\n{examples.hashes[row]} ".encode() + hashlib.sha256(label).digest())
        return digest.hexdigest()


def opened(settings: PythonData, cache: Path) -> Dataset:
    """What the user's function gives.

    Raises:
        DataError: it fails, or gives what cannot be used; the message names the example.
    """
    where = f"data.factory: {settings.factory}"
    given = call("data.factory", settings.factory, dict(settings.kwargs), DataError)
    sets, classes, task = _parted(where, given)
    classes = settings.classes or classes
    examples: dict[Split, Examples] = {}
    notes: list[str] = []
    for split, some in sets.items():
        found, more = _read(settings, f"{where}: {split}", some, cache)
        examples[split] = found
        notes += [*more, *found.notes()]
        _fit_together(found, examples[next(iter(sets))])
        if classes and found.labels is not None and found.labels.dtype.kind == "i" and found.labels.ndim == 1:
            most = int(found.labels.max())
            if most >= len(classes):
                raise DataError(f"{where}: {split} has label {most}, and there are {len(classes)} classes")
    if Split.EVALUATION not in examples and len(examples[Split.TRAIN].hashes) < 2:
        raise DataError(f"{where}: gives one example, of which none can be held out to measure with: give more")
    return LoadedSource(views_of(settings, examples, _balanced), classes, task, notes)


def _parted(where: str, given: Any) -> tuple[dict[Split, Any], tuple[str, ...], str | None]:
    """(sets of examples by split, classes, task)."""
    if not isinstance(given, Mapping):
        given = {Split.TRAIN.value: given}
    names = [split.value for split in Split]
    for name in given:
        if name not in (*names, *_SAID):
            raise DataError(
                f"{where}: gives '{name}'.{did_you_mean(str(name), (*names, *_SAID))} Return a mapping with "
                f"{', '.join(names)}, and classes and task where they are known"
            )
    sets = {split: given[split.value] for split in Split if given.get(split.value) is not None}
    if not {Split.TRAIN, Split.EVALUATION} & sets.keys():
        raise DataError(f"{where}: gives no examples: return a mapping with train or evaluation, or the examples")
    for split, some in sets.items():
        if isinstance(some, (*_NOT_EXAMPLES, Mapping)) or not (hasattr(some, "__iter__") or by_number(some)):
            raise DataError(
                f"{where}: {split} is {type(some).__name__}: give a sequence or an iterable of (inputs, label)"
            )
    task = given.get("task")
    if task is not None and task not in entries("tasks"):
        raise DataError(f"{where}: no task '{task}'.{did_you_mean(str(task), entries('tasks'))}")
    classes = given.get("classes") or ()
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
        raise DataError(f"{where}: classes is {type(classes).__name__}: give a list of names")
    if len(set(classes)) < len(classes):
        raise DataError(f"{where}: classes names one twice")
    return sets, tuple(classes), task


def _read(settings: PythonData, where: str, given: Any, cache: Path) -> tuple[LoadedExamples, list[str]]:
    """One set of examples, and sentences on it."""
    reader = Reader(where, settings.labels)
    given = _paired(given)
    loader = from_loader(given)
    batched = loader if settings.batched is None else settings.batched
    notes = []
    if loader and type(getattr(given, "sampler", None)).__name__ == "RandomSampler":
        notes.append(
            f"{where}: its DataLoader shuffles, so that every run is one of other data: set shuffle=False to find what "
            "was computed before"
        )
    again: Callable[[int], Example] | None = None
    copies: _Copies | None = None
    found: Iterator[Example]
    if by_number(given) and not batched:

        def read(row: int) -> Example:
            return reader.example(asked(f"{where}[{row}]", lambda: given[row]), row)

        again = read
        found = map(read, range(asked(where, lambda: len(given))))
    else:
        copies = _Copies(cache)
        found = _iterated(settings, reader, given, batched=batched)
    kinds: dict[str, np.dtype[Any]] = {}
    shapes: dict[str, dict[tuple[int, ...], int]] = {}
    hashes: list[str] = []
    labels = Gathered(where, cache)
    for number, example in enumerate(found):
        if copies is not None:
            copies.add(where, example)
        for name, value in example.inputs.items():
            kinds.setdefault(name, value.dtype)
            shapes.setdefault(name, {}).setdefault(value.shape, number)
        hashes.append(example.digest())
        labels.add(example.label)
    if not hashes:
        raise DataError(f"{where}: holds no examples")
    return LoadedExamples(where, kinds, shapes, hashes, labels.all(), again, copies), notes


def _paired(given: Any) -> Any:
    """A pair of arrays, (inputs, labels) of all examples, as a sequence of examples."""
    pair = isinstance(given, tuple) and len(given) == 2 and all(hasattr(part, "shape") for part in given)
    if pair and len(given[0]) == len(given[1]):
        return _Zipped(*given)
    return given


@dataclass(frozen=True)
class _Zipped:
    inputs: Any
    labels: Any

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, row: int) -> tuple[Any, Any]:
        return self.inputs[row], self.labels[row]


def _iterated(settings: PythonData, reader: Reader, given: Any, *, batched: bool) -> Iterator[Example]:
    iterator = asked(reader.where, lambda: iter(given))
    number = 0
    while True:
        place = f"{reader.where}[{number}]"
        try:
            item = asked(place, lambda: next(iterator))
        except StopIteration:
            return
        for example in reader.batch(item, number) if batched else [reader.example(item, number)]:
            number += 1
            if number > settings.most_examples:
                raise DataError(
                    f"{reader.where}: gives more than data.most_examples={settings.most_examples} examples: let it "
                    "end, or raise that"
                )
            yield example


def _fit_together(one: LoadedExamples, other: Examples) -> None:
    """Whether two splits give the model alike arrays."""
    first, second = ({item.name: item for item in each.tensors} for each in (one, other))
    for name in {**first, **second}:
        mine, theirs = first.get(name), second.get(name)
        if mine is None or theirs is None:
            raise DataError(f"{one.where}: only one of the splits has `{name}`: give all the same arrays")
        fixed = mine.fixed and theirs.fixed
        if mine.dtype != theirs.dtype or len(mine.shape) != len(theirs.shape) or (fixed and mine.shape != theirs.shape):
            raise DataError(
                f"{one.where}: `{name}` is {mine.dtype} {list(mine.shape)}, and in another split {theirs.dtype} "
                f"{list(theirs.shape)}: preprocess all alike"
            )


def _common(name: str, shapes: Sequence[tuple[int, ...]]) -> tuple[int | str, ...]:
    return tuple(
        sizes[0] if len(set(sizes)) == 1 else f"{name}_{axis}" for axis, sizes in enumerate(zip(*shapes, strict=True))
    )


def _balanced(examples: Examples) -> NDArray[np.int64] | None:
    """Classes that draws keep in proportion; None: there are none."""
    labels = examples.labels
    return labels if labels is not None and labels.dtype.kind == "i" and labels.ndim == 1 else None
