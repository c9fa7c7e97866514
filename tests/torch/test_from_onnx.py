"""An ONNX graph run by torch answers as in ONNX Runtime, and its weights can be written back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.vision_transformer import VisionTransformer

from edgepipe.errors import PassError
from edgepipe.quant.rewrite.prepare import prepare
from edgepipe.torch.from_onnx import OnnxNetwork
from edgepipe.torch.lower import export
from edgepipe.torch.torchvision_networks import build_network


def in_runtime(model: onnx.ModelProto, inputs: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: inputs})[0])


def one_node(
    operator: str, shapes: list[tuple[int, ...]], *, ints: dict[int, list[int]] | None = None, **attributes: object
) -> onnx.ModelProto:
    """A graph of one node; the first input is the graph's, the others are constants."""
    rng = np.random.default_rng(3)
    names, constants = ["x"], []
    for place, shape in enumerate(shapes[1:], start=1):
        value = rng.uniform(0.1, 1.0, shape).astype(np.float32)
        constants.append(numpy_helper.from_array(value, f"c{place}"))
        names.append(f"c{place}")
    for place, values in (ints or {}).items():
        constants.append(numpy_helper.from_array(np.asarray(values, np.int64), f"c{place}"))
        names += [""] * (place + 1 - len(names))
        names[place] = f"c{place}"
    graph = helper.make_graph(
        [helper.make_node(operator, names, ["y"], "node", **attributes)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shapes[0])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


ONE = [
    one_node("Conv", [(2, 4, 9, 9), (6, 2, 3, 3), (6,)], group=2, pads=[0, 1, 2, 1], strides=[2, 1]),
    one_node("Conv", [(2, 4, 9, 9), (6, 4, 3, 3)], auto_pad="SAME_UPPER", strides=[2, 2]),
    one_node("Conv", [(2, 4, 9, 9), (6, 4, 3, 3)], auto_pad="SAME_LOWER", strides=[2, 2]),
    one_node("Conv", [(2, 4, 20), (6, 4, 3)], dilations=[2]),
    one_node("ConvTranspose", [(2, 4, 5, 5), (4, 3, 3, 3), (6,)], group=2, strides=[2, 3], pads=[0, 1, 2, 1]),
    one_node("ConvTranspose", [(2, 4, 5, 6), (4, 6, 3, 3)], strides=[2, 2], output_padding=[1, 0], pads=[1, 1, 1, 1]),
    one_node("ConvTranspose", [(2, 4, 5, 5), (4, 6, 4, 4)], strides=[2, 2], auto_pad="SAME_UPPER"),
    one_node("ConvTranspose", [(2, 4, 5, 5), (4, 6, 3, 3)], strides=[2, 2], auto_pad="SAME_LOWER"),
    one_node("ConvTranspose", [(2, 4, 5, 5), (4, 6, 3, 3)], strides=[2, 2], output_shape=[10, 12]),
    one_node("ConvTranspose", [(2, 4, 9), (4, 6, 3)], dilations=[2]),
    one_node("MaxPool", [(2, 4, 9, 9)], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 0, 1]),
    one_node("MaxPool", [(2, 4, 9, 9)], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    one_node("AveragePool", [(2, 4, 9, 9)], kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    one_node("AveragePool", [(2, 4, 9, 9)], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    one_node("Gemm", [(3, 5), (5, 4), (4,)]),
    one_node("Gemm", [(5, 3), (4, 5), (4,)], transA=1, transB=1, alpha=0.5, beta=2.0),
    one_node("Reshape", [(2, 6, 4)], ints={1: [0, 3, -1]}),
    one_node("Flatten", [(2, 6, 4)], axis=2),
    one_node("Squeeze", [(2, 1, 4, 1)], ints={1: [1, -1]}),
    one_node("Unsqueeze", [(2, 4)], ints={1: [0, -1]}),
    one_node("Slice", [(4, 6)], ints={1: [1, -1], 2: [2**63 - 1, -5], 3: [0, 1], 4: [2, -1]}),
    one_node("Gather", [(4, 6)], ints={1: [3, -1, 0]}, axis=1),
    one_node("Pad", [(2, 3, 4, 4)], ints={1: [0, 0, 1, 2, 0, 0, 0, 1]}),
    one_node("Pad", [(2, 3, 4, 4)], ints={1: [0, 0, 1, 2, 0, 0, 0, 1]}, mode="reflect"),
    one_node("ReduceMean", [(2, 3, 4, 4)], ints={1: [-1, -2]}, keepdims=0),
    one_node("ReduceSum", [(2, 3, 4)]),
    one_node("LayerNormalization", [(2, 3, 8), (8,), (8,)], epsilon=1e-4),
    one_node("BatchNormalization", [(2, 3, 4, 4), (3,), (3,), (3,), (3,)]),
    one_node("DepthToSpace", [(2, 8, 3, 3)], blocksize=2),
    one_node("DepthToSpace", [(2, 8, 3, 3)], blocksize=2, mode="CRD"),
    one_node("HardSigmoid", [(2, 8)], alpha=0.3, beta=0.4),
    one_node("HardSwish", [(2, 8)]),
    one_node("Gelu", [(2, 8)], approximate="tanh"),
    one_node("Softmax", [(2, 8)]),
    one_node("Clip", [(2, 8), (), ()]),
    one_node("Transpose", [(2, 3, 4)]),
    one_node("Expand", [(1, 3)], ints={1: [2, 4, 1]}),
    one_node("Pow", [(2, 3), ()]),
]


@pytest.mark.parametrize("model", ONE, ids=[f"{i}-{m.graph.node[0].op_type}" for i, m in enumerate(ONE)])
def test_an_operator_computes_what_onnx_runtime_computes(model: onnx.ModelProto) -> None:
    shape = tuple(dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim)
    inputs = np.random.default_rng(1).uniform(0.2 if model.graph.node[0].op_type == "Pow" else -1, 1, shape)
    inputs = inputs.astype(np.float32)
    wanted = in_runtime(model, inputs)
    with torch.no_grad():
        got = OnnxNetwork(model, "it")(torch.from_numpy(inputs)).numpy()
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= 1e-5


def whole(name: str) -> torch.nn.Module:
    """A torchvision network; of the ConvNeXt and the transformer a few narrow blocks, which hold every operator."""
    if name == "vit":
        return VisionTransformer(32, 8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=10)
    if name == "convnext":
        return ConvNeXt([CNBlockConfig(8, 16, 2), CNBlockConfig(16, None, 2)], num_classes=10)
    return build_network(name, 10)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "vit", "convnext"])
def test_a_whole_network_answers_as_in_onnx_runtime(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    export(whole(name).eval(), tmp_path / "m.onnx", (3, 32, 32), opset=20, batch="dynamic")
    model = prepare(tmp_path / "m.onnx", "it")
    inputs = np.random.default_rng(0).standard_normal((3, 3, 32, 32)).astype(np.float32)
    network = OnnxNetwork(model, "it").eval()
    with torch.no_grad():
        got = network(torch.from_numpy(inputs)).numpy()
    wanted = in_runtime(model, inputs)
    assert np.abs(got - wanted).max() <= 1e-4 * max(1.0, np.abs(wanted).max())


def test_trained_weights_are_written_back() -> None:
    model = ONE[0]
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    network = OnnxNetwork(changed, "it")
    assert set(network.weights()) == {"c1", "c2"}
    loss = network(torch.ones(2, 4, 9, 9)).square().mean()
    loss.backward()
    with torch.no_grad():
        for weight in network.weights().values():
            assert weight.grad is not None
            weight -= weight.grad
    network.store(changed)
    inputs = np.ones((2, 4, 9, 9), np.float32)
    with torch.no_grad():
        got = network(torch.from_numpy(inputs)).numpy()
    assert np.abs(in_runtime(changed, inputs) - got).max() <= 1e-5
    assert np.abs(in_runtime(model, inputs) - got).max() > 1e-2


def test_an_operator_without_counterpart_is_named() -> None:
    with pytest.raises(PassError, match=r"passes\.it: the operator LRN cannot be trained through\. Use quant"):
        OnnxNetwork(one_node("LRN", [(2, 4, 9, 9)], size=3), "it")
    uneven = one_node("AveragePool", [(2, 4, 9, 9)], kernel_shape=[3, 3], pads=[1, 1, 0, 0])
    with pytest.raises(PassError, match=r"the node 'node' \(AveragePool\).*uneven padding"):
        OnnxNetwork(uneven, "it")(torch.ones(2, 4, 9, 9))
