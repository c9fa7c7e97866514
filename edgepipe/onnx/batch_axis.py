"""Which axis of an output counts the examples: found by running the model, never assumed.

A recognizer answers (steps, examples, letters); its first 2 rows are steps, not examples. A network with several inputs
and outputs is asked the same way, with all of its inputs at once and each of its outputs looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import NodeProto  # converters, in processes of their own, need none of it

Rows = Mapping[str, NDArray[Any]]
"""Examples by the name of the input, each (n, ...)."""
Run = Callable[[NDArray[Any]], NDArray[Any]]
Ask = Callable[[Rows], Mapping[str, NDArray[Any]]]
"""From examples to the outputs by their names."""

MIXED = 0.01
"""Share of its answers' spread by which a model may answer an example otherwise among others than alone: kernels add up
in another order, and a rounding to int8 may flip; a mean over the batch moves answers by tenths."""
_RANGES_OF_BATCH = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"}
_ONLY = ""
"""The name of the only input and output of a `Run`."""


def batch_axis(run: Run, rows: NDArray[Any], fixed: int | None) -> int | None:
    """The axis of what `run` answers that counts examples; None: ask one example at a time.

    None: no axis counts them, or two may, or what an example is answered hangs on its neighbours in the batch, of which
    a device has none.

    Args:
        run: from inputs, (n, ...), to an output.
        rows: an example or more, of which two differ where there are two.
        fixed: the only batch that the model takes; None: any.
    """
    return batch_axes(_named(run), {_ONLY: rows}, fixed).get(_ONLY)


def batch_axes(ask: Ask, rows: Rows, fixed: int | None) -> dict[str, int]:
    """The axis that counts examples of each output; one that is not in it: ask one example at a time.

    Args, and when an output has none: as for `batch_axis`.
    """
    if fixed == 1:
        return {}
    if fixed is not None:
        return _of_fixed(ask, rows, fixed)
    axes = all_counting(ask, rows)
    mixed_by = _among_others(ask, rows, axes) if axes else {}
    return {name: axis for name, axis in axes.items() if mixed_by[name] <= MIXED}


def neighbours(run: Run, rows: NDArray[Any]) -> float:
    """By which share of their spread answers hang on the other examples of a batch; 0: they do not.

    Args:
        run: takes any number of examples.
        rows: as for `batch_axis`; the first ones are asked together and one by one.
    """
    return all_neighbours(_named(run), {_ONLY: rows})


def all_neighbours(ask: Ask, rows: Rows) -> float:
    """As `neighbours`, of the output whose answers hang on them most."""
    axes = all_counting(ask, rows)
    share = max(_among_others(ask, rows, axes).values()) if axes else 0.0
    return share if share > MIXED else 0.0


def ranges_of_the_batch(nodes: Iterable[NodeProto]) -> bool:
    """Whether a network takes ranges of values from the whole batch, so that an answer hangs on its neighbours."""
    return any(node.op_type in _RANGES_OF_BATCH for node in nodes)


def counting(run: Run, rows: NDArray[Any]) -> int | None:
    """The axis that grows with the number of examples; None: none does, or the model does not take several."""
    return all_counting(_named(run), {_ONLY: rows}).get(_ONLY)


def _named(run: Run) -> Ask:
    return lambda rows: {_ONLY: run(rows[_ONLY])}


def _each(rows: Rows, do: Callable[[NDArray[Any]], NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: do(value) for name, value in rows.items()}


def resized(rows: Rows, count: int) -> dict[str, NDArray[Any]]:
    """So many examples: repeated from the first one on where there are fewer."""
    return _each(rows, lambda value: np.resize(value, (count, *value.shape[1:])))


def cut(rows: Rows, start: int, stop: int) -> dict[str, NDArray[Any]]:
    """The examples from `start` up to, not including, `stop`."""
    return _each(rows, lambda value: value[start:stop])


def all_counting(ask: Ask, rows: Rows) -> dict[str, int]:
    """Of each output the axis that grows with the number of examples; one that is not in it has none."""
    try:
        two, three = (_each(ask(resized(rows, n)), np.asarray) for n in (2, 3))
    except Exception:  # a batch that is written into the graph: no runtime says so beforehand
        return {}
    found = {}
    for name in two:
        one, other = two[name].shape, three[name].shape
        changed = [axis for axis, (a, b) in enumerate(zip(one, other, strict=False)) if a != b]
        if len(one) == len(other) and len(changed) == 1 and (one[changed[0]], other[changed[0]]) == (2, 3):
            found[name] = changed[0]
    return found


def _among_others(ask: Ask, rows: Rows, axes: Mapping[str, int]) -> dict[str, float]:
    few = _unlike(rows)
    together = ask(few)
    try:
        alone = [ask(cut(few, i, i + 1)) for i in range(count_of(few))]
    except Exception:  # it takes no single example: whoever deploys it gives it several
        return dict.fromkeys(axes, 0.0)
    return {
        name: mixed(
            np.moveaxis(np.asarray(together[name]), axis, 0),
            np.stack([np.moveaxis(np.asarray(each[name]), axis, 0)[0] for each in alone]),
        )
        for name, axis in axes.items()
    }


def mixed(together: NDArray[Any], alone: NDArray[Any]) -> float:
    """How far answers of a batch are from those of its examples alone, both (n, ...), as a share of their spread."""
    if together.shape != alone.shape or together.dtype.kind not in "fiu":
        return 0.0
    a, b = (value.astype(np.float64).reshape(len(value), -1) for value in (together, alone))
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return 0.0  # which is told by whoever measures
    spread = max(float(np.linalg.norm(b - b.mean(axis=0))), 1e-3 * float(np.linalg.norm(b)), 1e-12)
    return float(np.linalg.norm(a - b)) / spread


def count_of(rows: Rows) -> int:
    """The number of examples."""
    return min((len(value) for value in rows.values()), default=0)


def _unlike(rows: Rows) -> dict[str, NDArray[Any]]:
    """At most four of the rows, the second made another one where all are alike."""
    few = resized(rows, max(2, min(4, count_of(rows))))
    if all(np.array_equal(value[0], row) for value in few.values() for row in value[1:]):
        for value in few.values():
            value[1] = _turned(value[0])
    return few


def _turned(row: NDArray[Any]) -> NDArray[Any]:
    return np.roll(row.reshape(-1), 1).reshape(row.shape)


def _of_fixed(ask: Ask, rows: Rows, fixed: int) -> dict[str, int]:
    alike = _each(rows, lambda value: np.repeat(value[:1], fixed, axis=0))
    first = _each(ask(alike), np.asarray)
    found = {name: [axis for axis, size in enumerate(one.shape) if size == fixed] for name, one in first.items()}
    sure = {name: axes[0] for name, axes in found.items() if len(axes) == 1}
    if all(len(axes) < 2 for axes in found.values()):
        return sure
    other = _each(alike, np.copy)
    differ = count_of(rows) > 1 and any((value[-1] != value[0]).any() for value in rows.values())
    for name, value in other.items():
        value[-1] = rows[name][-1] if differ else _turned(rows[name][0])
    for name, second in ask(other).items():
        if len(found[name]) < 2:
            continue
        differs = np.asarray(second) != first[name]
        of_last = [axis for axis in found[name] if not np.delete(differs, fixed - 1, axis=axis).any()]
        if differs.any() and len(of_last) == 1:
            sure[name] = of_last[0]
    return sure


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
    axes = {_ONLY: axis or 0} if axis is not None or fixed not in (None, 1) else None
    return all_answered(_named(run), {_ONLY: rows}, fixed, axes, together)[_ONLY]


def all_answered(
    ask: Ask, rows: Rows, fixed: int | None, axes: Mapping[str, int] | None, together: int | None = None
) -> dict[str, NDArray[Any]]:
    """What all rows are answered, each output (n, ...), whatever axis of it counts them.

    Args:
        axes: of every output, as `batch_axes` found them; None: the rows are asked one by one.
        fixed, together: as for `answered`.
    """
    count = count_of(rows)
    if axes is None:
        alone = [ask(cut(rows, i, i + 1)) for i in range(count)]
        return {name: stacked(np.asarray(one[name]) for one in alone) for name in (alone[0] if alone else ())}
    step = fixed or together or max(1, count)
    found: dict[str, list[NDArray[Any]]] = {name: [] for name in axes}
    for start in range(0, count, step):
        part = cut(rows, start, start + step)
        size = count_of(part)
        fed = part if fixed is None else _each(part, lambda value: filled_up(value, fixed))
        for name, output in ask(fed).items():
            found[name].append(np.moveaxis(np.asarray(output), axes[name], 0)[:size])
    return {name: np.concatenate(parts) for name, parts in found.items()}


def filled_up(rows: NDArray[Any], fixed: int) -> NDArray[Any]:
    """At most `fixed` rows, (n, ...), as exactly so many: the last one repeated."""
    return rows if len(rows) == fixed else np.concatenate([rows, np.repeat(rows[-1:], fixed - len(rows), axis=0)])


def one_each(run: Run, rows: NDArray[Any]) -> NDArray[Any]:
    """What each example is answered alone: (n, ...), where an axis of 1 in front counts the one example."""
    return stacked(run(rows[i : i + 1]) for i in range(len(rows)))


def stacked(outputs: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """Answers of one example each as (n, ...)."""
    return np.concatenate([output if output.shape[:1] == (1,) else output[None] for output in outputs])
