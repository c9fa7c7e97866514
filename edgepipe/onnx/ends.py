"""What an ONNX graph takes and gives: tensors declared as they are, pictures in the data's layout."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepipe.contract import Signature
from edgepipe.contract import Tensor as Named
from edgepipe.errors import ModelError
from edgepipe.onnx.batch_axis import Rows, all_counting, batch_axes
from edgepipe.onnx.inputs import inputs_of
from edgepipe.onnx.layout import Layout, arranged, fits
from edgepipe.onnx.rewritten import difference
from edgepipe.onnx.session import Session, words
from edgepipe.onnx.session_options import quiet_options
from edgepipe.onnx.tensor_types import TYPES, Tensor, declared

if TYPE_CHECKING:
    import onnx

_Sizes = list[int | None]


def check(network: onnx.ModelProto, where: str) -> list[str]:
    """Whether there are inputs, and outputs that are none of them; sizes that are no sizes become any, in place.

    Returns:
        What people should be told of outputs that were taken out, since they are inputs.
    Raises:
        ModelError: there are none, or no others.
    """
    graph = network.graph
    for item in (*graph.input, *graph.output, *graph.value_info):
        for dim in item.type.tensor_type.shape.dim:
            if dim.HasField("dim_value") and dim.dim_value <= 0:
                dim.Clear()  # some exporters write -1 or 0 for any size, of which nobody can make an array
    for what, items in (("output", graph.output), ("input", inputs_of(graph))):
        if not items:
            raise ModelError(f"{where}: has no {what}: export it with its inputs and outputs")
    for item in inputs_of(graph):
        kind = item.type.WhichOneof("value")
        if kind not in (None, "tensor_type"):
            raise ModelError(
                f"{where}: its input '{item.name}' is no tensor ({kind}): data gives arrays, so export it with a "
                "tensor there"
            )
    taken = {item.name for item in graph.input}
    given = [item.name for item in graph.output if item.name in taken]
    if len(given) == len(graph.output):
        raise ModelError(f"{where}: its output '{given[0]}' is its input: there is nothing to compress")
    return _without(graph, given, "is its input")


def _without(graph: onnx.GraphProto, names: Sequence[str], why: str) -> list[str]:
    """Take outputs out of a graph, in place; what people should be told."""
    kept = [item for item in graph.output if item.name not in names]
    del graph.output[:]
    graph.output.extend(kept)
    return [f"its output '{name}' {why}: it was left out" for name in names]


def check_shapes(network: onnx.ModelProto, rows: Rows, where: str) -> None:
    """Whether the arrays of a run are of the shapes that the inputs take.

    Args:
        rows: by input, (n, ...) each.
    Raises:
        ModelError: one is not; names it, its shape and what the data gives.
    """
    inputs = list(map(declared, inputs_of(network.graph)))
    batches = {item.batch for item in inputs if item.batch is not None}
    for item in inputs:
        gets = rows[item.name].shape[1:]
        if not _fits_somewhere(item, gets, batches):
            shown = ["any" if size is None else size for size in item.shape or ()]
            raise ModelError(
                f"{where}: its input '{item.name}' is {shown}, the data gives {list(gets)} per example. Set the arrays "
                "to match"
            )


def _fits_somewhere(item: Tensor, example: Sequence[int], batches: Collection[int] = ()) -> bool:
    """Whether an example has the input's shape, or that without one axis, which then counts examples.

    Args:
        batches: numbers of examples that another axis than the first may be made for, beside 1.
    """
    if item.shape is None:
        return True
    sizes = [size if isinstance(size, int) else None for size in item.shape]
    counting = [axis for axis, size in enumerate(sizes) if axis == 0 or size in (None, 1, *batches)]
    return fits(example, sizes) or any(fits(example, sizes[:axis] + sizes[axis + 1 :]) for axis in counting)


def layout(network: onnx.ModelProto, signature: Signature, where: str) -> Layout:
    """ "same": examples as the data gives them; for pictures also "nhwc", channels last, and for grey ones "flat".

    Raises:
        ModelError: the graph takes none of these, or may take two.
    """
    wants, gets = _wanted(network), signature.input_shape
    pictures = signature.preprocessing.image_size is not None and len(gets) == 3
    if not pictures and _fits_somewhere(declared(network.graph.input[0]), gets):
        return "same"
    same, last = (wants is None or fits(shape, wants) for shape in (gets, _channels_last(gets)))
    if same and not (last and pictures):
        return "same"
    if last and pictures and not same:
        return "nhwc"
    name = network.graph.input[0].name
    shown = "any shape" if wants is None else f"{['any' if want is None else want for want in wants]}"
    if not same:
        if pictures and gets[0] == 1 and wants == [math.prod(gets)]:
            return "flat"  # of several channels nobody knows which order the features have
        turned = ", with channels first: save the arrays with channels last" if last and len(gets) == 3 else ""
        raise ModelError(
            f"{where}: its input '{name}' is {shown} per example, the data gives {list(gets)}{turned}. "
            "Set data.image_size (or the arrays) to match"
        )
    turned_shape = _channels_last(gets)
    if gets == turned_shape or _runs(network, gets):  # ONNX's own operators take channels first
        if any(wants or ()) and gets != turned_shape and _runs(network, turned_shape):
            raise ModelError(
                f"{where}: its input '{name}' is {shown} per example, and takes the data's pictures with channels "
                f"first, {list(gets)}, and last, {list(turned_shape)}. Write the sizes into the graph, or choose "
                "another data.image_size"
            )
        return "same"
    return "nhwc" if _runs(network, turned_shape) else "same"


def takes_pixels(network: onnx.ModelProto) -> bool:
    """Whether its only input takes whole numbers that a byte fits into."""
    from onnx import TensorProto

    kinds = [item.type.tensor_type.elem_type for item in inputs_of(network.graph)]
    whole = (TensorProto.UINT8, TensorProto.INT16, TensorProto.UINT16, TensorProto.INT32, TensorProto.UINT32)
    return len(kinds) == 1 and kinds[0] in (*whole, TensorProto.INT64, TensorProto.UINT64)


def shape_in(found: Layout, signature: Signature) -> tuple[int, ...]:
    """Of one example, as the graph takes it."""
    shape = signature.input_shape
    return arranged(np.empty((1, *shape), np.bool_), found).shape[1:]


def arrange(
    network: onnx.ModelProto, found: Layout, signature: Signature, where: str, real: Rows | None = None
) -> list[str]:
    """Make the graph take examples as the data gives them, in place; what people should be told.

    Args:
        real: an example by input, (1, ...) each, of which the comparison takes whole numbers.
    """

    from edgepipe.onnx.adopt import arrange_input

    if found == "same":
        return []
    given, first = copy.deepcopy(network), network.graph.input[0]
    batch = _batch(first)
    arrange_input(network, signature.input_shape, found, where, first.name, batch or "batch")
    share = difference(given, network, signature.input_shape, where, "", layout=found, real=real)
    if share > 1e-4:
        raise ModelError(f"{where}: with channels first it answers otherwise, by {share:.2g} of the largest answer")
    wanted = "with channels last" if found == "nhwc" else "as one row of features"
    return [
        f"the graph takes pictures {wanted}, {list(shape_in(found, signature))}: it was made to take them as the data "
        f"gives them, {list(signature.input_shape)}"
    ]


def declare(network: onnx.ModelProto, rows: Rows, where: str) -> tuple[list[str], dict[str, int]]:
    """Run the graph, and declare type, shape and batch of its ends where they are missing or not so, in place.

    Args:
        rows: an example by input, (1, ...) each.
    Returns:
        What people should be told, and of each output the axis that counts examples; where it has none, none.
    Raises:
        ModelError: it does not run, or gives nothing that is a tensor.
    """
    from onnx import TypeProto, helper

    for item in inputs_of(network.graph):
        if not item.type.tensor_type.HasField("shape"):
            sizes: list[Any] = ["batch", *rows[item.name].shape[1:]]
            item.CopyFrom(helper.make_tensor_value_info(item.name, item.type.tensor_type.elem_type, sizes))
    said = []
    for item in network.graph.output:
        said.append(TypeProto())
        said[-1].CopyFrom(item.type)
        item.ClearField("type")
    try:
        session = _session(network)
        at = session.places(rows)
        others = {name: why for name, kind in session.output_types.items() if (why := _no_array(kind))}
        kept = [name for name in session.output_types if name not in others]
        answers = session.run(at.fit(session.named(rows)), kept) if kept else {}
    except Exception as error:
        raise ModelError(f"{where}: ONNX Runtime cannot run it: {words(error)[:300]}") from None
    if not kept:
        name, why = next(iter(others.items()))
        raise ModelError(f"{where}: its output '{name}' {why}. Take what makes it (as ZipMap) out of the graph")
    for item, told, tensor in zip(network.graph.output, said, session.outputs, strict=True):
        if item.name not in others:
            _declare_output(item, told, answers[item.name], tensor.shape)
    notes = [note for name, why in others.items() for note in _without(network.graph, [name], why)]
    if others:
        session = _session(network)
    if at.fixed is not None:
        return notes, _axes_of_fixed(session, rows, at.fixed)
    axes = all_counting(session.ask, rows)
    if axes:
        return notes, axes
    for item in inputs_of(network.graph):
        dims, axis = item.type.tensor_type.shape.dim, at.axes[item.name]
        if axis is not None and dims:
            dims[axis].Clear()
            dims[axis].dim_value = 1
    note = "the graph says that it takes any number of examples at once, and takes one: it came in with a batch of 1"
    return [*notes, note], _axes_of_fixed(session, rows, 1)


def _no_array(kind: str) -> str | None:
    """Why there are no arrays of what the runtime calls so, in a few words; None: there are."""
    if kind in TYPES or kind == "tensor(string)":
        return None
    return next(
        (f"is a {word}, no tensor" for begin, word in (("seq(", "list"), ("map(", "dict")) if kind.startswith(begin)),
        f"is {kind}, of which there are no arrays",
    )


def _axes_of_fixed(session: Session, rows: Rows, fixed: int) -> dict[str, int]:
    if fixed == 1:
        return {name: 0 for name, value in session.ask(rows).items() if np.shape(value)[:1] == (1,)}
    return batch_axes(session.ask, rows, fixed)


def _declare_output(
    item: onnx.ValueInfoProto,
    said: onnx.TypeProto,
    answer: Any,
    inferred: tuple[int | str | None, ...] | None,
) -> None:
    """Write type and shape of an output as the file says them, where that is so; else as they were seen.

    Args:
        said: by the file.
        inferred: the shape, by the runtime.
    """
    from onnx import helper

    kind = helper.np_dtype_to_tensor_dtype(answer.dtype)
    shape = said.tensor_type.shape.dim
    true = said.tensor_type.HasField("shape") and fits(answer.shape, [dim.dim_value or None for dim in shape])
    if true and said.tensor_type.elem_type == kind:
        item.type.CopyFrom(said)
        return
    known = fits(answer.shape, [size if isinstance(size, int) else None for size in inferred or ()])
    sizes = list(inferred or ()) if known else ["batch", *(None for _ in answer.shape[1:])][: answer.ndim]
    item.CopyFrom(helper.make_tensor_value_info(item.name, kind, sizes))


def described(network: onnx.ModelProto, axes: Mapping[str, int], signature: Signature) -> Signature:
    """The signature with inputs and outputs as the graph declares them, of one example.

    Args:
        axes: of each output the one that counts examples.
    """
    given = {item.name: item for item in signature.inputs}
    inputs = []
    taken = [
        item for item in map(declared, inputs_of(network.graph)) if item.name not in signature.state.keys() - given
    ]
    for item in taken:
        own = given[item.name] if item.name in given else signature.inputs[0]
        kind = own.dtype if item.dtype is None else item.dtype.name
        inputs.append(Named(name=item.name, dtype=kind, shape=_axis_names(own.shape, item.shape)))
    steps = (signature.steps,) if signature.steps is not None else ()
    outputs = []
    for item in map(declared, network.graph.output):
        sizes = [f"{item.name}_{axis}" if size is None else size for axis, size in enumerate(item.shape or ())]
        if item.name in axes and sizes:
            del sizes[axes[item.name]]
        kind = "float32" if item.dtype is None else item.dtype.name
        outputs.append(Named(name=item.name, dtype=kind, shape=(*steps, *sizes)))
    return signature.model_copy(update={"inputs": tuple(inputs), "outputs": tuple(outputs)})


def _axis_names(own: Sequence[int | str], graph: Sequence[int | str | None] | None) -> tuple[int | str, ...]:
    """The data's shape of an example, its names those of the graph where that has any."""
    of_graph = tuple(graph or ())[-len(own) :] if own else ()
    if len(of_graph) < len(own):
        return tuple(own)
    return tuple(
        name if isinstance(size, str) and isinstance(name, str) else size
        for size, name in zip(own, of_graph, strict=True)
    )


def _wanted(network: onnx.ModelProto) -> _Sizes | None:
    """Sizes of one example, None for any; None for all: the graph does not say."""
    kind = network.graph.input[0].type.tensor_type
    return [dim.dim_value or None for dim in kind.shape.dim][1:] if kind.HasField("shape") else None


def _batch(item: onnx.ValueInfoProto) -> int | None:
    dims = item.type.tensor_type.shape.dim
    return dims[0].dim_value or None if dims else None


def _channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[1:], *shape[:1])


def _runs(network: onnx.ModelProto, shape: tuple[int, ...]) -> bool:
    try:
        session = _session(network)
        session.run(np.zeros((_batch(network.graph.input[0]) or 1, *shape), session.inputs[0].dtype))
    except Exception:
        return False
    return True


def _session(network: onnx.ModelProto) -> Session:
    return Session(network.SerializeToString(), quiet_options())
