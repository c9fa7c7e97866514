"""A network whose state goes round: an example is several runs, and an output of each feeds an input of the next.

`opened` opens any network for the examples of a signature; whoever asks it with `Session.ask` need not know whether
they have steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Signature
from edgepipe.errors import ModelError
from edgepipe.onnx.batch_axis import Rows, count_of
from edgepipe.onnx.examples import Places, places
from edgepipe.onnx.session import Given, Session, by_name
from edgepipe.onnx.tensor_types import Tensor


def opened(model: Path | bytes, signature: Signature, options: Any = None, *, name: str | None = None) -> Session:
    """A session for the examples of a signature: with `state`, each of them is `steps` runs.

    Args, and raises: as for `Session`. ModelError: `state` names no input, or no output.
    """
    if not signature.state:
        return Session(model, options, name=name)
    return SequenceSession(model, signature.state, signature.steps or 1, options, name=name)


class SequenceSession(Session):
    """A session whose examples take several runs each.

    Of an example an array with as many steps on its first axis, and one axis more than the input has, is given step by
    step; others are given alike at each. The state begins as the data's array of that name, else as zeros.

    Args:
        state: input to the output that feeds it in the next run.
        steps: runs of an example.
        model, options, name: as for `Session`.
    Raises:
        ModelError: `state` names no input, or no output; says which there are.
    """

    def __init__(
        self, model: Path | bytes, state: Mapping[str, str], steps: int, options: Any = None, *, name: str | None = None
    ) -> None:
        super().__init__(model, options, name=name)
        self.state, self.steps = dict(state), steps
        check_state(self.inputs, self.outputs, state, self.name)

    def rows(self, examples: Given) -> dict[str, NDArray[Any]]:
        return by_name([item.name for item in self.inputs], examples, self.name, self.state)

    def one_run(self, examples: Given) -> dict[str, NDArray[Any]]:
        return first_step(self.inputs, examples, self.state, self.steps, self.name)

    def runs(self, examples: Given, outputs: Sequence[str] = ()) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """What each run of the examples is given, by input as the graph takes it, and answers.

        Args:
            outputs: names of those that are wanted; what the state needs comes with them.
        """
        rows, first = self.rows(examples), self.one_run(examples)
        at = self._places(first)
        given = at.placed(first)
        stepped = {item.name: rows[item.name] for item in self.inputs if self._has_steps(item, rows)}
        wanted = list(dict.fromkeys([*outputs, *self.state.values()]))
        for step in range(self.steps):
            now = at.placed({**first, **{name: value[:, step] for name, value in stepped.items()}})
            given |= {name: now[name] for name in stepped}
            found = self.run(given, wanted)
            yield dict(given), found
            given |= {name: found[output] for name, output in self.state.items()}

    def _has_steps(self, item: Tensor, rows: Rows) -> bool:
        name = item.name
        return name in rows and name not in self.state and has_steps(item, rows[name], self.steps)

    def ask(self, examples: Given, outputs: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """As of `Session`, of all steps: an output gets an axis of steps in front of its own.

        Behind the axis of 1 that counts the example, where the network takes one at a time: (1, steps, ...).
        """
        names = [item.name for item in self.outputs] if outputs is None else list(outputs)
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
        for _, found in self.runs(examples, names):
            for name in names:
                parts[name].append(np.asarray(found[name]))
        if self.places(examples).fixed != 1:
            return {name: np.stack(steps) for name, steps in parts.items()}
        return {
            name: np.stack(steps, axis=1) if steps[0].shape[:1] == (1,) else np.stack(steps)[None]
            for name, steps in parts.items()
        }


def check_state(inputs: Sequence[Tensor], outputs: Sequence[Tensor], state: Mapping[str, str], what: str) -> None:
    """Whether the names of a state are those of inputs and outputs.

    Raises:
        ModelError: one is not; says which there are.
    """
    for kind, names, known in (
        ("input", state.keys(), [item.name for item in inputs]),
        ("output", state.values(), [item.name for item in outputs]),
    ):
        for name in names:
            if name not in known:
                raise ModelError(
                    f"{what}: data.state names {name!r}, which is no {kind} of it. Its {kind}s are "
                    f"{', '.join(known)}; data.state is written {{input: output}}"
                )


def has_steps(item: Tensor, value: NDArray[Any], steps: int) -> bool:
    """Whether examples, (n, ...), are given step by step: (n, steps, ...), an axis more than an input with a batch."""
    if value.ndim < 2 or value.shape[1] != steps:
        return False
    return item.shape is None or value.ndim > len(item.shape)


def first_step(
    inputs: Sequence[Tensor], examples: Given, state: Mapping[str, str], steps: int, what: str
) -> dict[str, NDArray[Any]]:
    """What the first run of examples takes, by input, (n, ...) each: their first steps, and the state as it begins.

    Args:
        inputs: all that the network takes.
        examples: whole ones, (n, ...) each; the state may be among them.
        what: names the network in messages.
    Raises:
        ModelError: names that do not fit, or a state whose size nobody knows.
    """
    rows = by_name([item.name for item in inputs], examples, what, state)
    found = {
        item.name: rows[item.name][:, 0] if state and has_steps(item, rows[item.name], steps) else rows[item.name]
        for item in inputs
        if item.name in rows and item.name not in state
    }
    others = [item for item in inputs if item.name in found]
    at = places(others, {name: value.shape[1:] for name, value in found.items()}, what)
    labels = {
        item.shape[axis] for item in others if item.shape is not None and (axis := at.axes[item.name]) is not None
    }
    for item in inputs:
        if item.name in state:
            given = rows.get(item.name)
            odd = _not_steps(at, found, steps)
            found[item.name] = _zeros(item, count_of(found), labels, what, odd) if given is None else given
    return {item.name: found[item.name] for item in inputs}


def _not_steps(at: Places, found: Mapping[str, NDArray[Any]], steps: int) -> str:
    """What to say of arrays with as many axes as steps would give them, and another number of them; "": none has."""
    for name, value in found.items():
        if at.axes.get(name) is None and value.ndim > 1 and value.shape[1] != steps:
            return (
                f"data.steps={steps}, and the array `{name}` has {value.shape[1]}, {list(value.shape[1:])} of an "
                f"example: where these are its steps, set data.steps={value.shape[1]}, else "
            )
    return ""


def drawn_step(
    inputs: Sequence[Tensor], signature: Signature, real: Given | None, what: str, length: int
) -> dict[str, NDArray[Any]]:
    """What a run of one example takes, by input, (1, ...) each: floats drawn evenly from [0, 1), the same each time.

    Args:
        real: an example whose whole numbers are given as they are, for they may choose a branch, or the row of a table;
            None: they are 0.
        length: of an axis that has only a name, where there is no example.
        inputs, what, and raises: as for `first_step`.
    """
    example = real or {
        item.name: np.zeros((1, *(length if isinstance(size, str) else size for size in item.shape)), item.dtype)
        for item in signature.inputs
    }
    rows = first_step(inputs, example, signature.state, signature.steps or 1, what)
    drawn = np.random.default_rng(0)
    return {
        name: drawn.random(value.shape, np.float32) if value.dtype.kind == "f" else value
        for name, value in rows.items()
    }


def _zeros(item: Tensor, count: int, labels: set[int | str | None], what: str, odd: str) -> NDArray[Any]:
    """A state as it begins, (n, ...).

    Args:
        labels: what the axes that count examples are called elsewhere, or how long they are.
        odd: what else may be wrong where nothing says its size.
    """
    remedy = f"{odd}give the data an array `{item.name}` of what it begins as, (examples, ...)"
    if item.shape is None or item.dtype is None:
        raise ModelError(f"{what}: does not say the shape of its state {item.name!r}: {remedy}")
    counts = next((axis for axis, size in enumerate(item.shape) if size is not None and size in labels), None)
    if counts is None and labels:
        counts = next((axis for axis, size in enumerate(item.shape) if not isinstance(size, int)), None)
    shape = [size for axis, size in enumerate(item.shape) if axis != counts]
    if not all(isinstance(size, int) for size in shape):
        raise ModelError(f"{what}: its state {item.name!r} is {list(item.shape)}, of no fixed size: {remedy}")
    return np.zeros((count, *(int(size) for size in shape if size is not None)), item.dtype)
