"""Tensors and operators of one LiteRT graph, and its bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_IDENTIFIER = b"TFL3"


class Graph:
    """Collects tensors and operators in the order they are made; `finish` gives the file."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema: Any = schema
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.codes: list[str] = []
        self.buffers: list[Any] = [schema.BufferT()]

    def shape(self, index: int) -> list[int]:
        """Shape of a tensor."""
        return list(self.tensors[index].shape)

    def tensor(
        self,
        name: str,
        shape: list[int],
        dtype: type[Any] = np.float32,
        scale: float | None = None,
        zero: int = 0,
    ) -> int:
        """A computed tensor; its index."""
        made = self.schema.TensorT()
        made.name, made.shape, made.buffer = name.encode(), [int(n) for n in shape], 0
        made.type = {np.float32: self.schema.TensorType.FLOAT32, np.int8: self.schema.TensorType.INT8}[dtype]
        if scale is not None:
            made.quantization = self._quantization(np.array([scale], np.float32), np.array([zero]), 0)
        self.tensors.append(made)
        return len(self.tensors) - 1

    def constant(
        self, name: str, values: NDArray[Any], scales: NDArray[np.float32] | None = None, axis: int = 0
    ) -> int:
        """A stored tensor; its index."""
        kinds = {"f": self.schema.TensorType.FLOAT32, "i": self.schema.TensorType.INT32}
        made, buffer = self.schema.TensorT(), self.schema.BufferT()
        made.name, made.shape = name.encode(), list(values.shape)
        made.type = self.schema.TensorType.INT8 if values.dtype == np.int8 else kinds[values.dtype.kind]
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.buffers.append(buffer)
        made.buffer = len(self.buffers) - 1
        if scales is not None:
            made.quantization = self._quantization(scales, np.zeros(len(scales), np.int64), axis)
        self.tensors.append(made)
        return len(self.tensors) - 1

    def _quantization(self, scales: NDArray[np.float32], zeros: NDArray[Any], axis: int) -> Any:
        found = self.schema.QuantizationParametersT()
        found.scale, found.zeroPoint = scales.astype(np.float32), zeros.astype(np.int64)
        found.quantizedDimension = axis
        return found

    def like(self, index: int, shape: list[int], name: str) -> int:
        """A tensor of the same type and scale in another shape."""
        other = self.tensors[index]
        made = self.schema.TensorT()
        made.name, made.shape, made.buffer = name.encode(), shape, 0
        made.type, made.quantization = other.type, other.quantization
        self.tensors.append(made)
        return len(self.tensors) - 1

    def operator(self, kind: str, inputs: list[int], outputs: list[int], **options: Any) -> None:
        """Append an operator; `options` in the words of `_options`."""
        if kind not in self.codes:
            self.codes.append(kind)
        made = self.schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = self.codes.index(kind), inputs, outputs
        name, content = self._options(kind, options)
        if name:
            made.builtinOptionsType, made.builtinOptions = getattr(self.schema.BuiltinOptions, name), content
        self.operators.append(made)

    def _options(self, kind: str, given: dict[str, Any]) -> tuple[str, Any]:
        names = {
            "CONV_2D": "Conv2DOptions",
            "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
            "MAX_POOL_2D": "Pool2DOptions",
            "AVERAGE_POOL_2D": "Pool2DOptions",
            "FULLY_CONNECTED": "FullyConnectedOptions",
            "ADD": "AddOptions",
            "CONCATENATION": "ConcatenationOptions",
            "MEAN": "ReducerOptions",
            "SOFTMAX": "SoftmaxOptions",
            "RESHAPE": "ReshapeOptions",
        }
        if kind not in names:
            return "", None
        content = getattr(self.schema, f"{names[kind]}T")()
        if "fused" in given:
            content.fusedActivationFunction = getattr(self.schema.ActivationFunctionType, given["fused"])
        if "padding" in given:
            content.padding = getattr(self.schema.Padding, given["padding"])
        if "strides" in given:
            content.strideH, content.strideW = given["strides"]
        if "dilations" in given:
            content.dilationHFactor, content.dilationWFactor = given["dilations"]
        if "multiplier" in given:
            content.depthMultiplier = given["multiplier"]
        if "kernel" in given:
            content.filterHeight, content.filterWidth = given["kernel"]
        if "axis" in given:
            content.axis = given["axis"]
        if "shape" in given:
            content.newShape = given["shape"]
        if kind == "MEAN":
            content.keepDims = True
        if kind == "SOFTMAX":
            content.beta = 1.0
        return names[kind], content

    def pad(self, source: int, pads: list[int], lowest: int | float | None) -> int:
        """Height and width padded with 0, or with `lowest`; `pads`: top, left, bottom, right."""
        top, left, bottom, right = pads
        _, height, width, channels = self.shape(source)
        made = self.like(source, [1, height + top + bottom, width + left + right, channels], f"padded_{source}")
        amounts = self.constant(f"pads_{source}", np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32))
        if lowest is None:
            self.operator("PAD", [source, amounts], [made])
            return made
        int8 = self.tensors[source].type == self.schema.TensorType.INT8
        value = self.constant(f"lowest_{source}", np.array([lowest], np.int8 if int8 else np.float32))
        self.tensors[value].quantization = self.tensors[source].quantization
        self.operator("PADV2", [source, amounts, value], [made])
        return made

    def transposed(self, source: int, order: list[int]) -> int:
        """The tensor with its axes in another order."""
        shape = self.shape(source)
        made = self.like(source, [shape[axis] for axis in order], f"transposed_{source}")
        self.operator("TRANSPOSE", [source, self.constant(f"order_{source}", np.array(order, np.int32))], [made])
        return made

    def reshaped(self, source: int, shape: list[int], name: str) -> int:
        """The tensor in another shape."""
        made = self.like(source, shape, name)
        wanted = self.constant(f"shape_{source}", np.array(shape, np.int32))
        self.operator("RESHAPE", [source, wanted], [made], shape=shape)
        return made

    def rescaled(self, source: int, target: int) -> int:
        """The tensor quantized again with the scale of `target`."""
        mine, other = self.tensors[source].quantization, self.tensors[target].quantization
        if mine.scale[0] == other.scale[0] and mine.zeroPoint[0] == other.zeroPoint[0]:
            return source
        made = self.like(source, self.shape(source), f"rescaled_{source}")
        self.tensors[made].quantization = other
        self.operator("QUANTIZE", [source], [made])
        return made

    def finish(self, inputs: list[int], outputs: list[int]) -> bytes:
        """The bytes of the file."""
        import flatbuffers

        schema = self.schema
        graph, model = schema.SubGraphT(), schema.ModelT()
        graph.tensors, graph.operators, graph.name = self.tensors, self.operators, b"main"
        graph.inputs, graph.outputs = inputs, outputs
        model.version, model.subgraphs, model.buffers = 3, [graph], self.buffers
        model.description = b"edgepipe"
        model.operatorCodes = [self._code(kind) for kind in self.codes]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), _IDENTIFIER)
        return bytes(builder.Output())

    def _code(self, kind: str) -> Any:
        made = self.schema.OperatorCodeT()
        number = getattr(self.schema.BuiltinOperator, kind)
        # Operators up to 126 stand in the old field too, for old readers.
        made.builtinCode, made.deprecatedBuiltinCode = number, min(number, 127)
        made.version = {"RESHAPE": 1, "CONV_2D": 5, "DEPTHWISE_CONV_2D": 5, "FULLY_CONNECTED": 5}.get(kind, 2)
        return made
