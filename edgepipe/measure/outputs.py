"""What a step did to each output of a network, where no task says how good the answers are.

Means hide a ruin: a detector keeps R2 0.96 over all of its numbers, of which a twentieth are scores, and half of those
are gone. So every output is told with its worst examples, its worst part, and which of its values is the largest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Dataset, Split, Task
from edgepipe.onnx.sequences import opened
from edgepipe.onnx.session import Session
from edgepipe.onnx.session_options import measuring
from edgepipe.records.metrics import OutputChange
from edgepipe.targets.host import available_cores

EXAMPLES = 128
"""Asked one at a time, as deployed."""
_PARTS = 1024
"""Of an axis with more entries than these, none is told apart."""


@dataclass
class _Sums:
    """Sums of one output over examples; those of parts by axis."""

    errors: list[float] = field(default_factory=list)
    cosines: list[float] = field(default_factory=list)
    rows: list[float] = field(default_factory=list)
    plain: NDArray[np.float64] | None = None
    squares: NDArray[np.float64] | None = None
    noise: NDArray[np.float64] | None = None
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None

    def add(self, wanted: NDArray[Any], got: NDArray[Any]) -> None:
        a, b = wanted.astype(np.float64), got.astype(np.float64)
        size = float(np.linalg.norm(a))
        self.errors.append(float(np.linalg.norm(b - a)) / max(size, 1e-12))
        self.cosines.append(float((a * b).sum()) / max(size * float(np.linalg.norm(b)), 1e-30) if size else 1.0)
        if a.ndim == 2 and a.shape[1] > 2:
            self.rows.append(float((a.argmax(axis=1) == b.argmax(axis=1)).mean()))
        if self.plain is None:
            self.plain, self.squares, self.noise = a, a**2, (b - a) ** 2
            self.low, self.high = a, a
            return
        assert self.squares is not None and self.noise is not None and self.low is not None and self.high is not None
        self.plain, self.squares, self.noise = self.plain + a, self.squares + a**2, self.noise + (b - a) ** 2
        self.low, self.high = np.minimum(self.low, a), np.maximum(self.high, a)


def output_changes(model: Session, baseline: Path, data: Dataset, task: Task) -> list[OutputChange]:
    """Each output of a model against the baseline's, on examples spread over the evaluation split.

    Outputs that are no numbers, and those whose shape differs from example to example or from the baseline's, are left
    out. The first one of a task whose measures cover it is too.
    """
    first = 1 if task.covers else 0
    if len(model.outputs) <= first:
        return []
    sessions = [opened(baseline, data.signature, measuring(available_cores())), model]
    names = [[item.name for item in session.outputs] for session in sessions]
    if len(names[0]) != len(names[1]):
        return []
    sums: dict[int, _Sums | None] = {index: _Sums() for index in range(len(names[0]))}
    shapes: dict[int, tuple[int, ...]] = {}
    count = data.count(Split.EVALUATION)
    chosen = np.unique(np.linspace(0, count - 1, min(EXAMPLES, count)).round().astype(int)).tolist()
    for batch in data.batches(Split.EVALUATION, 1, chosen):
        if any(session.places(batch.inputs).fixed not in (None, 1) for session in sessions):
            return []
        before, now = (list(session.ask(batch.inputs).values()) for session in sessions)
        for index, (wanted, got) in enumerate(zip(before, now, strict=True)):
            kept = sums[index]
            if kept is None or not _numbers(wanted, got) or shapes.setdefault(index, wanted.shape) != wanted.shape:
                sums[index] = None
                continue
            kept.add(np.squeeze(wanted), np.squeeze(got))
    return [
        _change(names[0][index], kept, task.least_range)
        for index, kept in sums.items()
        if kept is not None and index >= first
    ]


def _numbers(wanted: Any, got: Any) -> bool:
    return (
        isinstance(wanted, np.ndarray)
        and isinstance(got, np.ndarray)
        and wanted.shape == got.shape
        and wanted.size > 0
        and wanted.dtype.kind == got.dtype.kind == "f"
        and bool(np.isfinite(wanted).all() and np.isfinite(got).all())
    )


def _change(name: str, sums: _Sums, least: float) -> OutputChange:
    assert sums.plain is not None and sums.squares is not None and sums.noise is not None
    count = len(sums.errors)
    spread = float((sums.squares - sums.plain**2 / count).sum())
    # Several rows are no vector, whatever the task.
    worst = min(_parts(sums, least if sums.plain.ndim < 2 else min(least, Task.least_range)), default=None)
    same = np.array(sums.rows)
    few = max(1, count // 100)
    return OutputChange(
        name=name,
        values=int(sums.plain.size),
        examples=count,
        relative_error=float(np.mean(sums.errors)),
        relative_error_worst=float(np.sort(sums.errors)[-few:].mean()),
        cosine=float(np.mean(sums.cosines)),
        cosine_worst=float(np.sort(sums.cosines)[:few].mean()),
        r2=1 - float(sums.noise.sum()) / spread if spread > 1e-6 * float(sums.squares.sum()) else None,
        worst_part=worst[1] if worst else None,
        worst_part_r2=worst[0] if worst else None,
        rows_alike=float(same.mean()) if same.size else None,
        examples_alike=float((same == 1).mean()) if same.size else None,
    )


def _parts(sums: _Sums, least: float) -> Iterator[tuple[float, str]]:
    """(R2, name) of each slice of an output along each of its axes, of at least this share of the widest range."""
    assert sums.plain is not None and sums.squares is not None and sums.noise is not None
    assert sums.low is not None and sums.high is not None
    for axis, size in enumerate(sums.plain.shape):
        if not 2 <= size <= _PARTS:
            continue
        others = tuple(other for other in range(sums.plain.ndim) if other != axis)
        many = len(sums.errors) * sums.plain.size / size
        spread = sums.squares.sum(axis=others) - sums.plain.sum(axis=others) ** 2 / many
        reach = sums.high.max(axis=others) - sums.low.min(axis=others)
        noise = sums.noise.sum(axis=others)
        moving = (reach > least * reach.max()) & (spread > 1e-6 * sums.squares.sum(axis=others))
        for index in np.flatnonzero(moving):
            where = ["…"] * sums.plain.ndim
            where[axis] = str(index)
            yield 1 - float(noise[index] / spread[index]), f"[{', '.join(where)}]"
