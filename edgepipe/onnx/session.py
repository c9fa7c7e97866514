"""The one place where ONNX Runtime is opened and run: named arrays in, named arrays out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.errors import MeasureError, ModelError
from edgepipe.onnx.examples import Places, places
from edgepipe.onnx.inputs import several
from edgepipe.onnx.session_options import measuring
from edgepipe.onnx.tensor_types import TYPES, Tensor, cast, lost_as, tensor_of

Given = NDArray[Any] | Mapping[str, NDArray[Any]]
"""Arrays by the names of inputs; the array alone for a network with one input."""


class Session:
    """A network open in ONNX Runtime on this processor, with any number of inputs and outputs.

    Attributes:
        name: what messages call it.
        outputs: tensors that it hands out, in the graph's order.

    Args:
        model: a file, or the bytes of one.
        options: of the runtime, from `session_options`; None: those of a measurement with one thread.
        name: None: the file.
        disabled_optimizers: of the runtime, by their names.
    Raises:
        MeasureError: the runtime cannot open it.
    """

    def __init__(
        self,
        model: Path | bytes,
        options: Any = None,
        *,
        name: str | None = None,
        disabled_optimizers: Sequence[str] = (),
    ) -> None:
        import onnxruntime

        self.name = name or ("the network" if isinstance(model, bytes) else str(model))
        without = {"disabled_optimizers": list(disabled_optimizers)} if disabled_optimizers else {}
        try:
            source = _source(model) if isinstance(model, Path) else model
            self._session = onnxruntime.InferenceSession(
                source, options or measuring(1), providers=["CPUExecutionProvider"], **without
            )
        except MemoryError:
            raise
        except Exception as error:  # the runtime's exceptions share no base below Exception
            raise MeasureError(f"{self.name}: ONNX Runtime cannot open it: {error}") from error
        self.outputs = tuple(map(tensor_of, self._session.get_outputs()))

    @cached_property
    def inputs(self) -> tuple[Tensor, ...]:
        """Tensors that it takes, in the graph's order; constants that could be fed are none of them.

        Raises:
            ModelError: one is of a type that no numbers have.
        """
        found = self._session.get_inputs()
        for item in found:
            if item.type not in TYPES:
                raise ModelError(
                    f"{self.name}: its input {item.name!r} is {item.type}; expected one of {', '.join(TYPES)}. "
                    "Export the model with one of these"
                )
        return tuple(map(tensor_of, found))

    @property
    def output_types(self) -> dict[str, str]:
        """By output its type as the runtime writes it: "tensor(float)", "optional(tensor(float))"."""
        return {item.name: item.type for item in self._session.get_outputs()}

    def only_input(self, done: str) -> Tensor:
        """The input, for those who know one only.

        Args:
            done: what they do to models with one: "measured".
        Raises:
            MeasureError: there is not exactly one.
        """
        if len(self.inputs) != 1:
            raise MeasureError(several([item.name for item in self.inputs], self.name, done))
        return self.inputs[0]

    def named(self, given: Given) -> dict[str, NDArray[Any]]:
        """What is given by the names of the inputs, in their order; one array is that of one input, whatever its name.

        Raises:
            ModelError: a name is none of an input, or an input is given nothing; says which names there are.
        """
        return by_name([item.name for item in self.inputs], given, self.name)

    def rows(self, examples: Given) -> dict[str, NDArray[Any]]:
        """Examples by the names of the inputs, (n, ...) each.

        Raises:
            ModelError: as for `named`.
        """
        return self.named(examples)

    def one_run(self, examples: Given) -> dict[str, NDArray[Any]]:
        """Of examples what one run takes, by input, (n, ...) each; what whole ones take unless they have steps."""
        return self.named(examples)

    def fed(self, given: Given) -> dict[str, NDArray[Any]]:
        """Arrays shaped as the graph takes them, cast to its types: what `run` feeds.

        Raises:
            MeasureError: one has another number of axes. ModelError: as for `named`, or a cast to whole numbers would
                make others of them.
        """
        several = len(self.inputs) > 1
        fed = {}
        for tensor, value in zip(self.inputs, self.named(given).values(), strict=True):
            if tensor.shape is not None and value.ndim != len(tensor.shape):
                raise MeasureError(
                    f"{self.name}: input {tensor.name!r} has {len(tensor.shape)} axes, but the data gives "
                    f"{value.ndim}: {tuple(value.shape)}. Use data of the shape the model was made for"
                )
            assert tensor.dtype is not None  # or there were no inputs
            fed[tensor.name] = cast(value, tensor.dtype, self.name, tensor.name if several else "")
        return fed

    def run(self, given: Given, outputs: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """One run.

        Args:
            given: as for `fed`.
            outputs: names of those that are wanted; None: all.
        Returns:
            Arrays by the names of outputs; what is no tensor as the runtime makes it, a list of dicts of a ZipMap.
        Raises:
            MeasureError: it cannot, in the runtime's words; or as for `fed`.
        """
        fed = self.fed(given)
        names = [item.name for item in self.outputs] if outputs is None else list(outputs)
        try:
            found = self._session.run(None if outputs is None else names, fed)
        except MemoryError:
            raise
        except Exception as error:
            shapes = {name: tuple(value.shape) for name, value in fed.items()}
            raise MeasureError(f"{self.name}: ONNX Runtime failed on input {shapes}: {error}") from error
        return dict(zip(names, found, strict=True))

    def first(self, given: Given) -> NDArray[Any]:
        """The first output of one run."""
        name = self.outputs[0].name
        return np.asarray(self.run(given, [name])[name])

    def timed(self, given: Given) -> Callable[[], Any]:
        """A run on these arrays with nothing around it, to be timed; one run before it tells errors in words."""
        fed = self.fed(given)
        self.run(fed)
        return partial(self._session.run, None, fed)

    def places(self, examples: Given) -> Places:
        """Which axis of each input counts examples, (n, ...) each, and how many of them a run takes."""
        return self._places(self.one_run(examples))

    def _places(self, rows: Mapping[str, NDArray[Any]]) -> Places:
        return places(self.inputs, {name: value.shape[1:] for name, value in rows.items()}, self.name)

    def placed(self, examples: Given) -> dict[str, NDArray[Any]]:
        """Examples, (n, ...) each, with the axis that counts them where the graph has it; for `fed` and `run`."""
        rows = self.one_run(examples)
        return self._places(rows).placed(rows)

    def fit(self, examples: Given) -> dict[str, NDArray[Any]]:
        """As `placed`, the examples repeated or cut to the batch of the model (1 when it takes any)."""
        rows = self.one_run(examples)
        return self._places(rows).fit(rows)

    def ask(self, examples: Given, outputs: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """What examples, (n, ...) each, are answered, whatever axis of an output counts them; as many as a run takes.

        Args, and raises: as for `run`.
        """
        return self.run(self.placed(examples), outputs)

    def check(self, examples: Given, preprocessing: str) -> None:
        """Whether real examples can be given as they are: a cast to whole numbers would make others of them.

        Args:
            preprocessing: what the data does to its examples, in words; "" for arrays given as they are.
        Raises:
            ModelError: they cannot; says what the model takes, what the data gives and the remedy.
        """
        rows = self.rows(examples)
        for tensor in self.inputs:
            assert tensor.dtype is not None
            lost = lost_as(rows[tensor.name], tensor.dtype) if tensor.name in rows else None
            if lost is None:
                continue
            remedy = (
                "Save the pixels that it takes as arrays of whole numbers (data=npz), or export it with a float input"
                if preprocessing
                else "Save the arrays as the whole numbers that the model takes"
            )
            raise ModelError(
                f"{self.name}: its input {tensor.name!r} {lost}{f' ({preprocessing})' if preprocessing else ''}: "
                f"as whole numbers they would be others. {remedy}"
            )

    def end_profiling(self) -> Path:
        """The file in which the profile of all runs lies; for options that profile."""
        return Path(self._session.end_profiling())


def by_name(names: Sequence[str], given: Given, what: str, optional: Collection[str] = ()) -> dict[str, NDArray[Any]]:
    """What is given by the names of inputs, in their order.

    Args:
        names: of the inputs. One array is that of one input, whatever it is called.
        what: whose inputs they are, for messages.
        optional: names of those that may be given nothing.
    Raises:
        ModelError: a name is none of an input, or an input is given nothing; says which names there are.
    """
    wanted = [name for name in names if name not in optional]
    if len(given) == 1 == len(wanted) and isinstance(given, Mapping) and not given.keys() & set(names):
        given = next(iter(given.values()))
    if not isinstance(given, Mapping):
        if len(wanted) != 1:
            raise ModelError(f"{what}: takes {len(wanted)} inputs ({', '.join(wanted)}), and is given one")
        return {wanted[0]: given}
    strange, lacking = sorted(given.keys() - set(names)), sorted(set(wanted) - given.keys())
    if strange or lacking:
        said = [f"has no input {name!r}" for name in strange]
        said += [f"its input {name!r} is given nothing" for name in lacking]
        hint = ""
        if "labels" in lacking:  # as some encoders call an input, and the data what is right
            hint = (
                ". An array `labels` of data=npz is what is right: set data.labels to another name to give it as input"
            )
        raise ModelError(f"{what}: {'; '.join(said)}. Its inputs are {', '.join(names) or 'none'}{hint}")
    return {name: given[name] for name in names if name in given}


def words(error: Exception) -> str:
    """What the library itself said, where this room told its error in its own words: for whoever has other words."""
    return str(error.__cause__ if isinstance(error, MeasureError) and error.__cause__ else error)


def _source(file: Path) -> str | bytes:
    """A file as the runtime takes it: by its path, or its content where bytes of the path are no letters."""
    try:
        str(file).encode()
    except UnicodeEncodeError:
        return file.read_bytes()
    return str(file)
