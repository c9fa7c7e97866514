"""A transposed convolution, which no int8 kernel takes, is trained beside layers that become int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from torch import nn

from edgepipe.contract.artifact import ONNX_FILE, Kind, seal
from edgepipe.passes.quantize_aware import QuantizeAware
from edgepipe.torch.lower import export
from tests.passes.workbench import Workbench


def test_int8_training_goes_through_a_transposed_convolution(tmp_path: Path) -> None:
    bench = Workbench(tmp_path, small=True)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 16, 3, stride=2, padding=1, output_padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )
    (tmp_path / "float").mkdir()
    export(network, tmp_path / "float" / ONNX_FILE, (3, 16, 16), opset=20, batch="dynamic")
    model = seal(tmp_path / "float", Kind.ONNX, bench.data.signature)
    trained, job = bench.do(QuantizeAware(epochs=1, epoch_share=0.1, lr=1e-2), model)
    nodes = job.facts["int8_nodes"]
    assert isinstance(nodes, int)
    assert nodes >= 1  # which of the other layers are worth it is the placement's to say
    parity = job.facts["parity"]
    assert isinstance(parity, dict)
    assert parity["agreement"] >= 0.995  # the file in ONNX Runtime answers as what was trained

    def weights(path: Path) -> np.ndarray:
        graph = onnx.load(path).graph
        node = next(node for node in graph.node if node.op_type == "ConvTranspose")
        return next(numpy_helper.to_array(item) for item in graph.initializer if item.name == node.input[1])

    assert np.abs(weights(trained.onnx) - weights(model.onnx)).max() > 1e-4  # it learned too
