"""LiteRT (`model.tflite`), for Android and microcontrollers: written from the ONNX file, every scale carried over.

LiteRT's int8 scheme is the one of the Q/DQ file with the activations' zero points moved by 128: int8 activations
per tensor, int8 weights per channel, int32 bias with scale s_x * s_w. So nothing is calibrated or rounded again.
Pictures go in with channels last, (1, height, width, channels), as everywhere in LiteRT.
Source: LiteRT 8-bit quantization specification.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
from numpy.typing import NDArray
from pydantic import JsonValue

from edgepipe.contract import Format, Written
from edgepipe.errors import PassError
from edgepipe.formats.asking import Arrays, Ends, example_shape, one_by_one
from edgepipe.formats.tflite_graph import Graph
from edgepipe.onnx.files import load
from edgepipe.quant.place.placement import Wiring, attribute

FILE = "model.tflite"


class TfLite(Format):
    """LiteRT, for Android and microcontrollers; needs the extra `tflite`. Pictures go in with channels last."""

    needs: ClassVar[Mapping[str, str]] = {"ai_edge_litert": "pip install 'edgepipe[tflite]'"}
    libraries: ClassVar[tuple[str, ...]] = ("ai-edge-litert",)
    fixed_shapes: ClassVar[bool] = True

    def write(self, onnx: Path, out: Path, int8_layers: int) -> Written:
        network = _Network(load(onnx))
        (out / FILE).write_bytes(network.build())
        if network.int8 < int8_layers:
            raise PassError(f"tflite: only {network.int8} of {int8_layers} int8 layers could be kept int8")
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(out / FILE), num_threads=1)
        interpreter.allocate_tensors()
        ends = Ends.of(onnx)
        given, wanted = interpreter.get_input_details(), interpreter.get_output_details()

        def run(example: Arrays) -> list[NDArray[Any]]:
            for tensor, place in zip(ends.inputs, given, strict=True):
                row = example[tensor.name]
                fed = row.transpose(1, 2, 0) if row.ndim == 3 else row
                interpreter.set_tensor(place["index"], np.ascontiguousarray(fed[None], np.float32))
            interpreter.invoke()
            return [interpreter.get_tensor(place["index"]).copy() for place in wanted]

        shapes: list[JsonValue] = [[int(n) for n in place["shape"]] for place in given]
        facts: dict[str, JsonValue] = {"int8_layers": network.int8, "layers": network.layers, "input_shape": shapes[0]}
        if len(shapes) > 1:
            facts["input_shape"] = shapes
        return Written((out / FILE,), one_by_one(ends, run), facts)


class _Network:
    """Walks the ONNX graph and writes its LiteRT counterpart; a tensor of four axes has its channels last."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.wiring = Wiring(model)
        self.model = model
        self.graph = Graph()
        self.at: dict[str, int] = {}
        """ONNX tensor to LiteRT tensor."""
        self.scale: dict[str, tuple[float, int]] = {}
        """Quantized ONNX tensor to scale and int8 zero point."""
        self.int8 = self.layers = 0
        self.done: set[int] = set()

    def build(self) -> bytes:
        """The whole file."""
        inputs = [item for item in self.model.graph.input if item.name in self.wiring.inputs]
        for given in inputs:
            shape = [1, *example_shape(given, "tflite")]
            last = [shape[0], *shape[2:], shape[1]] if len(shape) == 4 else shape
            self.at[given.name] = self.graph.tensor(given.name, last)
        for node in self.model.graph.node:
            if id(node) not in self.done:
                self._node(node)
        outputs = [item.name for item in self.model.graph.output]
        return self.graph.finish([self.at[item.name] for item in inputs], [self._float(name) for name in outputs])

    def _node(self, node: onnx.NodeProto) -> None:
        if node.op_type == "DequantizeLinear" and node.input[0] in self.wiring.constants:
            return  # a weight: read where it is used
        write = getattr(self, f"_write_{node.op_type.lower()}", None)
        if node.domain not in ("", "ai.onnx") or write is None:
            raise PassError(
                f"tflite: the operator {node.op_type} ('{node.name}') has no counterpart here. Known are convolutions, "
                "matrix products with constant weights, pooling, additions, concatenations, ReLU and softmax. "
                "Leave tflite out of `formats`"
            )
        write(node)

    # Quantization

    def _parameters(self, node: onnx.NodeProto) -> tuple[float, int]:
        scale, zero = (onnx.numpy_helper.to_array(self.wiring.constants[name]) for name in node.input[1:3])
        return float(scale), int(zero) - (128 if zero.dtype == np.uint8 else 0)

    def _write_quantizelinear(self, node: onnx.NodeProto) -> None:
        parameters = self._parameters(node)
        source, output = self.at[node.input[0]], node.output[0]
        self.at[output] = self.graph.tensor(output, self.graph.shape(source), np.int8, *parameters)
        self.scale[output] = parameters
        self.graph.operator("QUANTIZE", [source], [self.at[output]])

    def _write_dequantizelinear(self, node: onnx.NodeProto) -> None:
        # Operators read the integers themselves; only who needs floats makes a DEQUANTIZE.
        self.at[node.output[0]] = self.at[node.input[0]]
        self.scale[node.output[0]] = self.scale[node.input[0]]

    def _float(self, name: str) -> int:
        """The tensor as float32."""
        if name not in self.scale:
            return self.at[name]
        source = self.at[name]
        made = self.graph.tensor(f"{name}_float", self.graph.shape(source))
        self.graph.operator("DEQUANTIZE", [source], [made])
        return made

    def _result(self, node: onnx.NodeProto, shape: list[int], int8: bool) -> tuple[int, str]:
        """The tensor an operator writes, behind its ReLU and quantization, and its fused activation."""
        name, fused = node.output[0], "NONE"
        after = self.wiring.sole_consumer(name)
        if after is not None and after.op_type in ("Relu", "Clip"):
            fused = self._activation(after)
            self.done.add(id(after))
            name = after.output[0]
            after = self.wiring.sole_consumer(name)
        if int8:
            if after is None or after.op_type != "QuantizeLinear":
                raise PassError(f"tflite: '{node.name}' computes in int8 and hands out floats, which LiteRT cannot")
            self.done.add(id(after))
            parameters = self._parameters(after)
            quantized = after.output[0]
            self.at[quantized] = self.graph.tensor(quantized, shape, np.int8, *parameters)
            self.scale[quantized] = parameters
            return self.at[quantized], fused
        self.at[name] = self.graph.tensor(name, shape)
        return self.at[name], fused

    def _activation(self, node: onnx.NodeProto) -> str:
        if node.op_type == "Relu":
            return "RELU"
        bounds = [self.wiring.array(name) for name in node.input[1:3]]
        limits = [None if bound is None else float(bound.reshape(-1)[0]) for bound in bounds]
        if limits[:1] != [0.0] or limits[1:] not in ([], [None], [6.0]):
            raise PassError(f"tflite: '{node.name}' clips to {limits}; LiteRT knows ReLU and ReLU6")
        return "RELU6" if limits[1:] == [6.0] else "RELU"

    def _wants_float(self, node: onnx.NodeProto) -> bool:
        """Whether an operator's result is read as floats (the logits): its int8 weights are kept all the same."""
        name = node.output[0]
        after = self.wiring.sole_consumer(name)
        if after is not None and after.op_type in ("Relu", "Clip"):
            after = self.wiring.sole_consumer(after.output[0])
        return after is None or after.op_type != "QuantizeLinear"

    def _weight(self, name: str) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
        """A constant operand: (values, scales per channel or None)."""
        made = self.wiring.producer.get(name)
        if made is None:
            item = self.wiring.constants.get(name)
            if item is None:
                raise PassError(f"tflite: '{name}' is computed; only constant weights have a counterpart here")
            return onnx.numpy_helper.to_array(item), None
        if made.op_type != "DequantizeLinear":
            raise PassError(f"tflite: the weight '{name}' is computed by {made.op_type}: only Q/DQ weights are known")
        values, scales = (onnx.numpy_helper.to_array(self.wiring.constants[key]) for key in made.input[:2])
        return values, np.asarray(scales, np.float32).reshape(-1)

    # Layers

    def _write_conv(self, node: onnx.NodeProto) -> None:
        values, scales = self._weight(node.input[1])
        source = self.at[node.input[0]]
        int8 = scales is not None and node.input[0] in self.scale
        if not int8:
            source = self._float(node.input[0])
        if values.ndim != 4:
            raise PassError(f"tflite: '{node.name}' convolves over {values.ndim - 2} axes; only 2 are known here")
        lists = {item.name: list(item.ints) for item in node.attribute}
        strides, dilations = lists.get("strides", [1, 1]), lists.get("dilations", [1, 1])
        group = int(attribute(node, "group", 1))
        channels = self.graph.shape(source)[3]
        depthwise = group == channels and group > 1
        if group > 1 and not depthwise:
            raise PassError(f"tflite: '{node.name}' has {group} groups: LiteRT knows 1, or one for each channel")
        kernel = list(values.shape[2:])
        source, padding = self._padded(source, lists.get("pads", [0] * 4), kernel, strides, dilations, None)
        height, width = self._size(source, kernel, strides, dilations, padding)
        ohwi = values.transpose(1, 2, 3, 0) if depthwise else values.transpose(0, 2, 3, 1)
        axis = 3 if depthwise else 0
        weight = self._stored(node.input[1], ohwi, scales, axis)
        bias = self._bias(node, values.shape[0], int8)
        output, fused = self._result(node, [1, height, width, values.shape[0]], int8)
        options = {"padding": padding, "strides": strides, "dilations": dilations, "fused": fused}
        if depthwise:
            self.graph.operator(
                "DEPTHWISE_CONV_2D", [source, weight, bias], [output], **options, multiplier=values.shape[0] // group
            )
        else:
            self.graph.operator("CONV_2D", [source, weight, bias], [output], **options)
        self._count(int8)

    def _count(self, int8: bool) -> None:
        self.layers += 1
        self.int8 += int8

    def _stored(self, name: str, values: NDArray[Any], scales: NDArray[np.float32] | None, axis: int) -> int:
        if scales is None:
            return self.graph.constant(name, np.ascontiguousarray(values, np.float32))
        if len(scales) == 1:
            scales = np.repeat(scales, values.shape[axis])
        return self.graph.constant(name, np.ascontiguousarray(values, np.int8), scales, axis)

    def _bias(self, node: onnx.NodeProto, count: int, int8: bool) -> int:
        given = node.input[2] if len(node.input) > 2 and node.input[2] else None
        values, scales = self._weight(given) if given is not None else (np.zeros(count, np.float32), None)
        if int8:
            if scales is None:
                _, weight_scales = self._weight(node.input[1])
                assert weight_scales is not None
                scales = np.broadcast_to(weight_scales * np.float32(self.scale[node.input[0]][0]), (count,))
                values = np.rint(values / scales)
            full = np.broadcast_to(scales, (count,)).astype(np.float32)
            return self.graph.constant(f"{node.name}_bias", values.astype(np.int32), full, 0)
        if scales is not None:
            values = values * scales
        return self.graph.constant(
            f"{node.name}_bias", np.broadcast_to(values.astype(np.float32).reshape(-1), (count,))
        )

    def _padded(
        self,
        source: int,
        pads: list[int],
        kernel: list[int],
        strides: list[int],
        dilations: list[int],
        lowest: int | float | None,
    ) -> tuple[int, str]:
        """The input with explicit padding where LiteRT's own two kinds do not say the same."""
        if not any(pads):
            return source, "VALID"
        reach = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
        if strides == [1, 1] and all(r % 2 == 0 and pads[i] == pads[i + 2] == r // 2 for i, r in enumerate(reach)):
            return source, "SAME"
        return self.graph.pad(source, pads, lowest), "VALID"

    def _size(
        self, source: int, kernel: list[int], strides: list[int], dilations: list[int], padding: str
    ) -> tuple[int, int]:
        sizes = self.graph.shape(source)[1:3]
        reach = [0 if padding == "SAME" else d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
        height, width = ((n - r - 1) // s + 1 for n, r, s in zip(sizes, reach, strides, strict=True))
        return height, width

    def _write_gemm(self, node: onnx.NodeProto) -> None:
        values, scales = self._weight(node.input[1])
        if values.ndim != 2 or attribute(node, "transA", 0) or attribute(node, "alpha", 1) != 1:
            raise PassError(f"tflite: '{node.name}' is no plain product with a matrix of weights")
        matrix = values if attribute(node, "transB", 0) else values.T
        quantized = scales is not None and node.input[0] in self.scale
        int8 = quantized and not self._wants_float(node)
        source = self.at[node.input[0]] if int8 else self._float(node.input[0])
        weight = self._stored(node.input[1], matrix, scales, 0)
        bias = self._bias(node, matrix.shape[0], int8)
        output, fused = self._result(node, [*self.graph.shape(source)[:-1], matrix.shape[0]], int8)
        # Where floats are handed out, LiteRT quantizes the input as it goes and multiplies int8 by int8 as well.
        self.graph.operator("FULLY_CONNECTED", [source, weight, bias], [output], fused=fused)
        self._count(quantized)

    _write_matmul = _write_gemm

    # What has no weights

    def _write_maxpool(self, node: onnx.NodeProto) -> None:
        self._pool(node, "MAX_POOL_2D")

    def _write_averagepool(self, node: onnx.NodeProto) -> None:
        if any(any(item.ints) for item in node.attribute if item.name == "pads"):
            raise PassError(f"tflite: '{node.name}' averages over padding, which LiteRT does otherwise")
        self._pool(node, "AVERAGE_POOL_2D")

    def _pool(self, node: onnx.NodeProto, kind: str) -> None:
        lists = {item.name: list(item.ints) for item in node.attribute}
        if attribute(node, "ceil_mode", 0):
            raise PassError(f"tflite: '{node.name}' rounds its size up, which LiteRT does not")
        kernel, strides = lists["kernel_shape"], lists.get("strides", [1, 1])
        source = self.at[node.input[0]]
        int8 = node.input[0] in self.scale
        lowest = -128 if int8 else float(np.finfo(np.float32).min)
        source, padding = self._padded(source, lists.get("pads", [0] * 4), kernel, strides, [1, 1], lowest)
        height, width = self._size(source, kernel, strides, [1, 1], padding)
        output, fused = self._result(node, [1, height, width, self.graph.shape(source)[3]], int8)
        self.graph.operator(kind, [source], [output], padding=padding, strides=strides, kernel=kernel, fused=fused)

    def _write_globalaveragepool(self, node: onnx.NodeProto) -> None:
        int8 = node.input[0] in self.scale and not self._wants_float(node)
        source = self.at[node.input[0]] if int8 else self._float(node.input[0])
        output, _ = self._result(node, [1, 1, 1, self.graph.shape(source)[3]], int8)
        axes = self.graph.constant(f"{node.name}_axes", np.array([1, 2], np.int32))
        self.graph.operator("MEAN", [source, axes], [output])

    def _write_add(self, node: onnx.NodeProto) -> None:
        int8 = all(name in self.scale for name in node.input) and not self._wants_float(node)
        constants = [self.wiring.array(name) for name in node.input]
        sources = [
            self.graph.constant(name, value) if value is not None else self.at[name] if int8 else self._float(name)
            for name, value in zip(node.input, constants, strict=True)
        ]
        if any(value is not None and value.ndim > 1 for value in constants):
            raise PassError(f"tflite: '{node.name}' adds a constant of several axes, whose layout is not known here")
        shape = max((self.graph.shape(source) for source in sources), key=len)
        output, fused = self._result(node, shape, int8)
        self.graph.operator("ADD", sources, [output], fused=fused)

    def _write_concat(self, node: onnx.NodeProto) -> None:
        int8 = all(name in self.scale for name in node.input) and not self._wants_float(node)
        sources = [self.at[name] if int8 else self._float(name) for name in node.input]
        if int(attribute(node, "axis", 1)) != 1:
            raise PassError(f"tflite: '{node.name}' concatenates another axis than the channels")
        shape = self.graph.shape(sources[0])
        shape = [*shape[:-1], sum(self.graph.shape(source)[-1] for source in sources)]
        output, _ = self._result(node, shape, int8)
        if int8:  # LiteRT wants equal scales: the others are quantized again to the result's
            sources = [self.graph.rescaled(source, output) for source in sources]
        self.graph.operator("CONCATENATION", sources, [output], axis=len(shape) - 1)

    def _write_relu(self, node: onnx.NodeProto) -> None:
        source = self._float(node.input[0])
        self.at[node.output[0]] = self.graph.tensor(node.output[0], self.graph.shape(source))
        self.graph.operator(self._activation(node), [source], [self.at[node.output[0]]])

    _write_clip = _write_relu

    def _write_softmax(self, node: onnx.NodeProto) -> None:
        source = self._float(node.input[0])
        self.at[node.output[0]] = self.graph.tensor(node.output[0], self.graph.shape(source))
        self.graph.operator("SOFTMAX", [source], [self.at[node.output[0]]])

    def _write_identity(self, node: onnx.NodeProto) -> None:
        self._alias(node.input[0], node.output[0])

    def _alias(self, old: str, new: str) -> None:
        self.at[new] = self.at[old]
        if old in self.scale:
            self.scale[new] = self.scale[old]

    def _write_flatten(self, node: onnx.NodeProto) -> None:
        source = self.at[node.input[0]]
        shape = self.graph.shape(source)
        if len(shape) == 4 and shape[1:3] != [1, 1]:  # features count channel by channel in ONNX
            source = self.graph.transposed(source, [0, 3, 1, 2])
        count = int(np.prod(shape))
        quantized = self.scale.get(node.input[0])
        made = self.graph.reshaped(source, [1, count], node.output[0])
        self.at[node.output[0]] = made
        if quantized is not None:
            self.scale[node.output[0]] = quantized
            after = self.wiring.sole_consumer(node.output[0])
            if after is not None and after.op_type == "QuantizeLinear":  # the same scale: nothing to do
                self.done.add(id(after))
                self._alias(node.output[0], after.output[0])

    def _write_reshape(self, node: onnx.NodeProto) -> None:
        target = self.wiring.constants.get(node.input[1])
        wanted = [] if target is None else onnx.numpy_helper.to_array(target).tolist()
        if len(wanted) != 2:
            raise PassError(
                f"tflite: '{node.name}' reshapes to {wanted or 'a computed shape'}; only flattening is known"
            )
        self._write_flatten(node)

    def _write_squeeze(self, node: onnx.NodeProto) -> None:
        if self.graph.shape(self.at[node.input[0]])[1:3] != [1, 1]:
            raise PassError(f"tflite: '{node.name}' squeezes other axes than those of a pooled picture")
        self._write_flatten(node)
