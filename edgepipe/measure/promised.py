"""What a task gave, against its contract: a slip in anybody's task has its name and is no traceback."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import ByClass, Figure, Task
from edgepipe.errors import MeasureError


def figures(task: Task, method: str, found: Any) -> dict[str, Figure]:
    """What `measured` or `compared` gave: a figure for each measure, finite where it has a value.

    Raises:
        MeasureError: it is not; names the task, the method and the measure.
    """
    where, wanted = f"task {type(task).__name__}: {method}()", {measure.name for measure in task.measures}
    if not isinstance(found, Mapping) or found.keys() != wanted:
        names = sorted(found) if isinstance(found, Mapping) else type(found).__name__
        raise MeasureError(f"{where} gave {names}, and its measures are {sorted(wanted)}: a defect of the task")
    kept = {}
    for name, figure in found.items():
        try:
            value, ci95 = Figure(*figure)
            numbers = [item for item in (value, *(ci95 or ())) if item is not None]
            fine = all(math.isfinite(item) for item in numbers)
        except TypeError:
            fine = False
        if not fine:
            raise MeasureError(
                f"{where} gave {figure!r} for '{name}', and not a Figure of finite numbers: a defect of the task"
            )
        kept[name] = Figure(value, ci95)
    return kept


def classes_told(task: Task, found: Any) -> ByClass:
    """What `by_class` gave: finite numbers by title and class.

    Raises:
        MeasureError: it is something else; names the task.
    """
    try:
        told = {str(title): {str(name): float(value) for name, value in of.items()} for title, of in found.items()}
        fine = all(math.isfinite(value) for of in told.values() for value in of.values())
    except (TypeError, ValueError, AttributeError):
        fine = False
    if not fine:
        raise MeasureError(
            f"task {type(task).__name__}: by_class() gave {found!r:.200}, and not finite numbers by title and class: "
            "a defect of the task"
        )
    return told


def share_alike(task: Task, found: Any, count: int) -> float:
    """Share of the examples that `alike` says are answered alike.

    Raises:
        MeasureError: it gave something else than one truth for each example.
    """
    values: NDArray[Any] = np.asarray(found)
    if values.shape != (count,) or values.dtype != np.bool_:
        raise MeasureError(
            f"task {type(task).__name__}: alike() gave {values.dtype} of shape {values.shape}, no bool for each of "
            f"{count} examples: a defect of the task"
        )
    return float(values.mean())
