"""An ONNX graph with the look-ups that counting needs: producers, users, stored tensors, shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from edgepipe.onnx.batch_axis import Rows
from edgepipe.onnx.examples import ExampleShapes, Places, places
from edgepipe.onnx.files import load_with_files
from edgepipe.onnx.inputs import inputs_of, only_input
from edgepipe.onnx.operators import LAYERS, RECURRENT, Shape
from edgepipe.onnx.session import Session
from edgepipe.onnx.subgraphs import all_graphs
from edgepipe.onnx.tensor_types import declared
from edgepipe.onnx.wiring import Wiring

MOVES = {"Identity", "Cast", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten"}
"""They pass a stored tensor on: what lies behind them is the same weight."""


def element_bits(data_type: int) -> int:
    """Bits that one element takes in the file; 4-bit types are packed in pairs."""
    name = TensorProto.DataType.Name(data_type)
    for bits in (2, 4):
        if name in {f"INT{bits}", f"UINT{bits}"} or (bits == 4 and name == "FLOAT4E2M1"):
            return bits
    return int(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(data_type)).itemsize) * 8


class Graph:
    """One loaded model. Local functions are inlined, so that their nodes count too.

    Attributes:
        files: that it was read from, its own first; empty of a model that comes from none.
        real: what one run takes of an example of the data, by input, (1, ...) each; {}: none is known. Its whole
            numbers are given wherever the graph is run: they may choose a branch, or count the turns of a loop.
    """

    def __init__(self, model: ModelProto, name: str, files: tuple[Path, ...] = ()) -> None:
        self.files = files
        self.model = onnx.inliner.inline_local_functions(model) if model.functions else model
        self.name = name
        self.real: Rows = {}
        graphs = list(all_graphs(self.model.graph))
        self.inner: list[NodeProto] = [node for graph in graphs[1:] for node in graph.node]
        self.nodes: list[NodeProto] = [node for graph in graphs for node in graph.node]
        self.stored: dict[str, TensorProto] = dict(_all_stored(graphs))
        self.producer: dict[str, NodeProto] = {}
        for graph in graphs:
            self.producer |= Wiring(graph).producer
        self.users: dict[str, list[tuple[NodeProto, int]]] = {}
        for node in self.nodes:
            for slot, tensor in enumerate(node.input):
                self.users.setdefault(tensor, []).append((node, slot))

    @classmethod
    def load(cls, path: Path) -> Graph:
        """Read a file, weights included.

        Raises:
            MeasureError: it is not a readable ONNX model.
        """
        model, files = load_with_files(path)
        return cls(model, str(path), files)

    def array(self, name: str) -> NDArray[Any]:
        """The stored tensor; 4-bit types and bfloat16, which numpy does not know, as float32."""
        values = onnx.numpy_helper.to_array(self.stored[name], base_dir=str(Path(self.name).parent))
        return values.astype(np.float32) if values.dtype.kind == "V" else values

    def weight_behind(self, tensor: str) -> TensorProto | None:
        """The stored tensor that `tensor` is made of through Q/DQ, casts, scales and reshapes; None: an activation."""
        for _ in range(8):  # a chain longer than this is not a weight's
            if tensor in self.stored:
                return self.stored[tensor]
            node = self.producer.get(tensor)
            scaled = node is not None and node.op_type == "Mul" and node.input[1] in self.stored
            if node is None or not (scaled or node.op_type in MOVES | {"DequantizeLinear", "QuantizeLinear"}):
                return None
            tensor = node.input[0]
        return None

    def weight_of(self, node: NodeProto) -> TensorProto | None:
        """The stored weight of a node of `LAYERS`; None where it multiplies activations, or holds it otherwise."""
        slot = LAYERS[node.op_type].weight
        return None if slot is None or slot >= len(node.input) else self.weight_behind(node.input[slot])

    def weights_of(self, node: NodeProto) -> list[TensorProto]:
        """All stored weights of a node of `LAYERS`: a recurrent one has two, an einsum may have several."""
        found = [self.weight_of(node)]
        if node.op_type in RECURRENT | {"Einsum"}:
            first = 0 if node.op_type == "Einsum" else 1
            last = len(node.input) if node.op_type == "Einsum" else 3
            found = [self.weight_behind(name) for name in node.input[first:last]]
        return [tensor for tensor in found if tensor is not None]

    def input_shapes(self, node: NodeProto, shapes: Mapping[str, Shape | None]) -> list[Shape | None]:
        """Shape of each input of a node: as stored, else from `shapes`; None where neither knows it."""
        return [tuple(self.stored[name].dims) if name in self.stored else shapes.get(name) for name in node.input]

    def run_shapes(self, example: ExampleShapes) -> dict[str, Shape]:
        """Shape of each input in one run of examples of this shape, without the axis that counts them.

        Raises:
            MeasureError: one shape, of a model with several inputs.
        """
        shapes = self._by_name(example)
        return self._places(shapes).shapes(shapes)

    def batch(self, example: ExampleShapes) -> int:
        """Examples per run: the fixed batch of the model, 1 when it takes any."""
        return self._places(self._by_name(example)).fixed or 1

    def filled(self, example: ExampleShapes) -> dict[str, NDArray[Any]]:
        """What one run may be given, by input: whole numbers of `real`, and zeros."""
        shapes, rows = self._by_name(example), {}
        for item in map(declared, inputs_of(self.model.graph)):
            real = self.real.get(item.name)
            rows[item.name] = np.zeros((1, *shapes[item.name]), item.dtype or np.float32)
            if real is not None and rows[item.name].dtype.kind in "iub" and real.shape == rows[item.name].shape:
                rows[item.name] = real.astype(rows[item.name].dtype)
        return self._places(shapes).fit(rows)

    def _by_name(self, example: ExampleShapes) -> Mapping[str, Shape]:
        if isinstance(example, Mapping):
            return example
        return {only_input(self.model.graph, self.name, "measured by one shape").name: example}

    def _places(self, shapes: Mapping[str, Shape]) -> Places:
        return places([declared(item) for item in inputs_of(self.model.graph)], shapes, self.name)

    def shapes(self, example: ExampleShapes, needed: set[str]) -> dict[str, Shape]:
        """Shapes of the `needed` tensors for one run; inferred, or observed where inference gives up."""
        found = self._inferred(example)
        missing = {tensor for tensor in needed if tensor not in found}
        return {**found, **self._observed(example, missing)} if missing else found

    def _inferred(self, example: ExampleShapes) -> dict[str, Shape]:
        model = ModelProto()
        model.CopyFrom(self.model)
        # Shapes written at export are symbolic and would win over what is inferred for this batch.
        model.graph.ClearField("value_info")
        for output in model.graph.output:
            output.type.tensor_type.ClearField("shape")
        given = self.run_shapes(example)
        for item in inputs_of(model.graph):
            item.type.tensor_type.ClearField("shape")
            for size in given[item.name]:
                item.type.tensor_type.shape.dim.add().dim_value = size
        try:
            model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        except Exception:  # too large for protobuf, or an operator that inference does not know: observe instead
            return {}
        found = {name: tuple(tensor.dims) for name, tensor in self.stored.items()}
        for item in (*model.graph.input, *model.graph.value_info, *model.graph.output):
            tensor_type = item.type.tensor_type
            if not tensor_type.HasField("shape"):
                continue
            dims = tensor_type.shape.dim
            if all(dim.HasField("dim_value") for dim in dims):
                found[item.name] = tuple(dim.dim_value for dim in dims)
        return found

    def _observed(self, example: ExampleShapes, tensors: set[str]) -> dict[str, Shape]:
        top = {out for node in self.model.graph.node for out in node.output} & tensors
        if not top:
            return {}
        model = ModelProto()
        model.CopyFrom(self.model)
        del model.graph.output[:]
        model.graph.output.extend(onnx.ValueInfoProto(name=tensor) for tensor in sorted(top))
        outputs = Session(model.SerializeToString(), name=self.name).run(self.filled(example))
        return {tensor: tuple(np.shape(value)) for tensor, value in outputs.items()}


def elements(tensor: TensorProto) -> int:
    """Number of elements of a stored tensor."""
    return prod(tensor.dims)


def stored_bytes(tensor: TensorProto) -> int:
    """Bytes of the elements of a stored tensor, as packed in the file."""
    return (elements(tensor) * element_bits(tensor.data_type) + 7) // 8


def _all_stored(graphs: Iterable[GraphProto]) -> Iterator[tuple[str, TensorProto]]:
    for graph in graphs:
        for tensor in graph.initializer:
            yield tensor.name, tensor
        for node in graph.node:
            if node.op_type == "Constant":
                yield from ((node.output[0], item.t) for item in node.attribute if item.name == "value")
