"""Which axis of an output counts the examples: found by running the model, never assumed.

A recognizer answers (steps, examples, letters); its first 2 rows are steps, not examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Run = Callable[[NDArray[Any]], NDArray[Any]]

MIXED = 0.01
"""Share of its answers' spread by which a model may answer an example otherwise among others than alone: kernels add up
in another order, and a rounding to int8 may flip; a mean over the batch moves answers by tenths."""


def batch_axis(run: Run, rows: NDArray[Any], fixed: int | None) -> int | None:
    """The axis of what `run` answers that counts examples; None: ask one example at a time.

    None: no axis counts them, or two may, or what an example is answered hangs on its neighbours in the batch, of which
    a device has none.

    Args:
        run: from inputs, (n, ...), to an output.
        rows: an example or more, of which two differ where there are two.
        fixed: the only batch that the model takes; None: any.
    """
    if fixed == 1:
        return None
    if fixed is not None:
        return _of_fixed(run, rows, fixed)
    axis = counting(run, rows)
    return None if axis is None or _among_others(run, rows, axis) > MIXED else axis


def neighbours(run: Run, rows: NDArray[Any]) -> float:
    """By which share of their spread answers hang on the other examples of a batch; 0: they do not.

    Args:
        run: takes any number of examples.
        rows: as for `batch_axis`; the first ones are asked together and one by one.
    """
    axis = counting(run, rows)
    share = 0.0 if axis is None else _among_others(run, rows, axis)
    return share if share > MIXED else 0.0


def counting(run: Run, rows: NDArray[Any]) -> int | None:
    """The axis that grows with the number of examples; None: none does, or the model does not take several."""
    try:
        two, three = (np.asarray(run(np.resize(rows, (n, *rows.shape[1:])))).shape for n in (2, 3))
    except Exception:  # a batch that is written into the graph: no runtime says so beforehand
        return None
    if len(two) != len(three):
        return None
    changed = [axis for axis, (a, b) in enumerate(zip(two, three, strict=True)) if a != b]
    return changed[0] if len(changed) == 1 and (two[changed[0]], three[changed[0]]) == (2, 3) else None


def _among_others(run: Run, rows: NDArray[Any], axis: int) -> float:
    few = _unlike(rows)
    together = np.moveaxis(np.asarray(run(few)), axis, 0)
    try:
        alone = [np.moveaxis(np.asarray(run(few[i : i + 1])), axis, 0)[0] for i in range(len(few))]
    except Exception:  # it takes no single example: whoever deploys it gives it several
        return 0.0
    return mixed(together, np.stack(alone))


def mixed(together: NDArray[Any], alone: NDArray[Any]) -> float:
    """How far answers of a batch are from those of its examples alone, both (n, ...), as a share of their spread."""
    if together.shape != alone.shape or together.dtype.kind not in "fiu":
        return 0.0
    a, b = (value.astype(np.float64).reshape(len(value), -1) for value in (together, alone))
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return 0.0  # which is told by whoever measures
    spread = max(float(np.linalg.norm(b - b.mean(axis=0))), 1e-3 * float(np.linalg.norm(b)), 1e-12)
    return float(np.linalg.norm(a - b)) / spread


def _unlike(rows: NDArray[Any]) -> NDArray[Any]:
    """At most four of the rows, the second made another one where all are alike."""
    few = np.resize(rows, (max(2, min(4, len(rows))), *rows.shape[1:]))
    if all(np.array_equal(few[0], row) for row in few[1:]):
        few[1] = np.roll(few[0].reshape(-1), 1).reshape(few[0].shape)
    return few


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


def answered(
    run: Run, rows: NDArray[Any], fixed: int | None, axis: int | None, together: int | None = None
) -> NDArray[Any]:
    """What all rows are answered, (n, ...), whatever axis of the output counts them.

    Args:
        run: from inputs, (n, ...), to an output.
        fixed: the only batch that the model takes, the last one filled up; None: any.
        axis: as `batch_axis` found it.
        together: so many rows a run, at most, where the model takes any; None: all.
    """
    if axis is None and fixed in (None, 1):
        return one_each(run, rows)
    step = fixed or together or max(1, len(rows))
    found = []
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        fed = part if fixed is None else np.concatenate([part, np.repeat(part[-1:], fixed - len(part), axis=0)])
        found.append(np.moveaxis(np.asarray(run(fed)), axis or 0, 0)[: len(part)])
    return np.concatenate(found)


def one_each(run: Run, rows: NDArray[Any]) -> NDArray[Any]:
    """What each example is answered alone: (n, ...), where an axis of 1 in front counts the one example."""
    return stacked(run(rows[i : i + 1]) for i in range(len(rows)))


def stacked(outputs: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """Answers of one example each as (n, ...)."""
    return np.concatenate([output if output.shape[:1] == (1,) else output[None] for output in outputs])
