"""Loaders as users write them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgepipe.data.python import PythonData

COUNT = 24


def loaded(function: str, **settings: Any) -> PythonData:
    """The source of one of these functions; `seed` and the like are its arguments."""
    own = {name: settings.pop(name) for name in list(settings) if name not in PythonData.model_fields or name == "seed"}
    return PythonData(factory=f"{__name__}:{function}", kwargs=own, trust_code=True, **settings)


class Examples:
    """A sequence of (inputs, label)."""

    def __init__(self, seed: int, count: int = COUNT) -> None:
        self.seed, self.count = seed, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> tuple[Any, Any]:
        return np.random.default_rng([self.seed, row]).random((3, 4, 4)), row % 3


def plain(seed: int = 0) -> dict[str, Any]:
    return {"train": Examples(seed), "evaluation": Examples(seed + 100), "classes": ["a", "b", "c"]}


def generated(seed: int = 0) -> dict[str, Any]:
    """The same, which can be read once only."""
    made = plain(seed)
    read = {name: iter([made[name][row] for row in range(COUNT)]) for name in ("train", "evaluation")}
    return {**made, **read}


def one_set() -> Examples:
    return Examples(0)


def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {"evaluation": (rng.random((9, 5), np.float32), rng.random(9).astype(np.float32))}


def tensors(batch: int = 5, shuffle: bool = False) -> dict[str, Any]:
    """A DataLoader of torch, and a Dataset of it."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    made = TensorDataset(torch.rand(12, 3, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3)
    other = TensorDataset(torch.rand(8, 3, 4, 4, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 3)
    return {"train": DataLoader(made, batch_size=batch, shuffle=shuffle), "evaluation": other}


def named(labels: str = "labels") -> dict[str, Any]:
    """Texts of different length, with names."""
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 9, 3 + row % 2) for row in range(6)]
    return {"evaluation": [{"ids": ids, "mask": np.ones_like(ids), labels: 1.5 * len(ids)} for ids in rows]}


def masks() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    made = [(rng.random((3, 4, 4)), rng.integers(0, 2, (4, 4)).astype(np.uint8)) for _ in range(6)]
    return {"evaluation": made, "task": "segmentation"}


def boxes() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    made = [(rng.random((3, 4, 4)), np.full((row % 3, 6), row)) for row in range(4)]
    return {"evaluation": made, "task": "detection"}


def endless() -> dict[str, Any]:
    def ever() -> Iterator[Any]:
        while True:
            yield np.zeros(3), 0

    return {"evaluation": ever()}


def returns(what: str) -> Any:
    """What no loader should return; `what` is Python."""
    return eval(what, {"np": np, "Examples": Examples})


class Random:
    """A sequence that draws anew each time."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, row: int) -> Any:
        return np.random.default_rng().random(4), row


def random_sequence() -> dict[str, Any]:
    return {"evaluation": Random()}


class Breaks:
    """Fails at its third example."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, row: int) -> Any:
        if row == 2:
            raise KeyError("picture 2")  # the line that is named
        return np.zeros(2) + row, row


def breaks() -> dict[str, Any]:
    return {"evaluation": Breaks()}


def overlapping() -> dict[str, Any]:
    return {"train": Examples(0), "evaluation": Examples(0, 5)}
