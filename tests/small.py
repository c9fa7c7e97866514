"""A small ONNX classifier and .npz data that recipes run on in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.measure.graphs import small_network


def npz(path: Path, count: int, seed: int, *, labels: bool = True) -> Path:
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((count, 3, 16, 16)).astype(np.float32)
    content = {"images": images}
    if labels:
        content["labels"] = rng.integers(0, 10, count)
    np.savez(path, **content)
    return path


QUICK = ("measure.latency_seconds=0.05", "measure.audit_runs=2", "measure.probe_runs=1")
"""Measurements of which nobody reads the numbers: a run takes a second in place of six."""


def ptq(folder: Path) -> list[str]:
    """The command line of `ptq` on m.onnx, c.npz and e.npz of a folder, with a store there and no goal."""
    return [
        "recipe=ptq",
        "model=onnx",
        f"model.path={folder}/m.onnx",
        "data=npz",
        f"data.calibration={folder}/c.npz",
        f"data.evaluation={folder}/e.npz",
        "~goal",
        f"store.root={folder}/store",
    ]


def arguments(folder: Path, *more: str, labels: bool = False) -> list[str]:
    """The command line of a whole `ptq` run in `folder`, measured quickly where `more` does not say how."""
    folder.mkdir(parents=True, exist_ok=True)
    small_network(folder / "m.onnx")
    npz(folder / "c.npz", 40, 1, labels=False)
    npz(folder / "e.npz", 120, 2, labels=labels)
    return [
        *ptq(folder),
        *(item for item in QUICK if item.partition("=")[0] not in {told.partition("=")[0] for told in more}),
        *more,
    ]
