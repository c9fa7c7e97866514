"""How a model answers the evaluation split, decoded by its task batch for batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.base.files import unpacks_to_too_much
from edgepipe.contract import Answers, Dataset, Split, Targets, Task
from edgepipe.errors import MeasureError
from edgepipe.onnx.batch_axis import (
    Rows,
    all_answered,
    all_neighbours,
    batch_axes,
    count_of,
    cut,
    ranges_of_the_batch,
    stacked,
)
from edgepipe.onnx.graph import Graph
from edgepipe.onnx.sequences import opened
from edgepipe.onnx.session import Session
from edgepipe.onnx.session_options import measuring
from edgepipe.targets.host import available_cores

Outputs = dict[str, NDArray[Any]]
Ask = Callable[[Rows], Outputs]


@dataclass(frozen=True)
class Model:
    """An ONNX file, read once and open once for all that whole examples are asked.

    Attributes:
        graph: as read.
        session: of all cores that this process may use.
        shown: what messages call it.
    """

    graph: Graph
    session: Session
    shown: str

    @classmethod
    def of(cls, path: Path, data: Dataset, shown: str | None = None) -> Model:
        """Read and open a file for the examples of some data.

        Args:
            shown: None: the file.
        Raises:
            MeasureError: the runtime cannot open it. ModelError: the data's state names no input, or no output.
        """
        graph = Graph.load(path)
        return cls(graph, opened(path, data.signature, measuring(available_cores())), shown or str(path))

    @property
    def path(self) -> Path:
        """The file."""
        return self.graph.files[0]


@dataclass(frozen=True)
class Answered:
    """A model's answers to the evaluation split, in its order.

    Attributes:
        answers: as its task decodes them.
        count: of the examples.
        neighbours: by which share of their spread answers hang on the other examples of a batch; 0: they do not.
    """

    answers: Answers
    count: int
    neighbours: float = 0.0

    def save(self, path: Path) -> None:
        """Write an `.npz` file under exactly this name."""
        arrays: dict[str, Any] = {f"answers{i}": value for i, value in enumerate(self.answers.values())}
        arrays |= {"names": np.array(list(self.answers)), "neighbours": np.float64(self.neighbours)}
        with path.open("wb") as stream:  # given a name, numpy would append .npz to it
            np.savez_compressed(stream, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path, task: Task, count: int) -> Answered:
        """Read what `save` wrote; never unpickles.

        Raises:
            MeasureError: the file is none of these, or holds no answers to so many examples.
        """
        bomb = unpacks_to_too_much(path)
        if bomb is not None:
            raise MeasureError(f"{path}: {bomb}: refused")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                names = arrays["names"]
                answers = {str(name): arrays[f"answers{i}"] for i, name in enumerate(names.tolist())}
                neighbours = float(arrays["neighbours"])
            possible = names.dtype.kind == "U" and task.possible(answers, count)
        except (OSError, ValueError, KeyError, EOFError, TypeError, IndexError) as error:
            raise MeasureError(f"{path}: not saved answers: {error}") from error
        if not possible:
            raise MeasureError(f"{path}: no answers to {count} examples")
        return cls(answers, count, neighbours)


def answered(
    model: Model,
    data: Dataset,
    task: Task,
    *,
    batch_size: int = 64,
    progress: Callable[[float, str], None] = lambda _share, _text: None,
) -> Answered:
    """Stream the evaluation split through ONNX Runtime; memory grows with the task's answers only.

    A model with a fixed batch is fed batches of that size, the last one padded. Where no axis of an output counts the
    examples, or where answers hang on the other examples of the batch (a model that quantizes dynamically takes its
    ranges from all of it), examples are asked one at a time, as on the device.

    Raises:
        MeasureError: no evaluation examples, or outputs that cannot be answers to the task.
        DataError: labels that the model cannot answer.
    """
    total = data.count(Split.EVALUATION)
    if total == 0:
        raise MeasureError(f"{model.path}: the data has no evaluation examples to measure answers on")
    what, signature = model.shown, data.signature
    asking = _Asking(model, data, total)
    targets = _labelled(task, data)
    parts: list[Answers] = []
    done = 0
    for outputs, count in asking.batches(batch_size):
        for each in outputs:
            parts.append(task.answers(each, signature, what))
            if targets is not None and len(parts) == 1:
                task.check_labels(each, targets, what)
        done += count
        progress(done / total, f"answers {done}/{total}")
    return Answered(task.join(parts), total, asking.neighbours)


def targets_of(task: Task, data: Dataset, baseline: Answers) -> Targets | None:
    """What is right on the evaluation split: as labelled, else as the baseline answers; None: nobody knows."""
    found = _labelled(task, data)
    return task.targets_of(baseline) if found is None else found


def _labelled(task: Task, data: Dataset) -> Targets | None:
    raw = data.labels(Split.EVALUATION) if task.labelled else None
    return None if raw is None else task.targets(raw, data.signature)


class _Asking:
    """Finds out how a model can be asked, and asks it.

    Attributes:
        neighbours: as of `Answered`, once a batch was asked.
    """

    def __init__(self, model: Model, data: Dataset, total: int) -> None:
        self.onnx, self.data, self.cores = model.path, data, available_cores()
        self.neighbours = 0.0
        alone = ranges_of_the_batch(model.graph.nodes)
        session = model.session
        normalized = data.signature.preprocessing.image_size is not None
        first = next(data.batches(Split.EVALUATION, min(4, total), list(range(min(4, total))))).inputs
        session.check(first, "pictures, normalized by data.mean and data.std" if normalized else "")
        # What is no tensor (the maps of a ZipMap) answers nobody.
        self.names = [item.name for item in session.outputs if item.dtype is not None]
        self.fixed = session.places(first).fixed
        self.ask = self._of(session)
        self.axes: dict[str, int] | None = None
        if not (alone and self.fixed in (None, 1)):
            rows = session.rows(first)
            found = batch_axes(self.ask, rows, self.fixed)
            lacking = [name for name in self.names if name not in found]
            self.axes = None if lacking else found
            if lacking and self.fixed is None:
                self.neighbours = all_neighbours(self.ask, rows)
            if lacking and self.fixed not in (None, 1):
                which = "its first output" if lacking[0] == self.names[0] else f"its output {lacking[0]!r}"
                raise MeasureError(
                    f"{self.onnx}: takes {self.fixed} examples at once, and no axis of {which} counts them. Export it "
                    "with a dynamic batch, or one of 1"
                )

    def _of(self, session: Session) -> Ask:
        self._rows = session.rows
        return lambda rows: session.ask(rows, self.names)

    def batches(self, batch_size: int) -> Iterator[tuple[list[Outputs], int]]:
        """(outputs, their first axis counts examples; examples) of each batch.

        Several outputs of one batch, of an example each, where examples are answered in different shapes.
        """
        if self.axes is not None:
            for batch in self.data.batches(Split.EVALUATION, self.fixed or batch_size):
                rows = self._rows(batch.inputs)
                yield [all_answered(self.ask, rows, self.fixed, self.axes)], len(batch)
            return
        ask = self._of(opened(self.onnx, self.data.signature, measuring(1)))
        # One thread an example keeps every core busy; the runtime releases the interpreter lock.
        with ThreadPoolExecutor(self.cores) as pool:
            for batch in self.data.batches(Split.EVALUATION, max(self.fixed or batch_size, self.cores)):
                rows = self._rows(batch.inputs)
                one = [cut(rows, i, i + 1) for i in range(count_of(rows))]
                yield _together(list(pool.map(ask, one))), len(one)


def _together(found: list[Outputs]) -> list[Outputs]:
    """Answers of one example each as those of all, where their shapes are the same."""
    shapes = [{name: np.shape(value) for name, value in each.items()} for each in found]
    if all(each == shapes[0] for each in shapes):
        return [{name: stacked(np.asarray(each[name]) for each in found) for name in found[0]}]
    whole = {name: all(each[name][:1] == (1,) for each in shapes) for name in shapes[0]}
    return [
        {name: np.asarray(value) if whole[name] else np.asarray(value)[None] for name, value in each.items()}
        for each in found
    ]


def hangs_on_neighbours(answers: Answered) -> str | None:
    """What to say of a model that answers an example otherwise among others than alone."""
    if answers.neighbours == 0:
        return None
    return (
        "what an example is answered hangs on the other examples of its batch: batch statistics, or a mean over the "
        "batch. A device asks one example at a time, so all examples were measured alone: these are the deployed "
        "figures, whatever training or another tool said of whole batches. Give it statistics of its own "
        "(track_running_stats=True), and take no mean over the first axis"
    )
