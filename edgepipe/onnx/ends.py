"""What an ONNX graph takes and gives: one tensor each, declared as it is, pictures in the data's layout."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Signature
from edgepipe.errors import ModelError
from edgepipe.onnx.batch_axis import counting
from edgepipe.onnx.inputs import inputs_of
from edgepipe.onnx.layout import Layout, arranged, fits
from edgepipe.onnx.rewritten import difference
from edgepipe.onnx.session import Session, words
from edgepipe.onnx.session_options import quiet_options

if TYPE_CHECKING:
    import onnx

_Sizes = list[int | None]


def check(network: onnx.ModelProto, where: str) -> None:
    """Whether there is one input and one output, another tensor; sizes that are no sizes become any, in place.

    Raises:
        ModelError: there is not.
    """
    graph = network.graph
    for item in (*graph.input, *graph.output, *graph.value_info):
        for dim in item.type.tensor_type.shape.dim:
            if dim.HasField("dim_value") and dim.dim_value <= 0:
                dim.Clear()  # some exporters write -1 or 0 for any size, of which nobody can make an array
    for what, items in (("outputs", graph.output), ("inputs", graph.input)):
        names = [item.name for item in items]
        if len(names) != 1:
            raise ModelError(f"{where}: has {len(names)} {what} ({', '.join(names)}); edgepipe needs exactly one")
    if graph.output[0].name == graph.input[0].name:
        raise ModelError(f"{where}: its output '{graph.output[0].name}' is its input: there is nothing to compress")


def layout(network: onnx.ModelProto, signature: Signature, where: str) -> Layout:
    """ "same": examples as the data gives them; for pictures also "nhwc", channels last, and for grey ones "flat".

    Raises:
        ModelError: the graph takes none of these, or may take two.
    """
    wants, gets = _wanted(network), signature.input_shape
    pictures = signature.preprocessing.image_size is not None and len(gets) == 3
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


def arrange(network: onnx.ModelProto, found: Layout, signature: Signature, where: str) -> list[str]:
    """Make the graph take examples as the data gives them, in place; what people should be told."""

    from edgepipe.onnx.adopt import arrange_input

    if found == "same":
        return []
    given, first = copy.deepcopy(network), network.graph.input[0]
    batch = _batch(first)
    arrange_input(network, signature.input_shape, found, where, first.name, batch or "batch")
    share = difference(given, network, signature.input_shape, where, "", layout=found)
    if share > 1e-4:
        raise ModelError(f"{where}: with channels first it answers otherwise, by {share:.2g} of the largest answer")
    wanted = "with channels last" if found == "nhwc" else "as one row of features"
    return [
        f"the graph takes pictures {wanted}, {list(shape_in(found, signature))}: it was made to take them as the data "
        f"gives them, {list(signature.input_shape)}"
    ]


def declare(network: onnx.ModelProto, signature: Signature, where: str) -> list[str]:
    """Run the graph, and declare type, shape and batch of its ends where they are missing or not so, in place.

    Returns:
        What people should be told.
    Raises:
        ModelError: it does not run, or gives no tensor.
    """
    from onnx import TypeProto, helper

    first, last = network.graph.input[0], network.graph.output[0]
    if not first.type.tensor_type.HasField("shape"):
        sizes: list[Any] = ["batch", *signature.input_shape]
        first.CopyFrom(helper.make_tensor_value_info(first.name, first.type.tensor_type.elem_type, sizes))
    batch, said = _batch(first), TypeProto()
    said.CopyFrom(last.type)
    last.ClearField("type")
    try:
        session = _session(network)
        answer = session.run(_zeros(session, batch or 1, signature.input_shape))[last.name]
        inferred = session.outputs[0].shape
    except Exception as error:
        raise ModelError(f"{where}: ONNX Runtime cannot run it: {words(error)[:300]}") from None
    if not isinstance(answer, np.ndarray):
        raise ModelError(
            f"{where}: its output '{last.name}' is a {type(answer).__name__}, no tensor. Take what makes it (ZipMap) "
            "out of the graph"
        )
    kind = helper.np_dtype_to_tensor_dtype(answer.dtype)
    shape = said.tensor_type.shape.dim
    true = said.tensor_type.HasField("shape") and fits(answer.shape, [dim.dim_value or None for dim in shape])
    if true and said.tensor_type.elem_type == kind:
        last.type.CopyFrom(said)
    else:
        known = fits(answer.shape, [size if isinstance(size, int) else None for size in inferred or ()])
        sizes = list(inferred or ()) if known else ["batch", *(None for _ in answer.shape[1:])][: answer.ndim]
        last.CopyFrom(helper.make_tensor_value_info(last.name, kind, sizes))

    dims = first.type.tensor_type.shape.dim
    if batch is not None or not dims or counting(session.first, _zeros(session, 1, signature.input_shape)) is not None:
        return []
    dims[0].Clear()
    dims[0].dim_value = 1
    return ["the graph says that it takes any number of examples at once, and takes one: it came in with a batch of 1"]


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
        session.run(_zeros(session, _batch(network.graph.input[0]) or 1, shape))
    except Exception:
        return False
    return True


def _session(network: onnx.ModelProto) -> Session:
    return Session(network.SerializeToString(), quiet_options())


def _zeros(session: Session, count: int, shape: tuple[int, ...]) -> NDArray[Any]:
    return np.zeros((count, *shape), session.inputs[0].dtype)
