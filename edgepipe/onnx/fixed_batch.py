"""The number of examples that a graph takes at once, changed: also where its Reshapes hold the old number."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from edgepipe.errors import MeasureError, PassError
from edgepipe.onnx.batch_axis import MIXED, batch_axis, mixed

if TYPE_CHECKING:
    import onnx

_FAILED = (r"running (\w+) node\. Name:\s*'([^']*)'", r"Node \((?P<name>[^)]*)\) Op \((?P<kind>\w+)\)")
"""How ONNX Runtime names the node that fails, when it runs and when it opens a graph."""
_LONGEST = 10_000
"""Letters of its message that are looked through: a name of a node may have any number."""


def set_batch(
    network: onnx.ModelProto,
    batch: Literal["dynamic"] | int,
    source: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    rows: NDArray[np.float32],
    label: str,
) -> list[str]:
    """Declare the batch, in place; a graph that then fails or answers otherwise gets its Reshapes changed.

    Args:
        source: answers of the graph as it was.
        rows: a few examples, (n, ...), on which both must answer alike, one by one and together.
    Returns:
        What people should be told.
    Raises:
        PassError: the graph is made for its own batch; names the node and the remedy.
    """
    dim = network.graph.input[0].type.tensor_type.shape.dim
    fixed = dim[0].dim_value or None if dim else None
    if batch == fixed or (batch == "dynamic" and fixed is None):
        _declare(network, batch)
        return []
    before = copy.deepcopy(network)
    _declare(network, batch)
    wrong = _wrong(network, batch, source, rows, label)
    if wrong is None:
        return []
    reshapes = _free_reshapes(network, before, rows.shape[1:], label)
    if reshapes:
        wrong = _wrong(network, batch, source, rows, label)
    if wrong is None:
        names = ", ".join(reshapes[:4]) + (f" and {len(reshapes) - 4} more" if len(reshapes) > 4 else "")
        return [f"the graph was made for a batch of {fixed or 1}: the first size of Reshape {names} is worked out now"]
    holders = "" if not reshapes or "'" in wrong else f" (it holds sizes in Reshape {', '.join(reshapes[:4])})"
    made = "the graph says that it takes any batch" if fixed is None else f"the graph is made for a batch of {fixed}"
    raise PassError(
        f"passes.{label}.batch: {made}, and {wrong}{holders}. Export it from its framework with "
        f"{'a dynamic batch' if batch == 'dynamic' else f'a batch of {batch}'}, or set passes.{label}.batch=keep"
    )


def _declare(network: onnx.ModelProto, batch: str | int) -> None:
    for value in (*network.graph.input, *network.graph.output):
        dims = value.type.tensor_type.shape.dim
        if not dims:
            continue
        dims[0].Clear()
        if batch == "dynamic":
            dims[0].dim_param = "batch"
        else:
            dims[0].dim_value = int(batch)


def _wrong(
    network: onnx.ModelProto,
    batch: Literal["dynamic"] | int,
    source: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    rows: NDArray[np.float32],
    label: str,
) -> str | None:
    """What is wrong with several examples at once, in words; None: nothing."""
    from edgepipe.onnx.session import Session

    count = 2 if batch == "dynamic" else batch
    try:
        session = Session(network.SerializeToString(), name=label)
        session.only_input("given another batch")
        together = session.first(np.resize(rows, (count, *rows.shape[1:])))
    except MeasureError as error:
        return f"with {count} at once {_named(str(error))}"
    if count == 1:
        return None  # of one example the parity gate sees all
    axis = batch_axis(session.first, rows, None if batch == "dynamic" else batch)
    if axis is None:
        return f"with {count} at once no axis of its answers counts them, or an example is answered by its neighbours"
    alone = source(np.resize(rows, (count, *rows.shape[1:])))
    together = np.moveaxis(together, axis, 0)
    if together.shape != alone.shape or mixed(together, alone) > MIXED:
        return f"with {count} at once it answers {list(together.shape)}, otherwise than alone"
    return None


def _named(error: str) -> str:
    for pattern in _FAILED:
        found = re.search(pattern, error[:_LONGEST])
        if found:
            kind, name = (found["kind"], found["name"]) if "name" in found.groupdict() else found.groups()
            return f"its {kind} '{name}' fails"
    return f"it does not run: {' '.join(error.split())[-200:]}"


def _free_reshapes(
    network: onnx.ModelProto, before: onnx.ModelProto, example: tuple[int, ...], label: str
) -> list[str]:
    """Let Reshapes of what hangs on the input work out their first size, in place; the names of those changed.

    The others stay as they were for the old batch, where all is known, so that only one size is left to work out.
    """
    from onnx import numpy_helper

    from edgepipe.onnx.graph import Graph
    from edgepipe.onnx.names import fresh, tensor_names
    from edgepipe.onnx.subgraphs import captured
    from edgepipe.onnx.wiring import Wiring

    known = Graph(before, label)
    reached = {network.graph.input[0].name}
    found: list[tuple[onnx.NodeProto, list[int]]] = []
    for node in network.graph.node:
        if not reached.intersection((*node.input, *captured(node))):
            continue
        reached.update(node.output)
        if node.op_type == "Reshape" and len(node.input) == 2 and node.input[1] in known.stored:
            sizes = [int(size) for size in known.array(node.input[1]).ravel()]
            if sizes and sizes[0] > 0:
                found.append((node, sizes))
    shapes = known.shapes(example, {node.output[0] for node, _ in found}) if found else {}
    taken, changed = tensor_names(network.graph), []
    for node, sizes in found:
        whole = shapes.get(node.output[0])
        if whole is not None and 0 not in whole:
            wanted = [-1, *whole[1:]]
        elif -1 not in sizes:
            wanted = [-1, *sizes[1:]]
        else:
            wanted = [0, *sizes[1:]]  # as many as its input has
        name = fresh(f"{node.output[0]}_shape", taken)
        network.graph.initializer.append(numpy_helper.from_array(np.array(wanted, np.int64), name))
        node.input[1] = name
        changed.append(f"'{node.name or node.output[0]}'")
    wiring = Wiring(network)
    for node in [item for item in network.graph.node if item.op_type == "Constant"]:
        if not any(map(wiring.is_read, node.output)):
            network.graph.node.remove(node)
    return changed
