"""The float model run once, as far as many changed copies of it are alike; each copy then runs from there on."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from edgepipe.onnx.batch_axis import batch_axes, count_of, cut, resized
from edgepipe.onnx.session import Given, Session
from edgepipe.onnx.session_options import as_written
from edgepipe.onnx.subgraphs import captured, subgraphs
from edgepipe.quant.place.worth import shapes_of
from edgepipe.quant.study.answers import float_outputs

Floats = NDArray[np.float32]
_BATCH = 32
_MOST_BYTES = 256 * 2**20
"""Of activations that are kept; where more would have to be, copies run from an earlier place."""


class Trunk:
    """Answers of copies of a model that differ from it behind some node only; asked in the order of these nodes.

    Args:
        network: its nodes in an order in which they can run.
        rows: examples, (n, ...), by input where there are several.
    """

    def __init__(self, network: onnx.ModelProto, rows: Given) -> None:
        self._network = network
        self._nodes = list(network.graph.node)
        self._place = {output: index for index, node in enumerate(self._nodes) for output in node.output}
        # What the bodies of If and Loop read is not among their inputs: such models run whole.
        self._whole = any(True for node in self._nodes for _ in subgraphs(node))
        shapes = shapes_of(network)
        session = Session(network.SerializeToString(), as_written())
        given = session.rows(rows)
        count = count_of(given)
        self._bytes = {name: 4 * count * prod(shape) for name, shape in shapes.items()}
        few = cut(given, 0, 4)
        fixed, self._outputs = session.places(few).fixed, float_outputs(session.outputs)
        self._axes = batch_axes(lambda some: session.ask(some, self._outputs), few, fixed)
        size = fixed or (_BATCH if len(self._axes) == len(self._outputs) else 1)
        self._counts: list[int] = []
        self._values: list[dict[str, NDArray[np.generic]]] = []
        for start in range(0, count, size):
            part = cut(given, start, start + size)
            fed = part if fixed is None else resized(part, fixed)
            self._counts.append(count_of(part))
            self._values.append({**session.fed(session.placed(fed))})
        self._alone = size == 1
        self._at = 0

    def start_of(self, tensors: Sequence[str]) -> int:
        """The number of nodes that a copy shares which only quantizes these tensors."""
        ends = {item.name for item in self._network.graph.output}  # one that is quantized is another tensor's then
        return 0 if self._whole else min(max(0, self._place.get(name, -1) + (name not in ends)) for name in tensors)

    def answers(self, model: onnx.ModelProto, shared: int) -> Floats:
        """What a copy answers every row, (n, values), as `answers` does; Q/DQ computed as written.

        Args:
            shared: so many of the first nodes are those of the model itself; not less than in an earlier call.
        """
        self._advance(shared)
        nodes = list(model.graph.node)
        assert [node.output for node in nodes[: self._at]] == [node.output for node in self._nodes[: self._at]]
        made = [name for name in self._outputs if name not in self._values[0]]
        found = self._run(model, nodes[self._at :], made)
        parts = []
        for before, values, count in zip(self._values, found, self._counts, strict=True):
            known = {**before, **dict(zip(made, values, strict=True))}
            parts.append([self._rows(name, known[name], count) for name in self._outputs])
        return np.concatenate([np.concatenate(part, axis=1) for part in parts])

    def _rows(self, name: str, value: NDArray[np.generic], count: int) -> Floats:
        """An output of a batch as (count, values)."""
        if self._alone:
            return np.asarray(value, np.float32).reshape(1, -1)
        first = np.moveaxis(np.asarray(value, np.float32), self._axes.get(name, 0), 0)
        return first.reshape(len(first), -1)[:count]

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
