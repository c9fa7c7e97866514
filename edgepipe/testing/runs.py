"""Whether an artifact runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Artifact, Kind, Signature
from edgepipe.testing.broken import call, must

_FREE = 4
"""Length of an axis that has a name."""


def runs(where: str, artifact: Artifact) -> None:
    """An artifact must answer two examples with finite numbers.

    Args:
        where: what made it.
    """
    given = inputs_of(artifact.signature, 2)
    if artifact.kind is Kind.ONNX:
        from edgepipe.onnx.session import Session

        session = call(where, Session, artifact.onnx)
        found = list(call(where, session.ask, given).values())
    else:
        import torch

        from edgepipe.torch.artifact import build

        network = call(where, build, artifact).eval()
        with torch.no_grad():
            found = [call(where, network, *map(torch.from_numpy, given.values())).numpy()]
    must(found, where, "the model gives nothing")
    for values in found:
        if isinstance(values, np.ndarray) and values.dtype.kind == "f":
            must(np.isfinite(values).all(), where, "the model answers NaN or infinity to small numbers")


def inputs_of(signature: Signature, count: int) -> dict[str, NDArray[Any]]:
    """Small numbers for every input, (count, ...), of its type."""
    rng = np.random.default_rng(0)
    found = {}
    for tensor in signature.inputs:
        shape = (count, *(axis if isinstance(axis, int) else _FREE for axis in tensor.shape))
        values = rng.random(shape) if tensor.dtype.startswith("float") else rng.integers(0, 2, shape)
        found[tensor.name] = values.astype(tensor.dtype)
    return found
