"""How a network of anyone's is asked, and which tensor of what it returns is its answer: found out once, when it comes.

Both are written into the base of its architecture (`integers`, `output`), so that each later pass has the same network.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgepipe.errors import ModelError
from edgepipe.onnx.alike import alike

_ANSWERS = ("logits", "out")
"""Names that Transformers and torchvision's segmentation networks give to the answer among other tensors."""
_ALIKE = 1e-3
"""Largest difference, as a share of the largest answer, between two askings of a network that draws nothing."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """With Python's, NumPy's and PyTorch's global generators begun at a seed, and put back afterwards."""
    kept = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])


class WholeNumbers:
    """Hands a network that takes integers what the data gives, float32, as int64."""

    def __call__(self, _module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not inputs or not isinstance(inputs[0], Tensor) or not inputs[0].is_floating_point():
            return None
        whole = inputs[0].to(torch.int64)
        if not torch.equal(whole.to(inputs[0].dtype), inputs[0]):
            part = inputs[0][whole.to(inputs[0].dtype) != inputs[0]]
            raise ModelError(
                f"the network takes integers (token numbers), and the data gives {float(part.flatten()[0]):g}: save "
                "them as integers in an .npz, not scaled or normalized"
            )
        return (whole, *inputs[1:])


@dataclasses.dataclass
class OneTensor:
    """Takes one tensor out of what a network returns; a tensor alone stays."""

    key: str | int

    def __call__(self, _module: nn.Module, _inputs: Any, output: Any) -> Any:
        return output if isinstance(output, Tensor) else dict(_items(output))[self.key]


def dress(network: nn.Module, base: Mapping[str, Any]) -> nn.Module:
    """The network, made to take and return what the architecture's base says."""
    if base.get("integers"):
        network.register_forward_pre_hook(WholeNumbers())
    if base.get("output") is not None:
        network.register_forward_hook(OneTensor(base["output"]))
    return network


def takes_integers(network: nn.Module) -> bool:
    """Whether `dress` made it take integers."""
    return any(isinstance(hook, WholeNumbers) for hook in network._forward_pre_hooks.values())


def zeros(network: nn.Module, count: int, input_shape: Sequence[int]) -> Tensor:
    """(count, *input_shape) of the type that the network computes with."""
    return torch.zeros((count, *input_shape), dtype=torch.int64 if takes_integers(network) else torch.float32)


def drawn(network: nn.Module, count: int, input_shape: Sequence[int], *, integers: bool | None = None) -> Tensor:
    """Float32 examples, the same each time: normal, or whole numbers that each of its tables has."""
    generator = torch.Generator().manual_seed(0)
    if not (takes_integers(network) if integers is None else integers):
        return torch.randn((count, *input_shape), generator=generator)
    sizes = [m.num_embeddings for m in network.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))]
    return torch.randint(0, max(1, min(sizes, default=2)), (count, *input_shape), generator=generator).float()


def examine(network: nn.Module, input_shape: Sequence[int]) -> tuple[dict[str, Any], list[str]]:
    """(`integers` and `output` of an architecture's base, where they are not the usual; notes).

    Raises:
        ModelError: it takes no such examples, returns no tensor or several, or answers differently each time.
    """
    network.eval()
    found: dict[str, Any] = {}
    integers, example, output = _ask(network, input_shape)
    if integers:
        found["integers"] = True
    notes: list[str] = []
    if not isinstance(output, Tensor):
        found["output"], note = _answer(output)
        notes += note
    again = []
    for seed in (1, 2):
        with seeded(seed), torch.no_grad():
            said = network(example)
        again.append(said if isinstance(said, Tensor) else dict(_items(said))[found["output"]])
    share = difference(again[0], again[1])
    if share > _ALIKE:
        raise ModelError(
            f"the network answers differently each time it is asked, by {share:.2g} of its largest answer: it draws "
            "random numbers in evaluation mode too (torch.rand in forward, or dropout with training=True). Draw only "
            "`if self.training`"
        )
    return found, notes


def difference(one: Tensor, other: Tensor) -> float:
    """The largest difference as a share of the largest answer; infinite between shapes, 0 where both are not finite."""
    if one.shape != other.shape:
        return float("inf")
    a, b = (value.detach().double().cpu().numpy() for value in (one, other))
    both = np.isfinite(a) & np.isfinite(b)
    found = alike(*(np.where(both, value, 0.0).reshape(1, -1) for value in (a, b)))
    return found.largest_difference / max(found.largest, 1e-12)


def _ask(network: nn.Module, input_shape: Sequence[int]) -> tuple[bool, Tensor, Any]:
    """Whether it takes integers, an example and what it returned; two examples, or one where it takes one only."""
    errors: dict[bool, Exception] = {}
    for count in (2, 1):
        for integers in (False, True):
            example = drawn(network, count, input_shape, integers=integers)
            example = example.to(torch.int64) if integers else example
            try:
                with seeded(0), torch.no_grad():
                    return integers, example, network(example)
            except Exception as error:
                errors.setdefault(integers, error)
    floats = str(errors[False])
    wanted = errors["scalar type" in floats or "indices" in floats or "Long" in floats]
    said = (str(wanted).strip().splitlines() or [""])[0][:300]
    raise ModelError(
        f"the network does not take the data's examples, of shape {tuple(input_shape)}: {type(wanted).__name__}: "
        f"{said}. Give it data of the shape that it is made for (data.image_size and data.channels of pictures), or "
        "build it for this one"
    ) from wanted


def _items(output: Any) -> list[tuple[str | int, Any]]:
    """The parts of what a network returned, by key, field or place; none: something else than a container."""
    if isinstance(output, Mapping):
        return [(key, value) for key, value in output.items() if isinstance(key, (str, int))]
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return list(zip(output._fields, output, strict=True))
    if isinstance(output, (tuple, list)):
        return list(enumerate(output))
    if dataclasses.is_dataclass(output):
        return [(field.name, getattr(output, field.name)) for field in dataclasses.fields(output)]
    return []


def _answer(output: Any) -> tuple[str | int, list[str]]:
    items = _items(output)
    if not items:
        raise ModelError(f"the network returns {type(output).__name__}: let its forward return one tensor, the answers")
    tensors = {key: value for key, value in items if isinstance(value, Tensor)}
    kind = type(output).__name__
    if len(tensors) == 1:
        return next(iter(tensors)), []
    told = ", ".join(
        f"{key!r} {list(value.shape)}" if isinstance(value, Tensor) else f"{key!r} ({type(value).__name__})"
        for key, value in items[:12]
    )
    for name in _ANSWERS:
        if name in tensors:
            return name, [f"the network returns a {kind} ({told}): {name!r} is taken for its answer, the rest is left"]
    raise ModelError(
        f"the network returns a {kind} ({told or 'empty'}), and which of these is the answer is not known. Return the "
        "answer alone, from a module around it whose forward is `return self.network(x)[KEY]`, or name it 'logits'"
    )
