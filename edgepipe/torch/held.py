"""Whether an artifact holds all of a network: what was written is built again, and must answer alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgepipe.contract.artifact import Artifact
from edgepipe.errors import ModelError
from edgepipe.torch.interface import difference, drawn, seeded

_ALIKE = 1e-4
"""Largest difference, as a share of the largest answer, that layouts in memory may make."""
_OWN = set(vars(nn.Module()))


def check_held(network: nn.Module, again: nn.Module, artifact: Artifact, *, new: bool) -> None:
    """Compare a network with what its artifact is built to.

    Args:
        network: on the CPU.
        new: nothing was computed with it yet: its state must be alike even where two examples do not show it.
    Raises:
        ModelError: they differ; names what the artifact does not hold.
    """
    shared = {id(value) for value in network.parameters()} & {id(value) for value in again.parameters()}
    if shared:
        name = next(name for name, value in network.named_parameters() if id(value) in shared)
        raise ModelError(
            f"the network's factory returns what it made before: '{name}' is the same object in both of two networks, "
            "so that changing one changes the other. Build the whole network inside the function"
        )
    modes = [module for module in network.modules() if module.training]
    network.eval()
    try:
        off = _difference(network, again, artifact)
    finally:
        for module in modes:
            module.training = True
    ours, theirs = dict(_state(network)), dict(_state(again))
    differing = [name for name in ours.keys() | theirs.keys() if not _same(ours.get(name), theirs.get(name))]
    drawn_anew = [name for name in differing if _is_array(ours.get(name))]
    if off <= _ALIKE and not (new and drawn_anew):
        return
    named = ", ".join(f"'{name}'" for name in sorted(drawn_anew or differing)[:6])
    what = (
        f"built again from what is written, it has other values in {named}"
        if named
        else "nothing that is an attribute differs: its forward keeps a width, a tensor or a generator elsewhere"
    )
    raise ModelError(
        f"the network has state that is no parameter and no buffer of its state dict, so that no artifact holds it; "
        f"{what}"
        + (f", and answers differently by {off:.2g} of its largest answer" if off > _ALIKE else "")
        + ". Keep it with self.register_buffer(NAME, tensor), or draw it from the global generators (torch, numpy, "
        "random), which are begun at the recipe's seed"
    )


def _difference(network: nn.Module, again: nn.Module, artifact: Artifact) -> float:
    """By which share their answers to the same examples differ; 0 where neither answers such examples."""
    for count in (2, 1):
        example = drawn(network, count, artifact.signature.input_shape)
        answers: list[Any] = []
        for one in (network, again):
            try:
                with seeded(0), torch.no_grad():
                    answers.append(one(example))
            except Exception as error:
                answers.append(error)
        if all(isinstance(answer, Tensor) for answer in answers):
            return difference(answers[0], answers[1])
        if any(isinstance(answer, Tensor) for answer in answers):
            return float("inf")
    return 0.0


def _state(network: nn.Module) -> Iterator[tuple[str, Any]]:
    """Everything by name that no state dict holds: buffers left out of it, tensors and numbers that are attributes."""
    for name, module in network.named_modules():
        place = f"{name}." if name else ""
        for key in module._non_persistent_buffers_set:
            yield place + key, module._buffers[key]
        for key, value in vars(module).items():
            if key not in _OWN:
                yield from _leaves(place + key, value)


def _leaves(name: str, value: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (Tensor, np.ndarray, bool, int, float)):
        yield name, value
    elif isinstance(value, (list, tuple)) and value and all(type(item) in (int, float) for item in value):
        yield name, np.asarray(value, np.float64)
    elif isinstance(value, (list, tuple)) and depth < 3:
        for number, item in enumerate(value):
            yield from _leaves(f"{name}[{number}]", item, depth + 1)
    elif isinstance(value, dict) and depth < 3:
        for key, item in value.items():
            yield from _leaves(f"{name}[{key!r}]", item, depth + 1)


def _is_array(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray))


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    a, b = (value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value) for value in (one, other))
    if a.shape != b.shape:
        return False
    if a.dtype.kind in "fc":
        return bool(np.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True))
    return bool(np.array_equal(a, b))
