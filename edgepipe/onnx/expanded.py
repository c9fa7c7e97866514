"""An ONNX graph in plain words: functions written out, sparse weights dense (both within bounds), nodes in order."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from edgepipe.errors import ModelError
from edgepipe.onnx.messages import messages
from edgepipe.onnx.written import LARGEST_BYTES

if TYPE_CHECKING:
    import onnx

_MOST_NODES = 100_000
"""Of a graph whose functions are written out; networks of a billion parameters have some ten thousand."""
_MOST_TIMES, _ALWAYS = 1000, 64 * 2**20
"""Dense weights may take so many times the bytes of the file, and at any rate so many."""

_Key = tuple[str, str, str]


def without_functions(network: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """The model with the body of each local function in place of its calls.

    What that makes is counted first: thirty functions that each call the next one twice are a billion nodes.

    Args:
        where: what a message begins with.
    Raises:
        ModelError: it would be too large, functions call each other in a ring, or one cannot be written out.
    """
    from onnx import NodeProto, inliner, shape_inference

    if not network.functions:
        return network
    _drop_shadowed(network)
    functions = {_key_of(item): item for item in network.functions}
    _check_growth(network, functions, where)
    _give_defaults(network, functions)
    wanted = [item for function in network.functions for item in function.opset_import]
    opsets = {item.version for item in (*network.opset_import, *wanted) if not _plain(item.domain)}
    try:
        if len(opsets) > 1:  # what converts a body to the graph's operator set asks for the types of what it takes
            network = shape_inference.infer_shapes(network)
        plain = inliner.inline_local_functions(network, convert_version=True)
    except Exception as error:
        raise ModelError(f"{where}: its local functions cannot be written out: {str(error)[:300]}") from None
    left = sorted({node.op_type for node in messages(plain.graph, NodeProto) if _called(node) in functions})
    if left:
        raise ModelError(
            f"{where}: its local functions {', '.join(left[:5])} are written for another operator set than the graph: "
            "export it with one opset"
        )
    del plain.functions[:]
    known = {item.domain for item in plain.opset_import}
    for item in wanted:
        if item.domain not in known:
            known.add(item.domain)
            plain.opset_import.append(item)
    return plain


def _key_of(function: onnx.FunctionProto) -> _Key:
    return _plain(function.domain), function.name, function.overload


def _called(node: onnx.NodeProto) -> _Key:
    return _plain(node.domain), node.op_type, node.overload


def _plain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _drop_shadowed(network: onnx.ModelProto) -> None:
    """Functions that have the name of an operator of ONNX: the runtime takes the operator."""
    from onnx import defs

    kept = [item for item in network.functions if _plain(item.domain) or not defs.has(item.name)]
    del network.functions[:]
    network.functions.extend(kept)


def _check_growth(network: onnx.ModelProto, functions: dict[_Key, onnx.FunctionProto], where: str) -> None:
    calls = {key: _calls(item, functions) for key, item in functions.items()}
    try:
        order = list(TopologicalSorter(calls).static_order())  # the called ones first
    except CycleError as error:
        names = " -> ".join(name for _, name, _ in error.args[1])
        raise ModelError(f"{where}: its local functions call each other in a ring: {names}") from None
    nodes: dict[_Key, int] = {}
    sizes: dict[_Key, int] = {}
    for key in order:
        inner = calls[key].items()
        nodes[key] = _count(functions[key]) + sum(times * nodes[other] for other, times in inner)
        sizes[key] = functions[key].ByteSize() + sum(times * sizes[other] for other, times in inner)
    top = _calls(network.graph, functions).items()
    own = _count(network.graph)
    whole = own + sum(times * nodes[key] for key, times in top)
    size = sum(times * sizes[key] for key, times in top)
    if whole > max(_MOST_NODES, own) or size > LARGEST_BYTES:
        raise ModelError(
            f"{where}: written out, its local functions are {_shown(whole)} nodes and {_shown(size)} bytes (at most "
            f"{_MOST_NODES:,} nodes): functions that call functions, which no honest network needs so many times. "
            "Export it without local functions"
        )


def _shown(count: int) -> str:
    return f"{count:,}" if count < 10**15 else f"more than 10^{int(math.log10(count))}"


def _count(of: Any) -> int:
    from onnx import NodeProto

    return sum(1 for _ in messages(of, NodeProto))


def _calls(of: Any, functions: dict[_Key, onnx.FunctionProto]) -> Counter[_Key]:
    from onnx import NodeProto

    return Counter(key for node in messages(of, NodeProto) if (key := _called(node)) in functions)


def _give_defaults(network: onnx.ModelProto, functions: dict[_Key, onnx.FunctionProto]) -> None:
    """Write a function's default attributes into its calls: ONNX's inliner (1.23) forgets them."""
    from onnx import NodeProto

    for node in messages(network, NodeProto):
        function = functions.get(_called(node))
        given = {item.name for item in node.attribute}
        node.attribute.extend(item for item in (function.attribute_proto if function else ()) if item.name not in given)


def in_order(network: onnx.ModelProto, where: str) -> None:
    """Put nodes behind those that they read, in place, as ONNX wants it and not every tool writes it.

    Raises:
        ModelError: a node reads what is made of its own result.
    """
    from edgepipe.onnx.subgraphs import all_graphs, captured

    for graph in all_graphs(network.graph):
        made = {name: place for place, node in enumerate(graph.node) for name in node.output if name}
        wants = {
            place: sorted({made[name] for name in (*node.input, *captured(node)) if name in made})
            for place, node in enumerate(graph.node)
        }
        if all(before < place for place, found in wants.items() for before in found):
            continue
        try:
            order = list(TopologicalSorter(wants).static_order())
        except CycleError as error:
            ring = " -> ".join(graph.node[place].output[0] for place in error.args[1][:6])
            raise ModelError(f"{where}: its nodes read each other in a ring: {ring}") from None
        nodes = [copy.deepcopy(graph.node[place]) for place in order]
        del graph.node[:]
        graph.node.extend(nodes)


def without_sparse(network: onnx.ModelProto, where: str) -> int:
    """Make sparse weights and constants dense, in place.

    Returns:
        Bytes that they take now; 0: there were none.
    Raises:
        ModelError: they would take far more than the file, or their indices point beside the weight.
    """
    from onnx import helper

    from edgepipe.onnx.subgraphs import all_graphs

    found = list(_sparse(network))
    if not found:
        return 0
    size = sum(_dense_bytes(item, where) for item in found)
    allowed = min(LARGEST_BYTES, max(_ALWAYS, _MOST_TIMES * network.ByteSize()))
    if size > allowed:
        raise ModelError(
            f"{where}: its sparse weights are {_shown(size)} bytes when dense, as ONNX Runtime makes them (at most "
            f"{allowed:,} here): store the weights densely, or split the layer"
        )
    for graph in all_graphs(network.graph):
        graph.initializer.extend(_dense(item, where) for item in graph.sparse_initializer)
        del graph.sparse_initializer[:]
        for node in graph.node:
            for item in node.attribute if node.op_type == "Constant" else ():
                if item.name == "sparse_value":
                    item.CopyFrom(helper.make_attribute("value", _dense(item.sparse_tensor, where)))
    return size


def _sparse(network: onnx.ModelProto) -> Iterator[onnx.SparseTensorProto]:
    from onnx import SparseTensorProto

    return messages(network.graph, SparseTensorProto)


def _dense_bytes(item: onnx.SparseTensorProto, where: str) -> int:
    from onnx import TensorProto

    from edgepipe.onnx.external_data import bytes_of

    size = bytes_of(TensorProto(dims=item.dims, data_type=item.values.data_type))
    if size is None:
        raise ModelError(f"{where}: its sparse weight '{item.values.name}' has no size: {list(item.dims)}")
    return size


def _dense(item: onnx.SparseTensorProto, where: str) -> onnx.TensorProto:
    import numpy as np
    from onnx import numpy_helper

    try:
        values, indices = numpy_helper.to_array(item.values).ravel(), numpy_helper.to_array(item.indices)
        dense = np.zeros(tuple(item.dims), values.dtype)
        places = indices if indices.ndim < 2 else np.ravel_multi_index(tuple(indices.T), dense.shape)
        if len(values) != len(places) or (len(places) and not 0 <= places.min() <= places.max() < dense.size):
            raise ValueError(f"{len(values)} values for {len(places)} places of {dense.size}")
        dense.reshape(-1)[places] = values
        return numpy_helper.from_array(dense, item.values.name)
    except Exception as error:
        raise ModelError(
            f"{where}: the indices of its sparse weight '{item.values.name}' do not fit its shape: {str(error)[:200]}"
        ) from None
