"""Opening ONNX Runtime sessions and feeding them, whatever batch and type the model asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgepipe.errors import MeasureError, ModelError
from edgepipe.onnx.session_options import quiet_options
from edgepipe.onnx.tensor_types import TYPES, cast, lost_as


def options(threads: int) -> Any:
    """Session options of every measurement: sequential, quiet, and idle threads that do not spin.

    Spinning threads of one session would take the core from the other one of a paired measurement.
    """
    chosen = quiet_options()
    chosen.intra_op_num_threads = threads
    chosen.inter_op_num_threads = 1
    chosen.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return chosen


def open_session(model: Path | bytes, *, threads: int = 1, chosen: Any = None, name: str | None = None) -> Any:
    """An `InferenceSession` on the CPU provider.

    Raises:
        MeasureError: the runtime cannot open the model; names it.
    """
    try:
        source = _source(model) if isinstance(model, Path) else model
        return onnxruntime.InferenceSession(source, chosen or options(threads), providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions share no base below Exception
        raise MeasureError(f"{name or model!s}: ONNX Runtime cannot open it: {error}") from error


def _source(file: Path) -> str | bytes:
    """A file as the runtime takes it: by its path, or its content where bytes of the path are no letters."""
    try:
        str(file).encode()
    except UnicodeEncodeError:
        return file.read_bytes()
    return str(file)


@dataclass(frozen=True)
class Feed:
    """What the only input of a model wants.

    Attributes:
        name: of the input.
        batch: examples per run, or None when the model takes any number.
        dtype: element type.
        rank: number of axes, the batch axis included; None when the model does not say.
    """

    artifact: str
    name: str
    batch: int | None
    dtype: type[np.generic]
    rank: int | None

    def __call__(self, inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """`inputs`, (n, …), cast to the model's type and keyed by its input name."""
        if self.rank is not None and inputs.ndim != self.rank:
            raise MeasureError(
                f"{self.artifact}: input {self.name!r} has {self.rank} axes, "
                f"but the data gives {inputs.ndim}: {tuple(inputs.shape)}. Use data of the shape the model was made for"
            )
        return {self.name: cast(inputs, self.dtype, self.artifact)}

    def check(self, inputs: NDArray[Any], preprocessing: str) -> None:
        """Whether real examples, (n, …), can be given as they are: a cast to whole numbers would make others of them.

        Args:
            preprocessing: what the data does to its examples, in words; "" for arrays given as they are.
        Raises:
            ModelError: they cannot; says what the model takes, what the data gives and the remedy.
        """
        lost = lost_as(inputs, self.dtype)
        if lost is None:
            return
        remedy = (
            "Save the pixels that it takes as arrays of whole numbers (data=npz), or export it with a float input"
            if preprocessing
            else "Save the arrays as the whole numbers that the model takes"
        )
        raise ModelError(
            f"{self.artifact}: its input {self.name!r} {lost}{f' ({preprocessing})' if preprocessing else ''}: "
            f"as whole numbers they would be others. {remedy}"
        )

    def fit(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """`inputs`, (n, …), repeated or cut to the batch of the model (1 when it takes any)."""
        batch = self.batch or 1
        return np.resize(inputs, (batch, *inputs.shape[1:]))


def feed_of(session: Any, artifact: str) -> Feed:
    """The input of a session.

    Raises:
        MeasureError: it has more than one input, or one of a type that pictures cannot become.
    """
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(repr(item.name) for item in inputs)
        raise MeasureError(f"{artifact}: has {len(inputs)} inputs ({names}); only models with one are measured")
    wanted = inputs[0]
    if wanted.type not in TYPES:
        raise MeasureError(f"{artifact}: input {wanted.name!r} is {wanted.type}; expected one of {', '.join(TYPES)}")
    shape: Sequence[int | str | None] = wanted.shape or ()
    first = shape[0] if shape else None
    batch = first if isinstance(first, int) and first > 0 else None
    return Feed(artifact, wanted.name, batch, TYPES[wanted.type], len(shape) or None)


def run(session: Any, feed: dict[str, NDArray[Any]], artifact: str) -> list[Any]:
    """One run; the runtime's errors become a MeasureError that names the artifact."""
    try:
        outputs: list[Any] = session.run(None, feed)
    except Exception as error:
        shapes = {name: tuple(value.shape) for name, value in feed.items()}
        raise MeasureError(f"{artifact}: ONNX Runtime failed on input {shapes}: {error}") from error
    return outputs
