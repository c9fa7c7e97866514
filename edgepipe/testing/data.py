"""Whether a source of data keeps its contract."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Batch, Dataset, DataSource, Split
from edgepipe.testing.broken import call, complete, made, must


def check_data(source: type[DataSource] | DataSource, *, changed: DataSource | None = None) -> None:
    """Hold a source of data against its contract.

    Args:
        source: of a few dozen examples: all of them are read several times.
        changed: the same, with the content of one evaluation example changed: its digest must be another one.
    Raises:
        Broken: names the method.
    """
    checked: DataSource = made(source, DataSource)
    who = type(checked).__name__
    with tempfile.TemporaryDirectory() as folder:
        data, again = (call(f"{who}.open", checked.open, Path(folder)) for _ in range(2))
        complete(f"{who}.open", data, Dataset)
        must(data.signature == again.signature, f"{who}.open", "opened twice it has another signature")
        must(data.signature.inputs, f"{who}.signature", "names no inputs")
        must(
            data.count(Split.EVALUATION) > 0,
            f"{who}.count",
            "there are no evaluation examples: no run can do without",
        )
        seen = {split: _check_split(who, data, again, split) for split in Split}
        for split in (Split.TRAIN, Split.CALIBRATION):
            both = set(seen[split]) & set(seen[Split.EVALUATION])
            must(
                not both,
                f"{who}.batches",
                f"{split} and evaluation share {len(both)} examples: splits are disjoint",
            )
        digests = {split: data.digest(split) for split in Split if seen[split]}
        for one in digests:
            for other in digests:
                must(
                    one == other or seen[one] == seen[other] or digests[one] != digests[other],
                    f"{who}.digest",
                    f"{one} and {other} hold other examples and have one digest",
                )
        if changed is not None:
            other_data = call(f"{who}.open", changed.open, Path(folder))
            must(
                other_data.digest(Split.EVALUATION) != data.digest(Split.EVALUATION),
                f"{who}.digest",
                "another content has the same digest: results of the old content would be taken for those of the new",
            )
    why = call(f"{who}.no_training", checked.no_training)
    must(why is None or isinstance(why, str), f"{who}.no_training", f"returned {why!r}: a sentence, or None")


def _check_split(who: str, data: Dataset, again: Dataset, split: Split) -> list[str]:
    """Check one split; the hash of every example's inputs, in order."""
    count = call(f"{who}.count", data.count, split)
    must(isinstance(count, int) and count >= 0, f"{who}.count", f"says {count!r} of {split}")
    digest = call(f"{who}.digest", data.digest, split)
    must(re.fullmatch("[0-9a-f]{64}", digest), f"{who}.digest", f"gives {digest!r}, and a hex SHA-256 is wanted")
    must(again.digest(split) == digest, f"{who}.digest", f"opened twice, {split} has another digest")
    whole = _read(who, data, split, max(1, count))
    must(_joined(whole) == _joined(_read(who, again, split, max(1, count))), f"{who}.batches", "gives others twice")
    if count == 0:
        return []
    for size in (1, 7):
        batches = _read(who, data, split, size)
        sizes = [len(batch) for batch in batches]
        free = not all(tensor.fixed for tensor in data.signature.inputs)  # a batch ends before another shape
        must(
            max(sizes) <= size and (free or sizes[:-1] == [size] * (len(sizes) - 1)),
            f"{who}.batches",
            f"batch_size={size} gives batches of {sizes[:9]}",
        )
        must(
            _joined(batches) == _joined(whole),
            f"{who}.batches",
            f"examples of {split} hang on the size of the batch: {size} at once give others than all at once",
        )
    examples = _joined(whole)
    must(len(examples) == count, f"{who}.batches", f"gives {len(examples)} examples of {split}: count says {count}")
    some = list(range(count))[::-2]
    must(
        _joined(_read(who, data, split, 3, some)) == [examples[index] for index in some],
        f"{who}.batches",
        f"indices={some[:4]}… of {split} gives other examples than these, in this order",
    )
    _check_labels(who, data, split, whole)
    return [inputs for inputs, _ in examples]


def _check_labels(who: str, data: Dataset, split: Split, batches: Sequence[Batch]) -> None:
    labels = call(f"{who}.labels", data.labels, split)
    given = [batch.labels for batch in batches]
    if labels is None:
        must(all(each is None for each in given), f"{who}.labels", f"are None of {split}, and its batches have some")
        return
    must(all(each is not None for each in given), f"{who}.batches", f"{split} has labels, and its batches have none")
    joined = np.concatenate([each for each in given if each is not None])
    must(np.array_equal(joined, labels), f"{who}.labels", f"of {split} are others than those of its batches")


def _read(who: str, data: Dataset, split: Split, size: int, indices: Sequence[int] | None = None) -> list[Batch]:
    """All batches, each as the signature says."""
    found = call(f"{who}.batches", lambda: list(data.batches(split, size, indices)))
    wanted = {tensor.name: tensor for tensor in data.signature.inputs}
    for batch in found:
        must(
            set(batch.inputs) == set(wanted),
            f"{who}.batches",
            f"gives inputs {sorted(batch.inputs)}, and the signature names {sorted(wanted)}",
        )
        for name, values in batch.inputs.items():
            tensor = wanted[name]
            told = f"{tensor.dtype} {list(tensor.shape)}"
            must(str(values.dtype) == tensor.dtype, f"{who}.batches", f"'{name}' is {values.dtype}, not {told}")
            fits = len(values.shape) == len(tensor.shape) + 1 and all(
                isinstance(axis, str) or axis == size for axis, size in zip(tensor.shape, values.shape[1:], strict=True)
            )
            must(fits, f"{who}.batches", f"'{name}' is {list(values.shape)} for {len(batch)} examples, not {told} each")
    return found


def _joined(batches: Sequence[Batch]) -> list[tuple[str, Any]]:
    """(hash of the inputs, label) of every example."""
    found: list[tuple[str, Any]] = []
    for batch in batches:
        for row in range(len(batch)):
            rows = {name: values[row] for name, values in batch.inputs.items()}
            parts = [f"{name}{values.shape}".encode() + _bytes(values) for name, values in rows.items()]
            label = None if batch.labels is None else np.asarray(batch.labels[row]).tolist()
            found.append((hashlib.sha256(b"".join(parts)).hexdigest(), label))
    return found


def _bytes(values: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(values).tobytes()
