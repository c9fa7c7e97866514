"""The train split in memory or streamed, its validation share, and augmentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgepipe.contract import Dataset, Signature, Split
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

    Attributes:
        rows: indices to train on; `held_out`: indices to judge by, the same share of every class.
    """

    def __init__(
        self,
        data: Dataset,
        signature: Signature,
        *,
        validation_share: float = 0.0,
        seed: int = 0,
        keep: bool = True,
    ) -> None:
        self.data = data
        labels = data.labels(Split.TRAIN)
        if labels is None:
            raise DataError("the train split has no labels: training needs them")
        self.labels = torch.from_numpy(np.asarray(labels))
        self.rows, self.held_out = _hold_out(np.asarray(labels), validation_share, seed)
        if validation_share > 0 and not len(self.held_out):
            raise DataError(
                f"validation_share={validation_share:g} of {len(labels)} training examples is none: raise it, or set 0"
            )
        self._kept: NDArray[np.float32] | Pixels | None = None
        if keep and len(labels) * int(np.prod(signature.input_shape)) * 4 <= _KEPT_BYTES:
            self._kept = np.concatenate([batch.only for batch in data.batches(Split.TRAIN, 256)])
        elif keep:
            self._kept = Pixels.of(data, Split.TRAIN, signature)

    def batches(self, order: Sequence[int], size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(float32 (n, *input_shape), int64 (n,)) in the order of the indices given."""
        chosen = list(order)
        if isinstance(self._kept, Pixels):
            for number, inputs in enumerate(self._kept.batches(chosen, size)):
                yield torch.from_numpy(inputs), self.labels[chosen[number * size : number * size + len(inputs)]]
            return
        if self._kept is not None:
            for start in range(0, len(chosen), size):
                part = chosen[start : start + size]
                yield torch.from_numpy(self._kept[part]), self.labels[part]
            return
        for number, batch in enumerate(self.data.batches(Split.TRAIN, size, chosen)):
            yield torch.from_numpy(batch.only), self.labels[chosen[number * size : number * size + len(batch.only)]]


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


def augment(inputs: torch.Tensor, settings: TrainingSettings, generator: torch.Generator) -> torch.Tensor:
    """Shift by up to `crop_padding` pixels and mirror; pictures only, (n, channels, height, width)."""
    if inputs.ndim != 4:
        return inputs
    pad = settings.crop_padding
    if pad:
        height, width = inputs.shape[2:]
        # The border repeats: zeros would be grey after normalization, a frame no real picture has.
        wide = nn.functional.pad(inputs, (pad, pad, pad, pad), mode="replicate")
        shifts = torch.randint(0, 2 * pad + 1, (len(inputs), 2), generator=generator).tolist()
        inputs = torch.stack([wide[i, :, y : y + height, x : x + width] for i, (y, x) in enumerate(shifts)])
    if settings.horizontal_flip:
        mirrored = torch.rand(len(inputs), generator=generator) < 0.5
        inputs = torch.where(mirrored[:, None, None, None], inputs.flip(3), inputs)
    return inputs
