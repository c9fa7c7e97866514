"""Weights and biases fitted to what the layers compute, from the moments of their inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Progress
from edgepipe.quant.arithmetic.exact_sums import Parameters
from edgepipe.quant.arithmetic.rounding import learned_rounding, output_error
from edgepipe.quant.calibrate.means import Means
from edgepipe.quant.calibrate.moments import Moments
from edgepipe.quant.place.placement import Placement, weight_axis
from edgepipe.quant.write.qdq import QdqWriter, Weight, WeightKey


def fit(
    writer: QdqWriter,
    placement: Placement,
    parameters: Mapping[str, Parameters],
    moments: Mapping[str, Moments],
    means: Mapping[str, Means],
    *,
    progress: Progress,
) -> tuple[dict[WeightKey, Weight], dict[str, NDArray[np.float32]], dict[str, float]]:
    """Weights, biases by node, and per layer the share of the rounding error that learned rounding leaves.

    Bias correction: quantizing weights and inputs moves the mean of each output channel by
    `W E[x] - Wq E[xq]`, which the bias takes back. Source: Nagel et al., Data-Free Quantization, ICCV 2019,
    arXiv:1906.04721, section 4.2, with the measured mean in place of the one of batch norm.

    It is that of the float model's x, as it is and quantized: what layers before this one add is taken back there.

    A weight that two layers share keeps its nearest integers, as one with columns too long for a second moment.

    Args:
        moments: by layer that is rounded so; of none without learned rounding.
        means: by layer whose bias is corrected; of none without bias correction.
    """
    weights = writer.weights(placement, parameters)
    biases: dict[str, NDArray[np.float32]] = {}
    shares: dict[str, float] = {}
    nodes = writer.layers(placement)
    readers: dict[str, int] = {}
    for node in nodes:
        readers[node.input[1]] = readers.get(node.input[1], 0) + 1
    for number, node in enumerate(nodes):
        progress(number / len(nodes), f"fitting {node.name}")
        key = (node.input[1], weight_axis(node))
        bias = writer.bias(node) if node.name in means else None
        seen = moments.get(node.name)
        if seen is not None and seen.count > 0 and readers[node.input[1]] == 1:
            integers, scales = weights[key]
            groups, length = seen.groups, seen.length
            shape: tuple[Any, ...] = (groups, -1, length)
            rows = writer.rows(key).reshape(shape)
            # The bias takes the mean error where there is one, so that rounding need not.
            second = seen.covariance(centered=bias is not None)
            steps, nearest = scales.reshape(groups, -1), integers.reshape(shape)
            better = learned_rounding(rows, steps, nearest, second, pair_safe=writer.pair_safe)
            before = float(output_error(rows, nearest, steps, second).sum())
            after = float(output_error(rows, better, steps, second).sum())
            shares[node.name] = after / before if before > 0 else 1.0
            weights[key] = (better.reshape(integers.shape), scales)
        if bias is not None:
            stored = weights[key][0] * weights[key][1][:, None]
            biases[node.name] = (bias - means[node.name].error(writer.rows(key), stored)).astype(np.float32)
    return weights, biases, shares
