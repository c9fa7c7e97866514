"""Writes a placement into a graph as QuantizeLinear and DequantizeLinear pairs, weights stored as int8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgepipe.quant.affine import activation_parameters, quantize, weight_parameters
from edgepipe.quant.exact_sums import exact_sums
from edgepipe.quant.placement import Placement, Wiring, weight_axis

Parameters = tuple[np.float32, int]


class QdqWriter:
    """Rewrites a prepared float model in place."""

    def __init__(self, model: onnx.ModelProto, *, per_channel: bool, pair_safe: bool, search: bool) -> None:
        self.model = model
        self.wiring = Wiring(model)
        self.per_channel, self.pair_safe, self.search = per_channel, pair_safe, search
        self._renamed: dict[str, str] = {}
        self._new_nodes: list[onnx.NodeProto] = []
        self._new_constants: dict[str, onnx.TensorProto] = {}
        self._weights: dict[tuple[str, int], tuple[str, NDArray[np.float32]]] = {}

    def write(self, placement: Placement, ranges: Mapping[str, tuple[float, float]]) -> dict[str, Parameters]:
        """Insert every pair; returns scale and zero point per quantized tensor.

        Raises:
            ValueError: a weight holds NaN or infinity; the message names it.
        """
        parameters = self._parameters(placement, ranges)
        after: dict[str, list[onnx.NodeProto]] = {
            name: self._pair(name, parameters[name]) for name in placement.tensors
        }
        nodes: list[onnx.NodeProto] = []
        for name in self.wiring.inputs:
            nodes += after.pop(name, [])
        for node in self.model.graph.node:
            reads = [f"{name}_dequantized" if name in parameters else name for name in node.input]
            if node.name in placement.nodes and node.op_type in ("Conv", "Gemm", "MatMul"):
                reads = self._with_int8_weights(node, reads, parameters)
            del node.input[:]
            node.input.extend(reads)
            nodes += self._new_nodes
            self._new_nodes = []
            nodes.append(node)
            for output in node.output:
                nodes += after.pop(output, [])
        self._graph_outputs(parameters)
        self._replace(nodes)
        return parameters

    def _parameters(self, placement: Placement, ranges: Mapping[str, tuple[float, float]]) -> dict[str, Parameters]:
        found: dict[str, Parameters] = {}
        for name in placement.tensors:
            source = name
            while source in placement.same_as:
                source = placement.same_as[source]
            found[name] = found[source] if source in found else activation_parameters(*ranges[source])
        exact_sums(self.model, placement, found)
        return found

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        self._new_constants[name] = numpy_helper.from_array(np.array(value, order="C"), name)  # keeps scalars scalar
        return name

    def _pair(self, name: str, parameters: Parameters) -> list[onnx.NodeProto]:
        scale = self._constant(f"{name}_scale", np.asarray(parameters[0], np.float32))
        zero = self._constant(f"{name}_zero_point", np.asarray(parameters[1], np.uint8))
        quantized, back = f"{name}_quantized", f"{name}_dequantized"
        return [
            helper.make_node("QuantizeLinear", [name, scale, zero], [quantized], f"{name}_QuantizeLinear"),
            helper.make_node("DequantizeLinear", [quantized, scale, zero], [back], f"{name}_DequantizeLinear"),
        ]

    def _with_int8_weights(
        self, node: onnx.NodeProto, reads: list[str], parameters: dict[str, Parameters]
    ) -> list[str]:
        axis = weight_axis(node)
        weight, scales = self._weight(node.input[1], axis, zeros=node.op_type in ("Gemm", "MatMul"))
        reads[1] = weight
        if len(node.input) > 2 and node.input[2]:
            reads[2] = self._bias(node, node.input[2], parameters[node.input[0]][0], scales)
        return reads

    def _weight(self, name: str, axis: int, *, zeros: bool) -> tuple[str, NDArray[np.float32]]:
        if (name, axis) in self._weights:
            return self._weights[name, axis]
        value = self.wiring.array(name)
        assert value is not None
        if not np.isfinite(value).all():
            raise ValueError(f"the weight '{name}' holds NaN or infinity")
        rows = np.moveaxis(value, axis, 0).reshape(value.shape[axis], -1)
        if self.per_channel:
            integers, scales = weight_parameters(rows, pair_safe=self.pair_safe, search=self.search)
        else:
            one, scale = weight_parameters(rows.reshape(1, -1), pair_safe=self.pair_safe, search=self.search)
            integers, scales = one.reshape(rows.shape), np.repeat(scale, len(rows))
        moved = np.moveaxis(value, axis, 0).shape
        stored = np.moveaxis(integers.reshape(moved), 0, axis)
        tag = f"{name}_axis{axis}" if any(key[0] == name for key in self._weights) else name
        shown = scales if self.per_channel else scales[0]
        reads = [self._constant(f"{tag}_quantized", stored), self._constant(f"{tag}_scale", np.asarray(shown))]
        # Symmetric: an absent zero point means 0 and int8 follows from the input's type. ONNX Runtime 1.31
        # however makes an int8 QGemm only of a weight whose zero points are written.
        if zeros:
            reads.append(self._constant(f"{tag}_zero_point", np.zeros(np.shape(shown), np.int8)))
        extra: dict[str, Any] = {"axis": axis} if self.per_channel else {}
        self._new_nodes.append(
            helper.make_node("DequantizeLinear", reads, [f"{tag}_dequantized"], f"{tag}_DequantizeLinear", **extra)
        )
        self._weights[name, axis] = (f"{tag}_dequantized", scales)
        return self._weights[name, axis]

    def _bias(self, node: onnx.NodeProto, name: str, input_scale: np.float32, scales: NDArray[np.float32]) -> str:
        """int32 with the scale of the accumulator, s_x * s_w, so that adding it needs no arithmetic."""
        value = self.wiring.array(name)
        assert value is not None
        flat = np.broadcast_to(value.reshape(-1), scales.shape)
        scale = (scales * input_scale).astype(np.float32)
        integers = quantize(flat, scale, 0, np.int32)
        tag = f"{node.name}_bias"
        shown = scale if self.per_channel else scale[:1].reshape(())
        reads = [self._constant(f"{tag}_quantized", integers), self._constant(f"{tag}_scale", np.asarray(shown))]
        extra: dict[str, Any] = {"axis": 0} if self.per_channel else {}
        self._new_nodes.append(
            helper.make_node("DequantizeLinear", reads, [f"{tag}_dequantized"], f"{tag}_DequantizeLinear", **extra)
        )
        return f"{tag}_dequantized"

    def _graph_outputs(self, parameters: Mapping[str, Parameters]) -> None:
        """A quantized tensor that is also a graph output is handed out dequantized, under its own name."""
        for item in self.model.graph.output:
            if item.name in parameters:
                self._rename_output(item.name)

    def _rename_output(self, name: str) -> None:
        # The output keeps its name for the outside; inside, the float value that is quantized gets another one.
        inner = f"{name}_float"
        for node in self.model.graph.node:
            for index, output in enumerate(node.output):
                if output == name:
                    node.output[index] = inner
        self._renamed[name] = inner

    def _replace(self, nodes: list[onnx.NodeProto]) -> None:
        graph = self.model.graph
        for name, inner in self._renamed.items():
            for node in nodes:
                if node.op_type == "QuantizeLinear" and node.input[0] == name:
                    node.input[0] = inner
                for index, read in enumerate(node.input):
                    if read == f"{name}_dequantized":
                        node.input[index] = name
                if node.op_type == "DequantizeLinear" and node.output[0] == f"{name}_dequantized":
                    node.output[0] = name
        read = {name for node in nodes for name in node.input}
        kept = [item for item in graph.initializer if item.name in read]
        del graph.node[:]
        graph.node.extend(nodes)
        del graph.initializer[:]
        graph.initializer.extend([*kept, *(item for name, item in self._new_constants.items() if name in read)])
        inputs = [item for item in graph.input if item.name in self.wiring.inputs]
        del graph.input[:]
        graph.input.extend(inputs)
