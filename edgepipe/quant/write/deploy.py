"""A trained simulation as the int8 graph that it simulates."""

from __future__ import annotations

import numpy as np
import onnx

from edgepipe.quant.arithmetic.given import put
from edgepipe.quant.place.placement import Placement, Wiring
from edgepipe.quant.train.simulate import SimulatedNetwork
from edgepipe.quant.write.qdq import QdqWriter


def deploy(model: onnx.ModelProto, placement: Placement, network: SimulatedNetwork) -> None:
    """Rewrite the prepared graph in place, with exactly the parameters that were trained.

    Args:
        model: prepared, and holding the trained float weights already.
    """
    activations, weights = network.given_activations(), network.given_weights()
    wiring = Wiring(model)
    biases = {}
    for node in model.graph.node:
        if node.name in weights and len(node.input) > 2 and node.input[2]:
            value = wiring.array(node.input[2])
            assert value is not None
            biases[node.name] = np.array(np.broadcast_to(value.reshape(-1), weights[node.name][1].shape))
    ranges = {name: (-zero * scale, (255 - zero) * scale) for name, (scale, zero) in activations.items()}
    QdqWriter(model, per_channel=True, pair_safe=False, search=False).write(placement, ranges)
    put(model, activations, weights, biases)
