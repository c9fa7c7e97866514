"""Which axis of an output counts the examples: found by running the model, never assumed.

A recognizer answers (steps, examples, letters); its first 2 rows are steps, not examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Run = Callable[[NDArray[Any]], NDArray[Any]]


def batch_axis(run: Run, rows: NDArray[Any], fixed: int | None) -> int | None:
    """The axis of what `run` answers that counts examples; None: none does, or two may: ask one example at a time.

    Args:
        run: from inputs, (n, ...), to an output.
        rows: an example or more, of which two differ where there are two.
        fixed: the only batch that the model takes; None: any.
    """
    if fixed == 1:
        return None
    if fixed is not None:
        return _of_fixed(run, rows, fixed)
    try:
        two, three = (np.asarray(run(np.resize(rows, (n, *rows.shape[1:])))).shape for n in (2, 3))
    except Exception:  # a batch that is written into the graph: no runtime says so beforehand
        return None
    if len(two) != len(three):
        return None
    changed = [axis for axis, (a, b) in enumerate(zip(two, three, strict=True)) if a != b]
    return changed[0] if len(changed) == 1 and (two[changed[0]], three[changed[0]]) == (2, 3) else None


def _of_fixed(run: Run, rows: NDArray[Any], fixed: int) -> int | None:
    alike = np.repeat(rows[:1], fixed, axis=0)
    first = np.asarray(run(alike))
    found = [axis for axis, size in enumerate(first.shape) if size == fixed]
    if len(found) < 2:
        return found[0] if found else None
    other = alike.copy()
    other[-1] = (
        rows[-1]
        if len(rows) > 1 and (rows[-1] != rows[0]).any()
        else np.roll(rows[0].reshape(-1), 1).reshape(rows[0].shape)
    )
    differs = np.asarray(run(other)) != first
    sure = [axis for axis in found if differs.any() and not np.delete(differs, fixed - 1, axis=axis).any()]
    return sure[0] if len(sure) == 1 else None


def one_each(run: Run, rows: NDArray[Any]) -> NDArray[Any]:
    """What each example is answered alone: (n, ...), where an axis of 1 in front counts the one example."""
    return stacked(run(rows[i : i + 1]) for i in range(len(rows)))


def stacked(outputs: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """Answers of one example each as (n, ...)."""
    return np.concatenate([output if output.shape[:1] == (1,) else output[None] for output in outputs])
