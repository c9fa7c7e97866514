"""How a model answers the evaluation split, and how sure one can be of the difference to another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.base.files import unpacks_to_too_much
from edgepipe.contract import Dataset, Interval, Split
from edgepipe.errors import DataError, MeasureError, ModelError
from edgepipe.measure.values import Values, values_of
from edgepipe.onnx.batch_axis import batch_axis, filled_up, neighbours, stacked
from edgepipe.onnx.files import load_structure
from edgepipe.onnx.session import Session
from edgepipe.onnx.session_options import measuring
from edgepipe.targets.host import available_cores
from edgepipe.tasks.intervals import newcombe

# They take the value range from the whole batch, so that an answer would depend on its neighbours.
_BATCH_DEPENDENT = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"}


_FEW = 10
"""Examples that may well be of one class."""


@dataclass(frozen=True)
class Predictions:
    """A model's answers to the evaluation split, in its order.

    Attributes:
        answers: int64, (n,), the best-scored class.
        top5: int64, (n, k), the k = min(5, classes) best-scored classes, best first.
        labels: int64, (n,), or None when the data has no labels.
        neighbours: by which share of their spread answers hang on the other examples of a batch; 0: they do not.
    """

    answers: NDArray[np.int64]
    top5: NDArray[np.int64]
    labels: NDArray[np.int64] | None
    neighbours: float = 0.0

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def correct(self) -> NDArray[np.bool_] | None:
        """bool, (n,): whether the answer is the label; None without labels."""
        return None if self.labels is None else self.answers == self.labels

    def save(self, path: Path) -> None:
        """Write an `.npz` file under exactly this name."""
        arrays: dict[str, Any] = {"answers": self.answers, "top5": self.top5}
        if self.neighbours:
            arrays["neighbours"] = np.float64(self.neighbours)
        if self.labels is not None:
            arrays["labels"] = self.labels
        with path.open("wb") as stream:  # given a name, numpy would append .npz to it
            np.savez_compressed(stream, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> Predictions | Values:
        """Read what `save` of either kind wrote; never unpickles.

        Raises:
            MeasureError: the file is not one of these.
        """
        bomb = unpacks_to_too_much(path)
        if bomb is not None:
            raise MeasureError(f"{path}: {bomb}: refused")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                labels = arrays["labels"] if "labels" in arrays.files else None
                neighbours = float(arrays["neighbours"]) if "neighbours" in arrays.files else 0.0
                if "values" in arrays.files:
                    return Values(arrays["values"], labels, neighbours)
                return cls(arrays["answers"], arrays["top5"], labels, neighbours)
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise MeasureError(f"{path}: not saved predictions: {error}") from error


def predict(
    onnx: Path,
    data: Dataset,
    *,
    batch_size: int = 64,
    threads: int | None = None,
    progress: Callable[[float, str], None] = lambda _share, _text: None,
    shown: str | None = None,
) -> Predictions:
    """Stream the evaluation split through ONNX Runtime; memory does not grow with the data.

    A model with a fixed batch is fed batches of that size, the last one padded. A model that
    quantizes dynamically is fed one example at a time, as on the device: its value ranges would
    otherwise depend on the neighbours in the batch.

    Args:
        threads: of the runtime; None takes every core this process may use.
        shown: what messages call the model; None: its file.
    Raises:
        MeasureError: no evaluation examples, not a classifier, or scores that are NaN or infinite.
        ModelError: one score for each example. DataError: a label is none of the classes that the model scores.
    """
    what = shown or str(onnx)
    asked = _Asked()
    found = list(_outputs(onnx, data, batch_size, threads, progress, asked))
    ranked = np.concatenate([_ranked(output, count, what) for output, count, _ in found])
    labels = [np.asarray(part, dtype=np.int64) for _, _, part in found if part is not None]
    _check_scores(labels, found[0][0], what)
    return Predictions(ranked[:, 0].copy(), ranked, np.concatenate(labels) if labels else None, asked.neighbours)


def values(
    onnx: Path,
    data: Dataset,
    *,
    batch_size: int = 64,
    threads: int | None = None,
    progress: Callable[[float, str], None] = lambda _share, _text: None,
    shown: str | None = None,
) -> Values:
    """As `predict`, for a model that answers numbers."""
    what = shown or str(onnx)
    asked = _Asked()
    found = list(_outputs(onnx, data, batch_size, threads, progress, asked))
    labels = [np.asarray(part, np.float32).reshape(count, -1) for _, count, part in found if part is not None]
    return Values(
        np.concatenate([values_of(output, count, what) for output, count, _ in found]),
        np.concatenate(labels) if labels and data.signature.task == "regression" else None,
        asked.neighbours,
    )


@dataclass
class _Asked:
    """What asking found out: by which share answers hang on the other examples of a batch; 0: they do not."""

    neighbours: float = 0.0


def _outputs(
    onnx: Path,
    data: Dataset,
    batch_size: int,
    threads: int | None,
    progress: Callable[[float, str], None],
    asked: _Asked,
) -> Iterator[tuple[NDArray[Any], int, NDArray[Any] | None]]:
    """(first output, examples, labels) of each batch; the output's first axis counts the examples.

    Which axis of the output does is found out by `batch_axis`; where none does, or where answers hang on the other
    examples of the batch, examples are asked one at a time, as on the device.
    """
    total = data.count(Split.EVALUATION)
    if total == 0:
        raise MeasureError(f"{onnx}: the data has no evaluation examples to measure accuracy on")
    cores = threads or available_cores()
    alone = _depends_on_batch(onnx)
    session = Session(onnx, measuring(cores))
    fixed = session.only_input("measured").batch
    normalized = data.signature.preprocessing.image_size is not None
    shown = "pictures, normalized by data.mean and data.std" if normalized else ""
    first = next(data.batches(Split.EVALUATION, min(4, total), list(range(min(4, total))))).only
    session.check(first, shown)
    axis: int | None = 0
    single = alone and fixed in (None, 1)
    if not single:
        axis = batch_axis(session.first, first, fixed)
        single = axis is None
        if single and fixed is None:
            asked.neighbours = neighbours(session.first, first)
    if single and fixed not in (None, 1):
        raise MeasureError(
            f"{onnx}: takes {fixed} examples at once, and no axis of its first output counts them. Export it with "
            "a dynamic batch, or one of 1"
        )
    if single:
        session = Session(onnx, measuring(1))
    batch_size = fixed or batch_size
    done = 0
    with ThreadPoolExecutor(cores) if single else nullcontext() as pool:
        # A batch of 1 is asked as many at a time as there are cores.
        for batch in data.batches(Split.EVALUATION, max(batch_size, cores) if single else batch_size):
            count = len(batch.only)
            if pool is None:
                output = np.moveaxis(session.first(filled_up(batch.only, fixed or count)), axis or 0, 0)
            else:  # one thread a picture keeps every core busy; the runtime releases the interpreter lock
                one = [batch.only[i : i + 1] for i in range(count)]
                output = stacked(pool.map(session.first, one))
            yield output, count, batch.labels
            done += count
            progress(done / total, f"accuracy {done}/{total}")


def _ranked(output: NDArray[Any], count: int, artifact: str) -> NDArray[np.int64]:
    """int64, (count, k): the best-scored classes of each example, best first, ties to the lower class."""
    if output.ndim == 1 and output.dtype.kind == "i":  # scikit-learn classifiers answer the class itself
        return output[:count, None].astype(np.int64)
    while output.ndim > 2 and output.shape[-1] == 1:
        output = output[..., 0]
    if output.ndim != 2 or len(output) < count:
        raise MeasureError(
            f"{artifact}: its first output has shape {tuple(output.shape)} for {count} examples; "
            "expected one score per class, (examples, classes). Set task=regression or task=embedding for other models"
        )
    scores = output[:count].astype(np.float32)
    if np.isnan(scores).any() or np.isposinf(scores).any():
        what = "NaN" if np.isnan(scores).any() else "infinite"
        raise MeasureError(
            f"{artifact}: {what} scores on the evaluation examples; the step that wrote it lost the model "
            "(often a value beyond float16, or a scale of zero)"
        )
    return np.argsort(-scores, axis=1, kind="stable")[:, :5].astype(np.int64)


def _check_scores(labels: list[NDArray[np.int64]], output: NDArray[Any], artifact: str) -> None:
    """One score names no class; labels that count from 1, or another model's, would silently score as wrong."""
    if output.dtype.kind != "f" or output.ndim < 2:
        return
    if output.shape[1] == 1:
        raise ModelError(
            f"{artifact}: gives one score for each example, and a classifier gives one for each class. Where it is the "
            "probability p of class 1 (a sigmoid), end the model in the two scores 1 - p and p; where it is a number, "
            "set task=regression"
        )
    if not labels:
        return
    largest = max(int(part.max()) for part in labels)
    if largest >= output.shape[1]:
        raise DataError(
            f"the evaluation data has a label {largest}, but {artifact} scores {output.shape[1]} classes, 0 to "
            f"{output.shape[1] - 1}. Labels count from 0: correct them, or choose a model with as many classes"
        )


def unknown_classes(predictions: Predictions, classes: Sequence[str]) -> str | None:
    """What to say where answers name classes that the data does not have: another model's numbering scores as wrong."""
    if not classes or predictions.labels is None:
        return None
    share = float(np.mean(predictions.answers >= len(classes)))
    if share == 0:
        return None
    return (
        f"{share:.0%} of the answers name a class beyond the {len(classes)} of the data, and count as wrong: the model "
        "was trained on other classes. Use the data it was trained for, or a model of these: of model=torchvision with "
        "model.num_classes and a step that trains, else made anew where it came from"
    )


def hangs_on_neighbours(answers: Predictions | Values) -> str | None:
    """What to say of a model that answers an example otherwise among others than alone."""
    if answers.neighbours == 0:
        return None
    return (
        "what an example is answered hangs on the other examples of its batch: batch statistics, or a mean over the "
        "batch. A device asks one example at a time, so all examples were measured alone: these are the deployed "
        "figures, whatever training or another tool said of whole batches. Give it statistics of its own "
        "(track_running_stats=True), and take no mean over the first axis"
    )


def one_class(predictions: Predictions, baseline: Predictions | None, classes: Sequence[str]) -> str | None:
    """What to say where all examples are given one answer, while labels or the baseline tell them apart."""
    answers = np.unique(predictions.answers)
    known = [other for other in (predictions.labels, baseline.answers if baseline else None) if other is not None]
    if len(predictions) < _FEW or len(answers) > 1 or any(len(np.unique(other)) == 1 for other in known):
        return None
    number = int(answers[0])
    name = classes[number] if 0 <= number < len(classes) else str(number)
    return f"all {len(predictions)} examples are answered with one class, {name!r}: the model tells nothing apart. " + (
        "Check that its input has the range, the layout and the order of channels that it was made for"
        if baseline is None
        else "The baseline does: this step lost the model"
    )


def _depends_on_batch(path: Path) -> bool:
    model = load_structure(path)
    functions: Iterator[Any] = (node for function in model.functions for node in function.node)
    return any(node.op_type in _BATCH_DEPENDENT for node in (*model.graph.node, *functions))


def top1(predictions: Predictions, baseline: Predictions | None = None) -> float | None:
    """Share of examples answered as labelled; without labels, as the baseline answers (None: neither)."""
    if predictions.correct is not None:
        return float(predictions.correct.mean())
    return None if baseline is None else agreement(predictions, baseline)


def top5(predictions: Predictions) -> float | None:
    """Share of examples whose label is among the five best-scored classes; None without labels or classes enough."""
    if predictions.labels is None or predictions.top5.shape[1] < 5:
        return None
    return float((predictions.top5 == predictions.labels[:, None]).any(axis=1).mean())


def agreement(predictions: Predictions, baseline: Predictions) -> float:
    """Share of examples, in [0, 1], that both answer alike."""
    _same_length(predictions, baseline)
    return float((predictions.answers == baseline.answers).mean())


def paired_drop(predictions: Predictions, baseline: Predictions) -> tuple[float, Interval] | None:
    """Baseline top1 minus this top1, with its 95% interval on the same examples; None without labels.

    The examples are the same, so the interval is far narrower than that of two separate
    samples.
    """
    _same_length(predictions, baseline)
    if predictions.correct is None or baseline.correct is None:
        return None
    n = len(predictions)
    both = int((predictions.correct & baseline.correct).sum())
    lost = int((~predictions.correct & baseline.correct).sum())
    won = int((predictions.correct & ~baseline.correct).sum())
    return (lost - won) / n, newcombe(both, lost, won, n - both - lost - won)


def _same_length(one: Predictions, other: Predictions) -> None:
    if len(one) != len(other):
        raise MeasureError(f"predictions on {len(one)} and {len(other)} examples cannot be compared")
