"""What a format writes from where axes with names are given numbers, and which examples it is then compared on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edgepipe.base.scratch import scratch
from edgepipe.contract import Batch, Dataset, Split, Tensor
from edgepipe.contract.artifact import ONNX_FILE
from edgepipe.errors import PassError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AT_ONCE = 64


class From(NamedTuple):
    """The ONNX file that a format is written from, and the data that it is compared on."""

    file: Path
    data: Dataset


def declared(file: Path, data: Dataset) -> tuple[Tensor, ...]:
    """What a graph says of one example of each input that the data gives: axes with names are free."""
    from edgepipe.onnx.session import Session
    from edgepipe.onnx.session_options import asking

    session = Session(file, asking())
    given = session.named(next(data.batches(Split.EVALUATION, 1, [0])).inputs)
    counting = session.places(given).axes
    found = []
    for item in session.inputs:
        shape = item.shape if item.shape is not None else given[item.name].shape
        axes = [axis if axis is not None else f"axis {place}" for place, axis in enumerate(shape)]
        if (place := counting[item.name]) is not None:
            del axes[place]
        found.append(Tensor(name=item.name, dtype=given[item.name].dtype.name, shape=tuple(axes)))
    return tuple(found)


def free_axes(inputs: Sequence[Tensor]) -> list[str]:
    """Names of axes whose length differs from example to example, in the order of the inputs."""
    return list(dict.fromkeys(axis for item in inputs for axis in item.shape if isinstance(axis, str)))


@contextmanager
def fixed(file: Path, data: Dataset, lengths: Mapping[str, int], label: str) -> Iterator[From]:
    """The file itself where no length is given, else a copy of it with these lengths, for as long as the block runs.

    Raises:
        PassError: an axis has no such name, or no evaluation example is of these lengths.
    """
    from edgepipe.onnx.fixed_axes import fix_axes  # with numpy, which a list of passes does not wait for

    if not lengths:
        yield From(file, data)
        return
    inputs = declared(file, data)
    names = free_axes(inputs)
    if strange := sorted(lengths.keys() - set(names)):
        there = f"its axes with names are {', '.join(names)}" if names else "all of its axes are numbers already"
        raise PassError(f"passes.{label}.shapes: the model has no axis '{strange[0]}': {there}")
    wanted = [
        item.model_copy(update={"shape": tuple(lengths.get(axis, axis) for axis in item.shape)})  # type: ignore[arg-type]
        for item in inputs
    ]
    some = OfShape(data, wanted)
    if not some.rows:
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise PassError(
            f"passes.{label}.shapes: no evaluation example has {said}, so that nothing could be compared: choose "
            "lengths that examples have, or pad some to these"
        )
    with scratch("fixed") as folder:
        fix_axes(file, folder / ONNX_FILE, lengths)
        yield From(folder / ONNX_FILE, some)


class OfShape:
    """Implements `Dataset`: of the evaluation split those examples whose arrays have the shapes that are wanted."""

    def __init__(self, data: Dataset, wanted: Sequence[Tensor]) -> None:
        self._data = data
        self.signature = data.signature.model_copy(update={"inputs": tuple(wanted)})
        self.rows: list[int] = []
        seen = 0
        for batch in data.batches(Split.EVALUATION, _AT_ONCE):  # a batch holds examples of one shape
            if _fits(batch, wanted):
                self.rows += range(seen, seen + len(batch))
            seen += len(batch)

    def count(self, split: Split) -> int:
        return len(self.rows) if split is Split.EVALUATION else 0

    def digest(self, split: Split) -> str:
        return self._data.digest(split)

    def labels(self, split: Split) -> NDArray[Any] | None:
        del split
        return None

    def batches(self, split: Split, batch_size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
        chosen = range(len(self.rows)) if indices is None else indices
        return self._data.batches(split, batch_size, [self.rows[index] for index in chosen])


def _fits(batch: Batch, wanted: Sequence[Tensor]) -> bool:
    arrays = list(batch.inputs.values()) if len(wanted) == 1 else [batch.inputs.get(item.name) for item in wanted]
    return all(
        array is not None
        and array.ndim - 1 == len(item.shape)
        and all(isinstance(axis, str) or axis == size for axis, size in zip(item.shape, array.shape[1:], strict=True))
        for item, array in zip(wanted, arrays, strict=True)
    )
