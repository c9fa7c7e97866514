"""Writes a placement into a graph as QuantizeLinear and DequantizeLinear pairs, weights stored as int8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgepipe.onnx.wiring import drop_unread
from edgepipe.quant.arithmetic.affine import activation_parameters, least_scales, quantize, weight_parameters
from edgepipe.quant.arithmetic.exact_sums import Parameters, exact_sums
from edgepipe.quant.place.placement import Placement, Wiring, upper_bound, weight_axis

WeightKey = tuple[str, int]
"""Name of a weight, and its axis of output channels."""
Weight = tuple[NDArray[np.int8], NDArray[np.float32]]
"""int8 (channels, weights of one channel) and float32 (channels,), one scale each, equal ones where per tensor."""

WEIGHTED = ("Conv", "Gemm", "MatMul")


class QdqWriter:
    """Rewrites a prepared float model in place."""

    def __init__(self, model: onnx.ModelProto, *, per_channel: bool, pair_safe: bool, search: bool) -> None:
        self.model = model
        self.wiring = Wiring(model)
        self.per_channel, self.pair_safe, self.search = per_channel, pair_safe, search
        self._renamed: dict[str, str] = {}
        self._new_nodes: list[onnx.NodeProto] = []
        self._new_constants: dict[str, onnx.TensorProto] = {}
        self._weights: dict[WeightKey, Weight] = {}
        self._written: dict[WeightKey, str] = {}

    def write(
        self,
        placement: Placement,
        ranges: Mapping[str, tuple[float, float]],
        *,
        weights: Mapping[WeightKey, Weight] | None = None,
        biases: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> dict[str, Parameters]:
        """Insert every pair; returns scale and zero point per quantized tensor.

        Args:
            ranges: (low, high) of every tensor of the placement that shares no other's.
            weights: as `weights` returns them, perhaps rounded better; by default just that.
            biases: float32 (channels,) by node name, in place of the bias that the node has, or has not.
        Raises:
            ValueError: a weight holds NaN or infinity; the message names it.
        """
        parameters = self.parameters(placement, ranges)
        self._weights = dict(self.weights(placement, parameters) if weights is None else weights)
        after: dict[str, list[onnx.NodeProto]] = {
            name: self._pair(name, parameters[name]) for name in placement.tensors
        }
        nodes: list[onnx.NodeProto] = []
        self._add_to_products(biases or {})
        for name in self.wiring.inputs:
            nodes += after.pop(name, [])
        for node in self.model.graph.node:
            if node.name in placement.nodes and node.op_type in WEIGHTED:
                bias = (
                    self._bias_of(node)
                    if node.op_type == "MatMul"
                    else (biases or {}).get(node.name, self._bias_of(node))
                )
                reads = self._with_int8_weights(node, bias, parameters[node.input[0]][0])
                reads[0] = f"{node.input[0]}_dequantized"
            else:
                reads = [f"{name}_dequantized" if name in parameters else name for name in node.input]
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

    def parameters(self, placement: Placement, ranges: Mapping[str, tuple[float, float]]) -> dict[str, Parameters]:
        """Scale and uint8 zero point of every tensor of the placement."""
        found: dict[str, Parameters] = {}
        for name in placement.tensors:
            source = name
            while source in placement.same_as:
                source = placement.same_as[source]
            found[name] = found[source] if source in found else activation_parameters(*ranges[source])
        most = {name: upper_bound(name, self.wiring) for name in found}
        exact_sums(self.model.graph.node, placement, found, most)
        return found

    def weights(
        self,
        placement: Placement,
        parameters: Mapping[str, Parameters],
        known: Mapping[WeightKey, Weight] | None = None,
    ) -> dict[WeightKey, Weight]:
        """Integers and scales of every weight of the placement, each rounded to the nearest, or as `known` already.

        Raises:
            ValueError: a weight holds NaN or infinity; the message names it.
        """
        least: dict[WeightKey, NDArray[np.float32]] = {}
        for node in self.layers(placement):
            key = (node.input[1], weight_axis(node))
            value = self.wiring.array(key[0])
            assert value is not None
            bias = self._bias_of(node)
            wanted = np.zeros(value.shape[key[1]], np.float32)
            if bias is not None:
                wanted = least_scales(np.broadcast_to(bias, wanted.shape), parameters[node.input[0]][0])
            least[key] = np.maximum(least.get(key, wanted), wanted)
        found = known or {}
        return {key: found[key] if key in found else self._integers(*key, floor) for key, floor in least.items()}

    def layers(self, placement: Placement) -> list[onnx.NodeProto]:
        """Nodes of the placement that have a weight."""
        return [node for node in self.model.graph.node if node.name in placement.nodes and node.op_type in WEIGHTED]

    def rows(self, key: WeightKey) -> NDArray[np.float32]:
        """A weight as (channels, weights of one channel)."""
        value = self.wiring.array(key[0])
        assert value is not None
        return np.moveaxis(value, key[1], 0).reshape(value.shape[key[1]], -1)

    def bias(self, node: onnx.NodeProto) -> NDArray[np.float32] | None:
        """float32, (channels,); zeros where a node has none that could have; None where a MatMul is added none."""
        value = self.wiring.array(node.input[1])
        assert value is not None
        wide = np.zeros(value.shape[weight_axis(node)], np.float32)
        if node.op_type == "MatMul":
            found = self._addition(node)
            return None if found is None else np.asarray(np.broadcast_to(found[1].reshape(-1), wide.shape))
        bias = self._bias_of(node)
        return wide if bias is None else np.asarray(np.broadcast_to(bias, wide.shape))

    def _addition(self, node: onnx.NodeProto) -> tuple[onnx.NodeProto, NDArray[np.float32]] | None:
        """What adds a constant to each channel of a product, and nothing else reads the product; the constant."""
        after = self.wiring.sole_consumer(node.output[0])
        if after is None or after.op_type != "Add" or after.domain not in ("", "ai.onnx"):
            return None
        value = self.wiring.array(after.input[1 - list(after.input).index(node.output[0])])
        if value is None or (value.ndim and value.size != value.shape[-1]):
            return None
        return after, value

    def _add_to_products(self, biases: Mapping[str, NDArray[np.float32]]) -> None:
        """Give the additions behind matrix products constants of their own."""
        for node in self.model.graph.node:
            found = self._addition(node) if node.op_type == "MatMul" and node.name in biases else None
            if found is not None:
                after, value = found
                place = 1 - list(after.input).index(node.output[0])
                shape = (*value.shape[:-1], biases[node.name].size) if value.ndim else biases[node.name].shape
                after.input[place] = self._constant(f"{node.name}_bias", biases[node.name].reshape(shape))

    def _bias_of(self, node: onnx.NodeProto) -> NDArray[np.float32] | None:
        value = self.wiring.array(node.input[2]) if len(node.input) > 2 and node.input[2] else None
        return None if value is None else value.reshape(-1)

    def _integers(self, name: str, axis: int, least: NDArray[np.float32]) -> Weight:
        rows = self.rows((name, axis))
        if not np.isfinite(rows).all():
            raise ValueError(f"the weight '{name}' holds NaN or infinity")
        if self.per_channel:
            return weight_parameters(rows, pair_safe=self.pair_safe, search=self.search, least=least)
        one, scale = weight_parameters(
            rows.reshape(1, -1), pair_safe=self.pair_safe, search=self.search, least=least.max(keepdims=True)
        )
        return one.reshape(rows.shape), np.repeat(scale, len(rows))

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
        self, node: onnx.NodeProto, bias: NDArray[np.float32] | None, input_scale: np.float32
    ) -> list[str]:
        key = (node.input[1], weight_axis(node))
        scales = self._weights[key][1]
        reads = [node.input[0], self._weight(key, zeros=node.op_type in ("Gemm", "MatMul"))]
        if bias is not None:
            reads.append(self._bias(node, bias, input_scale, scales))
        return reads

    def _weight(self, key: WeightKey, *, zeros: bool) -> str:
        if key in self._written:
            return self._written[key]
        name, axis = key
        value = self.wiring.array(name)
        assert value is not None
        integers, scales = self._weights[key]
        stored = np.moveaxis(integers.reshape(np.moveaxis(value, axis, 0).shape), 0, axis)
        tag = f"{name}_axis{axis}" if any(other[0] == name for other in self._written) else name
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
        self._written[key] = f"{tag}_dequantized"
        return self._written[key]

    def _bias(
        self, node: onnx.NodeProto, value: NDArray[np.float32], input_scale: np.float32, scales: NDArray[np.float32]
    ) -> str:
        """int32 with the scale of the accumulator, s_x * s_w, so that adding it needs no arithmetic."""
        flat = np.broadcast_to(value, scales.shape)
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
        del graph.node[:]
        graph.node.extend(nodes)
        graph.initializer.extend(self._new_constants.values())
        drop_unread(graph)
        inputs = [item for item in graph.input if item.name in self.wiring.inputs]
        del graph.input[:]
        graph.input.extend(inputs)
