"""What single convolutions take in ONNX Runtime, in the precision that will be deployed, at several widths."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgepipe.base.scratch import scratch
from edgepipe.onnx.session import Session
from edgepipe.onnx.session_options import measuring


@dataclass(frozen=True)
class Layer:
    """One convolution; a linear layer is one of 1x1 on one pixel. Sizes in elements of (height, width)."""

    channels_in: int
    channels_out: int
    groups: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    size: tuple[int, int]


def layer_milliseconds(layers: Sequence[Layer], *, int8: bool, threads: int, runs: int = 25) -> list[float]:
    """Milliseconds of each layer's kernel alone, batch 1, as ONNX Runtime's profiler tells them of the fastest runs.

    The profiler reads the wall clock, and on a busy machine most runs of a long layer are interrupted: its median was
    seen to be twenty times what it takes. It counts whole microseconds, so that the mean of some runs tells apart what
    the least does not. All layers lie side by side in one graph, so that none waits for a session
    of its own; changes of layout around a kernel are not counted, since inside a network they cancel.
    """
    model = _graph(layers, int8)
    rng = np.random.default_rng(0)
    kind = np.uint8 if int8 else np.float32
    fed = {
        f"x{i}": rng.integers(0, 255, (1, layer.channels_in, *layer.size)).astype(kind)
        for i, layer in enumerate(layers)
    }
    with scratch("layers") as folder:
        chosen = measuring(threads)
        chosen.enable_profiling = True
        chosen.profile_file_prefix = str(folder / "profile")
        session = Session(model.SerializeToString(), chosen, name="layers")
        for _ in range(runs):
            session.run(fed)
        events = json.loads(session.end_profiling().read_text(encoding="utf-8"))
    times: dict[int, list[float]] = {}
    for event in events:
        # Where the layout changes, a kernel is named after its output.
        found = re.match(r"layer(\d+)_.*kernel_time$", event.get("name", ""))
        if found and "Conv" in event["args"]["op_name"]:
            times.setdefault(int(found[1]), []).append(event["dur"] / 1000)  # the profiler counts microseconds
    fastest = (sorted(times[number][2:]) for number in range(len(layers)))
    return [float(np.mean(found[: max(1, len(found) // 3)])) for found in fastest]


def _graph(layers: Sequence[Layer], int8: bool) -> onnx.ModelProto:
    rng = np.random.default_rng(1)
    nodes, constants, inputs, outputs = [], [], [], []
    kind = TensorProto.UINT8 if int8 else TensorProto.FLOAT
    scalars = {"s": np.float32(0.02), "z": np.uint8(128), "wz": np.int8(0)}
    constants += [numpy_helper.from_array(np.asarray(value), name) for name, value in scalars.items()]
    for i, layer in enumerate(layers):
        shape = (layer.channels_out, layer.channels_in // layer.groups, *layer.kernel)
        weight = rng.integers(-64, 65, shape)
        constants.append(numpy_helper.from_array(weight.astype(np.int8 if int8 else np.float32), f"w{i}"))
        bias = np.zeros(layer.channels_out, np.int32 if int8 else np.float32)
        constants.append(numpy_helper.from_array(bias, f"b{i}"))
        reads = [f"x{i}", "s", "z", f"w{i}", "s", "wz", "s", "z", f"b{i}"] if int8 else [f"x{i}", f"w{i}", f"b{i}"]
        nodes.append(
            helper.make_node(
                "QLinearConv" if int8 else "Conv",
                reads,
                [f"layer{i}_y"],
                f"layer{i}_",
                group=layer.groups,
                kernel_shape=layer.kernel,
                strides=layer.stride,
                pads=[*layer.padding, *layer.padding],
            )
        )
        inputs.append(helper.make_tensor_value_info(f"x{i}", kind, [1, layer.channels_in, *layer.size]))
        outputs.append(helper.make_tensor_value_info(f"layer{i}_y", kind, None))
    graph = helper.make_graph(nodes, "layers", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
