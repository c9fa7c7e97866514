"""The train split in memory or streamed, its validation share, and augmentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgepipe.contract import Dataset, Moves, Signature, Split, Task
from edgepipe.data.pixels import Pixels
from edgepipe.errors import DataError

if TYPE_CHECKING:
    from edgepipe.training.settings import TrainingSettings

_KEPT_BYTES = 512 * 1024**2
_BATCH_VALUES = 3 * 2**18


class Examples:
    """The train split: kept in memory when it is small, decoded again each epoch when it is not.

    Args:
        keep: it will be read more than once.
        task: says what labels are learned as; None: classes.

    Attributes:
        rows: indices to train on; `held_out`: indices to judge by, of classes the same share of every one.
    """

    def __init__(
        self,
        data: Dataset,
        signature: Signature,
        *,
        validation_share: float = 0.0,
        seed: int = 0,
        keep: bool = True,
        task: Task | None = None,
    ) -> None:
        self.data, self.signature, self.task = data, signature, task
        count = data.count(Split.TRAIN)
        self.labels = _labels(data, keep)
        if self.labels is None and next(data.batches(Split.TRAIN, 1, [0])).labels is None:
            raise DataError("the train split has no labels: training needs them")
        self._encoded = None if self.labels is None else self._learned(self.labels)
        self.rows, self.held_out = _hold_out(_classes(self.labels, count), validation_share, seed)
        if validation_share > 0 and not len(self.held_out):
            raise DataError(
                f"validation_share={validation_share:g} of {count} training examples is none: raise it, or set 0"
            )
        self._kept: NDArray[np.float32] | Pixels | None = None
        if self.labels is None or not keep:
            return  # labels that are read with their examples: nothing is won by keeping these
        if count * int(np.prod(signature.input_shape)) * 4 <= _KEPT_BYTES:
            self._kept = np.concatenate([batch.only for batch in data.batches(Split.TRAIN, 256)])
        else:
            self._kept = Pixels.of(data, Split.TRAIN, signature)

    def _learned(self, labels: NDArray[Any]) -> torch.Tensor:
        if self.task is not None and not self.task.one_class:
            labels = self.task.encoded(labels, self.signature)
        return torch.from_numpy(np.ascontiguousarray(labels))

    def batches(self, order: Sequence[int], size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(float32 (n, *input_shape), labels as the loss takes them: int64 (n,) of classes) in the order given."""
        chosen = list(order)
        if self._encoded is None:
            for batch in self.data.batches(Split.TRAIN, size, chosen):
                assert batch.labels is not None
                yield torch.from_numpy(batch.only), self._learned(batch.labels)
            return
        for number, inputs in enumerate(self._inputs(chosen, size)):
            yield torch.from_numpy(inputs), self._encoded[chosen[number * size : number * size + len(inputs)]]

    def _inputs(self, chosen: list[int], size: int) -> Iterator[NDArray[np.float32]]:
        if isinstance(self._kept, Pixels):
            yield from self._kept.batches(chosen, size)
        elif self._kept is not None:
            for start in range(0, len(chosen), size):
                yield self._kept[chosen[start : start + size]]
        else:
            for batch in self.data.batches(Split.TRAIN, size, chosen):
                yield batch.only


def _labels(data: Dataset, keep: bool) -> NDArray[Any] | None:
    """All labels; None: there are none, or they are so many masks or pictures that each is read with its example."""
    first = next(data.batches(Split.TRAIN, 1, [0])).labels
    large = first is not None and first.ndim > 2
    if first is None or (large and (not keep or first.nbytes * data.count(Split.TRAIN) > _KEPT_BYTES)):
        return None
    return data.labels(Split.TRAIN)


def _classes(labels: NDArray[Any] | None, count: int) -> NDArray[Any]:
    """What the held-out share is drawn by: the classes, else nothing."""
    classes = labels is not None and labels.ndim == 1 and labels.dtype.kind in "iu"
    return np.asarray(labels) if classes else np.zeros(count, np.int64)


def _hold_out(labels: NDArray[np.int64], share: float, seed: int) -> tuple[list[int], list[int]]:
    """(train, held out), each ascending; every class gives the same share."""
    if share == 0:
        return list(range(len(labels))), []
    generator = torch.Generator().manual_seed(seed)
    held: set[int] = set()
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = torch.randperm(len(members), generator=generator).numpy()
        held.update(members[order[: round(share * len(members))]].tolist())
    return [row for row in range(len(labels)) if row not in held], sorted(held)


def augment(
    inputs: torch.Tensor, settings: TrainingSettings, generator: torch.Generator
) -> tuple[torch.Tensor, Moves | None]:
    """Shift by up to `crop_padding` pixels and mirror; pictures only, (n, channels, height, width). What was done."""
    if inputs.ndim != 4:
        return inputs, None
    pad = settings.crop_padding
    height, width = inputs.shape[2:]
    moved = torch.zeros((len(inputs), 2), dtype=torch.int64)
    mirrored = torch.zeros(len(inputs), dtype=torch.bool)
    if pad:
        # The border repeats: zeros would be grey after normalization, a frame no real picture has.
        wide = nn.functional.pad(inputs, (pad, pad, pad, pad), mode="replicate")
        drawn = torch.randint(0, 2 * pad + 1, (len(inputs), 2), generator=generator)
        moved = pad - drawn
        inputs = torch.stack([wide[i, :, y : y + height, x : x + width] for i, (y, x) in enumerate(drawn.tolist())])
    if settings.horizontal_flip:
        mirrored = torch.rand(len(inputs), generator=generator) < 0.5
        inputs = torch.where(mirrored[:, None, None, None], inputs.flip(3), inputs)
    return inputs, Moves(moved[:, 0], moved[:, 1], mirrored, int(height), int(width))
