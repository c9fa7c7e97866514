"""Train examples without their labels, for passes that fit or measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from edgepipe.contract import Dataset, Signature, Split

_KEPT_BYTES = 512 * 1024**2
_BATCH_VALUES = 3 * 2**18


def unlabelled(
    data: Dataset, signature: Signature, count: int, seed: int
) -> tuple[Callable[[], Iterator[torch.Tensor]], int]:
    """Batches of train examples, drawn once and the same at every call, and how many examples they are.

    Each is float32 (n, *input_shape) with n such that a wide layer's columns stay in memory.
    """
    size = int(np.prod(signature.input_shape))
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(data.count(Split.TRAIN), generator=generator)[:count].tolist()
    each = max(4, min(64, _BATCH_VALUES // size))

    def read() -> Iterator[torch.Tensor]:
        return (torch.from_numpy(batch.only) for batch in data.batches(Split.TRAIN, each, order))

    if len(order) * size * 4 > _KEPT_BYTES:
        return read, len(order)
    kept = list(read())
    return lambda: iter(kept), len(order)
