"""The first load and run of an ONNX file from elsewhere, where it could take more than a plain network does.

A file of a few kilobytes may loop for ever, write itself out without end or fill the memory, as soon as a session is
made of it. So one with control flow or functions, or whose tensors are not known to be small, is loaded and run first
in a process with bounds on time and memory. A plain network costs no process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgepipe.base.bounded import Bound, answer, bound_of
from edgepipe.base.scratch import scratch
from edgepipe.contract import Job, Signature, Split
from edgepipe.errors import MeasureError, ModelError
from edgepipe.onnx.examples import ExampleShapes, places
from edgepipe.onnx.files import load_structure
from edgepipe.onnx.inputs import inputs_of
from edgepipe.onnx.sequences import check_state, first_step
from edgepipe.onnx.session import Given
from edgepipe.onnx.tensor_types import declared

if TYPE_CHECKING:
    import onnx

_MOST_ELEMENTS = 1 << 27
"""Values in all tensors of one run: half a gigabyte of float32."""
_MOST_KERNEL = 1 << 10
_SMALL_BYTES = 1 << 12
TRIED = 4
"""Examples of a first run."""
AT_ONCE = 64
"""Examples of the largest run that edgepipe makes of itself."""
EXAMPLES_FILE = "examples{}.npy"
_ANY = 8
"""Length of an axis that has only a name, where there is no example."""

_PLAIN = """
    Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast CastLike Ceil Celu Clip Concat Constant Conv
    Cos DepthToSpace DequantizeLinear Div Dropout Elu Equal Erf Exp Expand Flatten Floor Gather GatherElements Gelu Gemm
    GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Identity
    InstanceNormalization LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul Max MaxPool Mean Min Mish
    Mod Mul Neg Not Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization Reciprocal ReduceMax
    ReduceMean ReduceMin ReduceSum ReduceSumSquare Relu Reshape Resize Round Selu Shape Sigmoid Sign Sin Slice Softmax
    Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile Transpose Trilu
    Unsqueeze Upsample Where
"""
"""Operators whose work follows from the sizes of their tensors; pools from their kernels too."""

_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 9: 1, 10: 2, 12: 4, 16: 2}
"""Of a value, by ONNX's number of its type; of others 8 at most."""

in_bounds = False
"""This is the process with bounds already."""
_WORKER = "edgepipe.sources.first_run_worker"


class Bounded(Protocol):
    """The settings of a model source: a file, and what its first run may take; null: what is fit for its size."""

    @property
    def path(self) -> str: ...
    @property
    def most_minutes(self) -> float | None: ...
    @property
    def most_gigabytes(self) -> float | None: ...
    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


def example_of(signature: Signature, job: Job | None) -> dict[str, NDArray[Any]]:
    """An example by the data's names, (1, ...) each: a real one where there is any."""
    data = None if job is None else job.data
    if data is not None and data.count(Split.EVALUATION):
        return dict(next(data.batches(Split.EVALUATION, 1, [0])).inputs)
    return {
        item.name: np.zeros((1, *(_ANY if isinstance(size, str) else size for size in item.shape)), item.dtype)
        for item in signature.inputs
    }


def sized(signature: Signature, example: Mapping[str, NDArray[Any]]) -> Signature:
    """The signature with the sizes of that example in the place of the names of axes."""
    inputs = tuple(item.model_copy(update={"shape": example[item.name].shape[1:]}) for item in signature.inputs)
    return signature.model_copy(update={"inputs": inputs})


def rows_of(
    network: onnx.ModelProto, signature: Signature, example: Mapping[str, NDArray[Any]], where: str
) -> dict[str, NDArray[Any]]:
    """What one run on an example is given, by the graph's inputs, (1, ...) each, the state included.

    Raises:
        ModelError: the names of data and graph do not fit; says which the graph has.
    """
    inputs = list(map(declared, inputs_of(network.graph)))
    check_state(inputs, list(map(declared, network.graph.output)), signature.state, where)
    return first_step(inputs, example, signature.state, signature.steps or 1, where)


def tried(
    settings: Bounded,
    network: onnx.ModelProto,
    signature: Signature,
    rows: Mapping[str, NDArray[Any]],
    seed: int,
    job: Job | None,
) -> bool:
    """Load and run a recipe's file once in a process with bounds, where it could need them.

    Args:
        network: the parsed file, nothing in it written out yet.
        signature: without names of axes.
        rows: of one run, as `rows_of` gives them.
        job: gives real examples, where there is one.
    Returns:
        Whether it was loaded there, and what that compares need not be compared twice.
    Raises:
        ModelError: it took too much, killed the process, or cannot be loaded.
    """
    path = Path(settings.path)
    if in_bounds or not may_grow(network, {name: value.shape[1:] for name, value in rows.items()}, path, AT_ONCE):
        return False
    with scratch("first-run") as folder:
        asked = {
            "inputs": _save(folder, _first(job)),
            "settings": {**settings.model_dump(mode="json"), "path": str(path.absolute())},
            "shown": str(path),
            "signature": signature.model_dump(mode="json"),
            "seed": seed,
            "at_once": AT_ONCE,
        }
        bound = bound_of(_stored_bytes(network, path), settings.most_minutes, settings.most_gigabytes, key="model")
        reply = _answer(folder, asked, f"model.path: {path}", bound)
    if "refused" in reply:
        raise ModelError(reply["refused"])
    return bool(reply.get("loaded"))


def tried_file(path: Path, inputs: Given, what: str, signature: Signature | None = None) -> None:
    """The same of a file that is run as it is, as in a bundle.

    Args:
        inputs: examples, (n, ...), which it is to be run on; by name where there are several.
        what: names the file in messages.
        signature: says whether examples have steps; None: they have none.
    Raises:
        ModelError: it took too much, or killed the process. What cannot be opened is told by whoever opens it next.
    """
    try:
        network = load_structure(path)
    except MeasureError:
        return
    state, steps = ({}, 1) if signature is None else (signature.state, signature.steps or 1)
    rows = first_step(list(map(declared, inputs_of(network.graph))), inputs, state, steps, what)
    if may_grow(network, {name: value.shape[1:] for name, value in rows.items()}, path):
        with scratch("first-run") as folder:
            given = inputs if isinstance(inputs, Mapping) else {next(iter(rows)): inputs}
            asked = {"file": str(path.absolute()), "state": dict(state), "steps": steps, "inputs": _save(folder, given)}
            _answer(folder, asked, what, bound_of(_stored_bytes(network, path)))


def _answer(folder: Path, asked: dict[str, Any], what: str, bound: Bound) -> dict[str, Any]:
    return answer(_WORKER, folder, {**asked, "gigabytes": bound.gigabytes, "minutes": bound.minutes}, what, bound)


def _first(job: Job | None) -> Mapping[str, NDArray[Any]]:
    """A few real examples, where there are any."""
    data = None if job is None else job.data
    if data is None or not (count := min(TRIED, data.count(Split.EVALUATION))):
        return {}
    return next(data.batches(Split.EVALUATION, count, range(count))).inputs


def _save(folder: Path, examples: Mapping[str, NDArray[Any]]) -> list[str]:
    """Write them for the worker; their names, in the order of the files."""
    for number, value in enumerate(examples.values()):
        np.save(folder / EXAMPLES_FILE.format(number), value, allow_pickle=False)
    return list(examples)


def may_grow(network: onnx.ModelProto, example: ExampleShapes, path: Path, at_once: int = 1) -> bool:
    """Whether one run could take more time or memory than a plain network: so does whatever is not known not to.

    Args:
        example: its shape, by input, without the axis that counts examples.
        path: of the file; its external data lies beside it.
        at_once: examples of the largest run.
    """
    if network.functions or network.graph.sparse_initializer or not all(map(_is_plain, network.graph.node)):
        return True
    weights = sum(
        math.prod(map(abs, item.dims)) for item in network.graph.initializer
    )  # a byte each at least, but for 4 bits
    stored = _stored_bytes(network, path)
    if weights > max(_MOST_ELEMENTS, 2 * stored):
        return True  # several of them are the same bytes
    one = _tensors(network, example, 1)
    if one is None or sum(item.values for item in one.values()) > _MOST_ELEMENTS:
        return True
    many = one if at_once == 1 else _tensors(network, example, at_once)
    if many is None:
        return True
    in_powers = any(many[name].values > at_once * item.values for name, item in one.items())
    most = 4 * _MOST_ELEMENTS if in_powers else bound_of(stored).gigabytes * 1e9
    return _most_at_a_time(network, many) > most


def _stored_bytes(network: onnx.ModelProto, path: Path) -> int:
    """Of the file and its external data."""
    names = {
        entry.value for item in network.graph.initializer for entry in item.external_data if entry.key == "location"
    }
    total = path.stat().st_size
    for name in names:
        with suppress(OSError, ValueError):
            total += (path.parent / name).stat().st_size
    return total


@cache
def _plain() -> frozenset[str]:
    return frozenset(_PLAIN.split())


def _is_plain(node: onnx.NodeProto) -> bool:
    if node.domain not in ("", "ai.onnx") or node.op_type not in _plain():
        return False
    for item in node.attribute:
        if item.HasField("g") or item.graphs or item.HasField("sparse_tensor"):
            return False
        is_kernel = item.name == "kernel_shape" and node.op_type.endswith("Pool")
        if is_kernel and not 0 < math.prod(item.ints) <= _MOST_KERNEL:
            return False
    return True


class _Tensor(NamedTuple):
    values: int
    size_bytes: int


def _most_at_a_time(network: onnx.ModelProto, tensors: dict[str, _Tensor]) -> int:
    """Bytes that are held at once in a run, at most, each tensor from when it is made until it is last read."""
    nodes = network.graph.node
    last = {name: number for number, node in enumerate(nodes) for name in (*node.output, *node.input)}
    last |= {item.name: len(nodes) for item in network.graph.output}
    ends: dict[int, list[str]] = {}
    for name in tensors:
        ends.setdefault(last.get(name, len(nodes)), []).append(name)
    made = {name for node in nodes for name in node.output}
    held = most = sum(item.size_bytes for name, item in tensors.items() if name not in made)
    for number, node in enumerate(nodes):
        held += sum(tensors[name].size_bytes for name in node.output if name)
        most = max(most, held)
        held -= sum(tensors[name].size_bytes for name in ends.get(number, ()))
    return most


def _tensors(network: onnx.ModelProto, example: ExampleShapes, batch: int) -> dict[str, _Tensor] | None:
    """All tensors but the weights, as ONNX infers them from so many examples; None where a shape is not known.

    What the file itself says of them counts for nothing, but for a batch that it has fixed.
    """
    import onnx

    inputs = inputs_of(network.graph)
    if not isinstance(example, Mapping):
        example = dict.fromkeys([item.name for item in inputs], example)
    try:
        given = places(list(map(declared, inputs)), example, "the graph").shapes(example, batch)
    except MeasureError:
        return None
    bare = onnx.ModelProto(ir_version=max(network.ir_version, 4), opset_import=network.opset_import)
    bare.graph.name = "bare"
    bare.graph.node.extend(network.graph.node)
    for item in network.graph.initializer:
        if item.ByteSize() < _SMALL_BYTES:
            bare.graph.initializer.append(item)
        else:
            bare.graph.initializer.add(name=item.name, data_type=item.data_type, dims=item.dims)
    for item in inputs:
        kind = item.type.tensor_type.elem_type
        bare.graph.input.append(onnx.helper.make_tensor_value_info(item.name, kind, given[item.name]))
    bare.graph.output.extend(onnx.ValueInfoProto(name=item.name) for item in network.graph.output)
    try:
        known = onnx.shape_inference.infer_shapes(bare)
    except Exception:
        return None
    found = {item.name: _sizes(item) for item in (*bare.graph.input, *known.graph.value_info, *known.graph.output)}
    names = (*given, *(name for node in network.graph.node for name in node.output if name))
    sizes = {name: item for name in names if (item := found.get(name)) is not None}
    return sizes if all(name in sizes for name in names) else None


def _sizes(item: onnx.ValueInfoProto) -> _Tensor | None:
    kind = item.type.tensor_type
    if not item.type.HasField("tensor_type") or not kind.HasField("shape"):
        return None
    if not all(dim.HasField("dim_value") and dim.dim_value >= 0 for dim in kind.shape.dim):
        return None
    values = math.prod(dim.dim_value for dim in kind.shape.dim)
    return _Tensor(values, values * _BYTES.get(kind.elem_type, 8))
