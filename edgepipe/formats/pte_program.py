"""The ONNX graph as a torch program, delegated to XNNPACK.

Each Q/DQ node becomes ExecuTorch's own, so nothing is calibrated or rounded again: uint8 activations move to int8 with
their zero points, int8 weights per channel stay as they are, and XNNPACK makes the int32 bias again from the float one.
Pictures go in as in the ONNX file, (1, channels, height, width).
Source: ExecuTorch, "XNNPACK Backend" and "Quantization"; PyTorch, torch.ao.quantization.fx._decomposed.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from pydantic import JsonValue
from torch import Tensor
from torch.nn import functional

from edgepipe.contract import Written
from edgepipe.errors import PassError
from edgepipe.formats.asking import Arrays, Ends, example_shape, one_by_one
from edgepipe.onnx.files import load
from edgepipe.onnx.inputs import inputs_of
from edgepipe.onnx.wiring import Wiring, attribute
from edgepipe.torch.from_onnx import Call, OnnxNetwork
from edgepipe.torch.onnx_operators import OPERATORS, Attributes, Operator

FILE = "model.pte"
_LINEAR, _DYNAMIC = "Linear", "DynamicLinear"
_SHIFT = 128
"""uint8 with zero point z says the same as int8 with zero point z - 128."""


def written(onnx: Path, out: Path, int8_layers: int) -> Written:
    """As `Format.write`."""
    model = load(onnx)
    shape = (1, *_input_shape(model))
    _fold(model)
    network, example = _Network(model).eval(), torch.zeros(shape)
    with _quiet():
        exported = _exported(network, example)
        int8, layers, method = _settle(exported, out / FILE)
    if int8 < int8_layers:
        raise PassError(
            f"pte: {int8_layers} layers run in int8 in ONNX Runtime, {int8} of {layers} in XNNPACK: the rest "
            "would quietly run in float. Leave pte out of `formats`"
        )
    ends = Ends.of(onnx)

    def run(row: Arrays) -> list[NDArray[np.float32]]:
        fed = [torch.from_numpy(np.ascontiguousarray(row[tensor.name][None], np.float32)) for tensor in ends.inputs]
        return [np.array(answer.numpy(), np.float32) for answer in method.execute(fed)]

    facts: dict[str, JsonValue] = {"int8_layers": int8, "layers": layers, "input_shape": list(shape)}
    return Written((out / FILE,), one_by_one(ends, run), facts)


def _input_shape(model: onnx.ModelProto) -> list[int]:
    for what, items in (("inputs", inputs_of(model.graph)), ("outputs", model.graph.output)):
        if len(items) != 1:
            raise PassError(
                f"pte: the model has {len(items)} {what} ({', '.join(item.name for item in items)}), and only models "
                "with one are written here. Leave pte out of `formats`"
            )
    given = inputs_of(model.graph)[0]
    if given.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        raise PassError("pte: only models that take float32 can be written")
    return example_shape(given, "pte")


def _is_quantized(wiring: Wiring, name: str) -> bool:
    reader = wiring.sole_consumer(name)
    while reader is not None and reader.op_type in ("Relu", "Clip"):
        reader = wiring.sole_consumer(reader.output[0])
    return reader is not None and reader.op_type == "QuantizeLinear"


def _dynamic_linear(_a: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """XNNPACK's int8 products hand out int8, or take int8 ranged anew for each input: so where floats come out."""
    ops = torch.ops.quantized_decomposed
    scale, zero = ops.choose_qparams.tensor(x, -128, 127, 2**-13, torch.int8)
    integers = ops.quantize_per_tensor.tensor(x, scale, zero, -128, 127, torch.int8)
    x = ops.dequantize_per_tensor.tensor(integers, scale, zero, -128, 127, torch.int8)
    return functional.linear(x, weight, bias)


def _fold(model: onnx.ModelProto) -> None:
    """Biases as floats, and matrix products with int8 weights as XNNPACK has them, (out, in), in place."""
    wiring = Wiring(model)
    constants = {item.name: np.array(numpy_helper.to_array(item)) for item in model.graph.initializer}
    changed: dict[str, NDArray[Any]] = {}
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        for name in node.input[2:]:
            maker = wiring.producer.get(name)
            if maker is not None and maker.op_type == "DequantizeLinear" and maker.input[0] in constants:
                integers, scale = constants[maker.input[0]], constants[maker.input[1]]
                changed[name] = (integers * scale.astype(np.float64)).astype(np.float32)
        weight = wiring.producer.get(node.input[1])
        if node.op_type == "Conv" or weight is None or weight.input[0] not in constants:
            continue
        plain = attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0
        if weight.op_type != "DequantizeLinear" or not plain or attribute(node, "transA", 0):
            continue
        if not attribute(node, "transB", 0):
            changed[weight.input[0]] = np.ascontiguousarray(constants[weight.input[0]].T)
            del weight.attribute[:]
            weight.attribute.append(onnx.helper.make_attribute("axis", 0))
        node.op_type = _LINEAR if _is_quantized(wiring, node.output[0]) else _DYNAMIC
        del node.attribute[:]
    kept = [node for node in model.graph.node if node.output[0] not in changed]
    del model.graph.node[:]
    model.graph.node.extend(_one_reader_each(kept, wiring))
    known = [item for item in model.graph.initializer if item.name not in changed]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*known, *(numpy_helper.from_array(a, name) for name, a in changed.items())])


def _one_reader_each(nodes: list[onnx.NodeProto], wiring: Wiring) -> Iterator[onnx.NodeProto]:
    """DequantizeLinear anew for each reader: XNNPACK's partitions are cut where two layers share one."""
    shared = {
        node.output[0]: node
        for node in nodes
        if node.op_type == "DequantizeLinear" and len(wiring.consumers[node.output[0]]) > 1
    }
    for node in nodes:
        for place, name in enumerate(node.input):
            if name in shared:
                own = onnx.NodeProto()
                own.CopyFrom(shared[name])
                own.output[0] = node.input[place] = f"{name}_for_{node.output[0]}_{place}"
                yield own
        yield node


class _Network(OnnxNetwork):
    """The deployed graph with ExecuTorch's operators for Q/DQ; scales and zero points are numbers of the program."""

    operators: ClassVar[dict[str, Operator]] = {
        **OPERATORS,
        _DYNAMIC: _dynamic_linear,
        _LINEAR: lambda _a, x, weight, bias=None: functional.linear(x, weight, bias),
        "QuantizeLinear": lambda *_: None,
        "DequantizeLinear": lambda *_: None,
    }

    def __init__(self, model: onnx.ModelProto) -> None:
        from torch.ao.quantization.fx import _decomposed  # noqa: F401  registers the operators below

        super().__init__(model, "pte")
        self.arrays = {item.name: np.array(numpy_helper.to_array(item)) for item in model.graph.initializer}
        for name, value in list(self._fixed.items()):
            if value.dtype in (torch.int8, torch.uint8):
                self._places[name] = f"q{len(self._places)}"
                self.register_buffer(self._places[name], self._fixed.pop(name))

    def run_call(self, call: Call, arguments: list[Any]) -> Any:
        if call.node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            if call.node.op_type == "Clip":  # the program's bounds are numbers, not tensors
                bounds = [self.arrays[name].item() if name in self.arrays else None for name in call.reads[1:]]
                low, high = bounds if len(bounds) == 2 else (None, None)
                if low is not None and high is not None:
                    return functional.hardtanh(arguments[0], low, high)  # what XNNPACK fuses with the layer before
                arguments = [arguments[0], *bounds]
            return super().run_call(call, arguments)
        scale = self.arrays[call.reads[1]]
        zero = self.arrays[call.reads[2]] if len(call.reads) > 2 else np.zeros(scale.shape, np.int8)
        shift = _SHIFT if zero.dtype == np.uint8 else 0
        value, operators = arguments[0], torch.ops.quantized_decomposed
        if call.node.op_type == "QuantizeLinear":
            if scale.size != 1 or zero.dtype not in (np.uint8, np.int8):
                raise PassError("pte: only 8-bit activations with one scale can be written")
            return operators.quantize_per_tensor(value, scale.item(), int(zero.item()) - shift, -128, 127, torch.int8)
        if call.reads[0] not in self.arrays:
            if zero.dtype not in (np.uint8, np.int8):
                raise PassError("pte: only 8-bit activations with one scale can be written")
            return operators.dequantize_per_tensor(value, scale.item(), int(zero.item()) - shift, -128, 127, torch.int8)
        if zero.any() or zero.dtype != np.int8:
            raise PassError("pte: only int8 weights without a zero point can be written")
        axis = int(call.attributes.get("axis", 1)) % value.ndim
        scales, zeros = self._rows(call.reads[1], scale, value.shape[axis])
        return operators.dequantize_per_channel(value, scales, zeros, axis, -127, 127, torch.int8)

    def _rows(self, name: str, scale: NDArray[np.float32], rows: int) -> tuple[Tensor, Tensor]:
        """Scale and zero point per channel, as buffers: XNNPACK reads nothing else."""
        key = f"{self._places[name]}_rows"
        if key not in self._buffers:
            self.register_buffer(key, torch.from_numpy(np.broadcast_to(scale.reshape(-1), rows).copy()))
            self.register_buffer(f"{key}_zero", torch.zeros(rows, dtype=torch.int64))
        return self.get_buffer(key), self.get_buffer(f"{key}_zero")


def _exported(network: _Network, example: Tensor) -> Any:
    try:
        with torch.no_grad():
            network(example)  # makes the buffers
        return torch.export.export(network, (example,), strict=False)
    except PassError:
        raise
    except Exception as error:  # the exporter's exceptions share no base below Exception
        raise PassError(f"pte: the model cannot be converted: {str(error).strip()[:300]}") from None


_LEFT_OUT: tuple[frozenset[str], ...] = (
    frozenset(),
    frozenset({"cat.default"}),
    frozenset({"cat.default", "mean.dim", "max_pool2d.default", "avg_pool2d.default", "add.Tensor", "mul.Tensor"}),
)
"""Operators that XNNPACK promises and then refuses when the file is loaded, such as a concatenation of several scales:
what is left out is computed by ExecuTorch's own kernels, between Q/DQ."""


def _settle(exported: Any, file: Path) -> tuple[int, int, Any]:
    """Write the file with as much in XNNPACK as it will run: (int8 layers, layers, the loaded program)."""
    said = ""
    for left_out in _LEFT_OUT:
        try:
            program, int8, layers = _lower(exported, left_out)
            file.write_bytes(program)
            return int8, layers, _load(file)
        except Exception as error:  # neither library's exceptions share a base below Exception
            said = said or str(error).strip()[:300]
    file.unlink(missing_ok=True)
    raise PassError(f"pte: the model cannot be converted: {said}. Leave pte out of `formats`")


def _lower(exported: Any, left_out: frozenset[str]) -> tuple[bytes, int, int]:
    """(the program, layers that XNNPACK computes in int8, layers)."""
    import executorch.kernels.quantized  # noqa: F401  Q/DQ where XNNPACK does not take them
    from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    kinds = [kind for kind in ALL_PARTITIONER_CONFIGS if kind.target_name not in left_out]
    edge = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner(configs=kinds)])
    program = bytes(edge.to_executorch().buffer)
    graph = edge.exported_program().graph_module
    delegated = [part.original_module.graph for _, part in graph.named_children() if hasattr(part, "original_module")]
    inside = [node for part in delegated for node in part.nodes if _is_layer(node)]
    outside = [node for node in graph.graph.nodes if _is_layer(node)]
    return program, sum(_is_int8(node) for node in inside), len(inside) + len(outside)


def _is_layer(node: Any) -> bool:
    name = str(node.target)
    return node.op == "call_function" and any(kind in name for kind in ("convolution", "linear", "addmm", "aten.mm"))


def _is_int8(node: Any) -> bool:
    """Whether both what a layer reads and its weights are int8."""
    made = [str(item.target) for item in node.all_input_nodes if item.op == "call_function"]
    return sum("dequantize" in name for name in made) >= 2


def _load(file: Path) -> Any:
    from executorch.runtime import Runtime

    return Runtime.get().load_program(file).load_method("forward")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
