"""Training in which nothing is dropped at random.

Dropout and stochastic depth keep a large network from learning its examples by heart. A small one that learns from a
teacher for a few epochs is far from that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

_PLACES = ("dropout", "attention_dropout", "drop_rate", "drop_prob", "dropout_p")
_OWN = ("StochasticDepth", "DropPath", "DropBlock2d", "DropBlock3d")
"""Modules of torchvision and timm; their probability is `p` or one of the names above."""


@contextmanager
def nothing_dropped(network: nn.Module) -> Iterator[None]:
    """While it is entered, every probability of dropping a value, a channel or a branch is zero; then as before.

    Finds torch's dropout modules, torchvision's and timm's stochastic depth, and the probabilities that attention,
    recurrent and densely connected layers keep as a number. One that a network keeps under a name of its own stays.
    """
    before: list[tuple[nn.Module, str, float]] = []
    for module in network.modules():
        drops = isinstance(module, nn.modules.dropout._DropoutNd) or type(module).__name__ in _OWN
        for name in (*_PLACES, *(("p",) if drops else ())):
            value = vars(module).get(name)
            if isinstance(value, float) and value > 0:
                before.append((module, name, value))
                setattr(module, name, 0.0)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
