"""Weights and biases fitted to what the layers compute, from the moments of their inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Progress
from edgepipe.quant.arithmetic.exact_sums import Parameters
from edgepipe.quant.arithmetic.rounding import learned_rounding, output_error
from edgepipe.quant.calibrate.moments import Moments
from edgepipe.quant.place.placement import Placement, weight_axis
from edgepipe.quant.write.qdq import QdqWriter, Weight, WeightKey


def fit(
    writer: QdqWriter,
    placement: Placement,
    parameters: Mapping[str, Parameters],
    moments: Mapping[str, Moments],
    *,
    learned: bool,
    correct: bool,
    progress: Progress,
) -> tuple[dict[WeightKey, Weight], dict[str, NDArray[np.float32]], dict[str, float]]:
    """Weights, biases by node, and per layer the share of the rounding error that learned rounding leaves.

    Bias correction: quantizing weights and inputs moves the mean of each output channel by
    `W E[x] - Wq E[xq]`, which the bias takes back. Source: Nagel et al., Data-Free Quantization, ICCV 2019,
    arXiv:1906.04721, section 4.2, with the measured mean in place of the one of batch norm.

    A weight that two layers share keeps its nearest integers, as one with columns too long for a second moment.
    """
    weights = writer.weights(placement, parameters)
    biases: dict[str, NDArray[np.float32]] = {}
    shares: dict[str, float] = {}
    nodes = writer.layers(placement)
    readers: dict[str, int] = {}
    for node in nodes:
        readers[node.input[1]] = readers.get(node.input[1], 0) + 1
    for number, node in enumerate(nodes):
        seen = moments.get(node.name)
        if seen is None or seen.count == 0:
            continue
        progress(number / len(nodes), f"fitting {node.name}")
        key = (node.input[1], weight_axis(node))
        integers, scales = weights[key]
        groups, length = seen.mean.shape
        shape: tuple[Any, ...] = (groups, -1, length)
        rows = writer.rows(key).reshape(shape)
        # MatMul has no bias to correct; elsewhere the bias takes the mean error, so that rounding need not.
        has_bias = node.op_type in ("Conv", "Gemm")
        if learned and readers[node.input[1]] == 1:
            second = seen.covariance(centered=correct and has_bias)
            steps, nearest = scales.reshape(groups, -1), integers.reshape(shape)
            better = learned_rounding(rows, steps, nearest, second, pair_safe=writer.pair_safe)
            before = float(output_error(rows, nearest, steps, second).sum())
            after = float(output_error(rows, better, steps, second).sum())
            shares[node.name] = after / before if before > 0 else 1.0
            integers = better.reshape(integers.shape)
            weights[key] = (integers, scales)
        if correct and has_bias:
            stored = integers.reshape(shape) * scales.reshape(groups, -1, 1)
            wanted = np.einsum("grk,gk->gr", rows, seen.mean)
            got = np.einsum("grk,gk->gr", stored, seen.quantized_mean)
            biases[node.name] = (writer.bias(node) + (wanted - got).reshape(-1)).astype(np.float32)
    return weights, biases, shares
