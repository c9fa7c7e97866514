"""What every place answers, written once: arrays as the model takes them, and how its runs go together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.base.files import reserve, write_text
from edgepipe.contract import Signature
from edgepipe.errors import VerifyError
from edgepipe.onnx.batch_axis import batch_axes, count_of, cut
from edgepipe.onnx.sequences import SequenceSession, has_steps, opened
from edgepipe.onnx.session import Session
from edgepipe.onnx.session_options import asking
from edgepipe.onnx.tensor_types import cast

INPUTS_FILE = "inputs.json"
"""`inputs`: of each its name, file, type, the axis that counts examples (null: none does), whether it goes step by
step, and the shape of an example; `outputs`: names, each with that axis; `batch`: examples of a run; `steps` of an
example; `state`: input to the output that feeds it."""
_LOOKED_AT = 4


@dataclass(frozen=True)
class Plan:
    """The content of inputs.json."""

    inputs: tuple[Mapping[str, Any], ...]
    outputs: tuple[Mapping[str, Any], ...]
    batch: int
    steps: int
    state: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """That of a folder."""
        content = json.loads((folder / INPUTS_FILE).read_text(encoding="utf-8"))
        return cls(
            tuple(content["inputs"]), tuple(content["outputs"]), *(content[k] for k in ("batch", "steps", "state"))
        )


def write_inputs(
    folder: Path, model: Path, signature: Signature, batches: Iterable[Mapping[str, NDArray[Any]]], count: int
) -> Plan:
    """Write `count` examples, of the type that the model takes, and `INPUTS_FILE`.

    Args:
        folder: an empty one.
        signature: of the data; with `state`, an example is several runs.
        batches: examples by name, (n, ...) each.
    Raises:
        VerifyError: examples have different shapes, or no output is of numbers.
        ModelError, MeasureError: they do not fit the model.
    """
    session = opened(model, signature, asking(), name=str(model))
    first: dict[str, NDArray[Any]] | None = None
    files: dict[str, Any] = {}
    done = 0
    for given in batches:
        whole = whole_rows(session, given)
        size = count_of(whole)
        for index, (name, value) in enumerate(whole.items()):
            if name not in files:
                path = folder / f"{index}.npy"
                shape = (count, *value.shape[1:])
                files[name] = np.lib.format.open_memmap(path, mode="w+", dtype=value.dtype, shape=shape)
                reserve(path, path.stat().st_size)
            if files[name].shape[1:] != value.shape[1:]:
                raise VerifyError(
                    f"verify: input '{name}' has examples of shape {files[name].shape[1:]} and {value.shape[1:]}: give "
                    "as many of one shape, with verify_examples or --examples"
                )
            files[name][done : done + size] = value
        if first is None:
            first = cut(whole, 0, _LOOKED_AT)
        done += size
    assert first is not None
    assert done == count
    for file in files.values():
        file.flush()
    plan = plan_of(session, first)
    write_text(folder / INPUTS_FILE, json.dumps(plan.__dict__))
    return plan


def whole_rows(session: Session, given: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Examples for every input, in the type that it takes, (n, ...) each; the state that nobody gives as it begins.

    Raises:
        ModelError, MeasureError: they do not fit the model.
    """
    rows = session.rows(given)
    begin = session.one_run(rows)
    found = {}
    for item in session.inputs:
        assert item.dtype is not None
        value = rows.get(item.name, begin[item.name])
        found[item.name] = cast(value, item.dtype, session.name, item.name if len(session.inputs) > 1 else "")
    return found


def plan_of(session: Session, rows: Mapping[str, NDArray[Any]]) -> Plan:
    """How the runs of a model go together.

    Args:
        rows: a few examples, as of `whole_rows`.
    Raises:
        VerifyError: no output is of numbers.
    """
    names = [item.name for item in session.outputs if item.dtype is not None]
    if not names:
        raise VerifyError(f"{session.name}: none of its outputs is of numbers: there is nothing to compare")
    sequence = session if isinstance(session, SequenceSession) else None
    at, steps = session.places(rows), 1 if sequence is None else sequence.steps
    batch = at.fixed or 1
    axes = {} if batch == 1 else batch_axes(lambda some: session.ask(some, names), rows, at.fixed)
    inputs = []
    for index, item in enumerate(session.inputs):
        value = rows[item.name]
        stepped = sequence is not None and item.name not in sequence.state and has_steps(item, value, steps)
        one = {"name": item.name, "file": f"{index}.npy", "type": value.dtype.name, "axis": at.axes[item.name]}
        inputs.append({**one, "stepped": stepped, "shape": list(value.shape[1:])})
    # Of a sequence the session hands out the steps in front.
    outputs = [
        {"name": name, "axis": None if axes.get(name) is None else max(0, axes[name] - (sequence is not None))}
        for name in names
    ]
    return Plan(tuple(inputs), tuple(outputs), batch, steps, {} if sequence is None else sequence.state)
