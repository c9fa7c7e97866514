"""The float model run once, as far as many changed copies of it are alike; each copy then runs from there on."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from edgepipe.onnx.session import Session
from edgepipe.onnx.session_options import as_written
from edgepipe.onnx.subgraphs import captured, subgraphs
from edgepipe.quant.place.worth import shapes_of

Floats = NDArray[np.float32]
_BATCH = 32
_MOST_BYTES = 256 * 2**20
"""Of activations that are kept; where more would have to be, copies run from an earlier place."""


class Trunk:
    """Answers of copies of a model that differ from it behind some node only; asked in the order of these nodes.

    Args:
        network: its nodes in an order in which they can run.
        rows: float32, (n, *input_shape).
    """

    def __init__(self, network: onnx.ModelProto, rows: Floats) -> None:
        self._network = network
        self._nodes = list(network.graph.node)
        self._place = {output: index for index, node in enumerate(self._nodes) for output in node.output}
        # What the bodies of If and Loop read is not among their inputs: such models run whole.
        self._whole = any(True for node in self._nodes for _ in subgraphs(node))
        shapes = shapes_of(network)
        self._bytes = {name: 4 * len(rows) * prod(shape) for name, shape in shapes.items()}
        session = Session(network.SerializeToString(), as_written())
        fixed = session.only_input("studied").batch
        size = fixed or _BATCH
        self._counts: list[int] = []
        self._values: list[dict[str, NDArray[np.generic]]] = []
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            fed = part if fixed is None else np.resize(part, (fixed, *part.shape[1:]))
            self._counts.append(len(part))
            self._values.append({**session.fed(fed)})
        self._at = 0

    def start_of(self, tensors: Sequence[str]) -> int:
        """The number of nodes that a copy shares which only quantizes these tensors."""
        return 0 if self._whole else min(self._place.get(name, -1) + 1 for name in tensors)

    def answers(self, model: onnx.ModelProto, shared: int) -> Floats:
        """First output of a copy on every row, (n, values); Q/DQ computed as written.

        Args:
            shared: so many of the first nodes are those of the model itself; not less than in an earlier call.
        """
        self._advance(shared)
        nodes = list(model.graph.node)
        assert [node.output for node in nodes[: self._at]] == [node.output for node in self._nodes[: self._at]]
        found = self._run(model, nodes[self._at :], [model.graph.output[0].name])
        each = [np.asarray(values[0], np.float32) for values in found]
        return np.concatenate(
            [values.reshape(len(values), -1)[:count] for values, count in zip(each, self._counts, strict=True)]
        )

    def _advance(self, to: int) -> None:
        read = {name for node in self._nodes[to:] for name in (*node.input, *captured(node))}
        read |= {item.name for item in self._network.graph.output}
        kept = [name for name in self._values[0] if name in read]
        made = [name for node in self._nodes[self._at : to] for name in node.output if name in read]
        if not made or any(name not in self._bytes for name in made):
            return
        if sum(self._bytes.get(name, 0) for name in (*kept, *made)) > _MOST_BYTES:
            return
        found = self._run(self._network, self._nodes[self._at : to], made)
        self._values = [
            {name: before[name] for name in kept} | dict(zip(made, values, strict=True))
            for before, values in zip(self._values, found, strict=True)
        ]
        self._at = to

    def _run(
        self, model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]
    ) -> list[list[NDArray[np.generic]]]:
        """The outputs of some nodes, from the values at hand, for each batch."""
        read = {name for node in nodes for name in (*node.input, *captured(node))}
        fed = [name for name in self._values[0] if name in read]
        graph = helper.make_graph(
            nodes,
            "part",
            [
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(self._values[0][name].dtype), None)
                for name in fed
            ],
            [helper.make_empty_tensor_value_info(name) for name in outputs],
        )
        graph.initializer.extend(item for item in model.graph.initializer if item.name in read)
        part = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
        session = Session(part.SerializeToString(), as_written())
        found = [session.run({name: values[name] for name in fed}, outputs) for values in self._values]
        return [list(values.values()) for values in found]
