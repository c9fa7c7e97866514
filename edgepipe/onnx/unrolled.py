"""Examples with steps as one example for each step, with the state that the network itself came to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Batch, Dataset, Signature, Split
from edgepipe.contract import Tensor as Named
from edgepipe.onnx.batch_axis import count_of, filled_up
from edgepipe.onnx.sequences import SequenceSession
from edgepipe.onnx.session_options import asking

_TOGETHER = 8
"""Examples that are run at once; all of their steps are held."""


def unrolled(data: Dataset, file: Path) -> Dataset:
    """The data; where examples have steps, these, with the state that the network of the file came to."""
    signature = data.signature
    if not signature.state:
        return data
    return Unrolled(data, SequenceSession(file, signature.state, signature.steps or 1, asking(), name=file.name))


class Unrolled:
    """Implements `Dataset`: the runs of each example, one after the other; they have no labels."""

    def __init__(self, data: Dataset, session: SequenceSession) -> None:
        self._data, self._session = data, session

    @property
    def signature(self) -> Signature:
        """Its inputs are those of the network; the state is one of them."""
        split = next(split for split in (Split.CALIBRATION, Split.EVALUATION) if self._data.count(split))
        rows = self._session.one_run(next(self._data.batches(split, 1, [0])).inputs)
        inputs = tuple(Named(name=name, dtype=value.dtype.name, shape=value.shape[1:]) for name, value in rows.items())
        return self._data.signature.model_copy(update={"inputs": inputs, "state": {}, "steps": None})

    def count(self, split: Split) -> int:
        return self._data.count(split) * self._session.steps

    def digest(self, split: Split) -> str:
        return hashlib.sha256(f"{self._session.state} {self._data.digest(split)}".encode()).hexdigest()

    def labels(self, split: Split) -> NDArray[Any] | None:
        del split
        return None

    def batches(self, split: Split, batch_size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
        """Steps in the order of `indices`: step s of example e is e * steps + s."""
        steps = self._session.steps
        chosen = range(self.count(split)) if indices is None else indices
        held: list[dict[str, NDArray[Any]]] = []
        wanted = [(example, [index % steps for index in run]) for example, run in groupby(chosen, lambda i: i // steps)]
        for start in range(0, len(wanted), _TOGETHER):
            some = wanted[start : start + _TOGETHER]
            for rows, (_, numbers) in zip(self._runs(split, [example for example, _ in some]), some, strict=True):
                for number in numbers:
                    one = rows[number]
                    if len(held) == batch_size or (held and _shapes(held[-1]) != _shapes(one)):
                        yield _batch(held)
                        held = []
                    held.append(one)
        if held:
            yield _batch(held)

    def _runs(self, split: Split, examples: list[int]) -> Iterator[list[dict[str, NDArray[Any]]]]:
        """Of each example its runs: what goes in, by input, without an axis that counts examples."""
        for batch in self._data.batches(split, _TOGETHER, examples):
            rows = self._session.rows(batch.inputs)
            at = self._session.places(rows)
            step = at.fixed or count_of(rows)
            for start in range(0, count_of(rows), step):
                count = min(step, count_of(rows) - start)
                part = {name: filled_up(value[start : start + step], step) for name, value in rows.items()}
                runs = [
                    {
                        name: value[None] if (axis := at.axes[name]) is None else np.moveaxis(value, axis, 0)
                        for name, value in given.items()
                    }
                    for given, _ in self._session.runs(part)
                ]
                for number in range(count):
                    yield [{name: value[number] for name, value in run.items()} for run in runs]


def _shapes(rows: dict[str, NDArray[Any]]) -> list[tuple[int, ...]]:
    return [value.shape for value in rows.values()]


def _batch(held: list[dict[str, NDArray[Any]]]) -> Batch:
    return Batch({name: np.stack([rows[name] for rows in held]) for name in held[0]})
