"""Learning from a teacher's answers and, between torch networks, from where it looks.

Sources: Hinton et al., Distilling the Knowledge in a Neural Network, 2015, arXiv:1503.02531;
Zagoruyko and Komodakis, Paying More Attention to Attention, ICLR 2017, arXiv:1612.03928.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edgepipe.contract import Signature
from edgepipe.errors import PassError
from edgepipe.training.objective import Objective, answer, fits

Answers = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Maps = dict[tuple[int, int], Tensor]


class RuntimeTeacher(nn.Module):
    """A teacher that another runtime computes; answers are constants, without a gradient."""

    def __init__(self, answers: Answers) -> None:
        super().__init__()
        self.answers = answers

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, …) of any device to float32 logits, (n, classes), on the same."""
        rows = np.ascontiguousarray(inputs.detach().float().cpu().numpy())
        return torch.from_numpy(self.answers(rows)).to(inputs.device)


class Distillation(Objective):
    """`(1 - weight) * labels + weight * teacher`, plus `attention` times the distance of attention maps.

    Args:
        teacher: answers in eval mode; never trained.
        weight: share of the teacher's answers in the loss, in [0, 1].
        temperature: divides both logits; above 1 it shows what the teacher thinks of the wrong classes.
        attention: weight of the attention maps; 0: none.
    """

    def __init__(
        self,
        teacher: nn.Module,
        signature: Signature,
        *,
        weight: float,
        temperature: float,
        label_smoothing: float,
        attention: float = 0.0,
        label: str,
    ) -> None:
        super().__init__(label_smoothing)
        self.teacher = teacher.eval().requires_grad_(False)
        self.weight, self.temperature, self.attention = weight, temperature, attention
        self.signature, self.label = signature, label
        self._autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
        self._device: Callable[[Tensor], Tensor] = lambda x: x
        self._watched: tuple[_Watch, _Watch] | None = None

    def prepare(self, network: nn.Module, fabric: Any) -> None:
        self._autocast = fabric.autocast
        fabric.to_device(self.teacher)
        if len(self.signature.input_shape) == 3:
            self.teacher.to(memory_format=torch.channels_last)
        example = fabric.to_device(torch.zeros((2, *self.signature.input_shape)))
        classes = []
        for one in (network, self.teacher):
            mode = one.training
            one.eval()
            with torch.no_grad():
                classes.append(one(example).shape[-1])
            one.train(mode)
        if classes[0] != classes[1]:
            raise PassError(
                f"passes.{self.label}: the network has {classes[0]} classes and its teacher {classes[1]}: "
                "let them agree: of model=torchvision by model.num_classes, of model=python by model.kwargs, else "
                "where the model was made"
            )
        if self.attention > 0:
            self._watched = (_Watch(network, example), _Watch(self.teacher, example))
            if not set(self._watched[0].sizes) & set(self._watched[1].sizes):
                self.finish()
                raise PassError(
                    f"passes.{self.label}: the two networks have no feature map of equal height and width "
                    f"({self._watched[0].sizes} and {self._watched[1].sizes}): set attention=0"
                )

    def finish(self) -> None:
        for watch in self._watched or ():
            watch.remove()

    def __call__(self, model: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad(), self._autocast():
            wanted = self.teacher(inputs).float()
        logits = answer(model(inputs))
        fits(labels, logits)
        cold = self.temperature
        # The gradient of soft targets shrinks with the square of the temperature.
        teacher = functional.kl_div(
            functional.log_softmax(logits / cold, 1),
            functional.log_softmax(wanted / cold, 1),
            reduction="batchmean",
            log_target=True,
        ).mul(cold**2)
        loss = (1 - self.weight) * self.supervised(logits, labels) + self.weight * teacher
        if self._watched is not None:
            mine, theirs = (watch.take() for watch in self._watched)
            common = mine.keys() & theirs.keys()
            distances = [(_attention(mine[size]) - _attention(theirs[size])).square().sum(1).mean() for size in common]
            loss = loss + self.attention * torch.stack(distances).mean()
        return loss, logits


def _attention(features: Tensor) -> Tensor:
    """Where a feature map is strong: mean square over channels, (n, height * width), of length 1."""
    return functional.normalize(features.float().square().mean(1).flatten(1), dim=1)


class _Watch:
    """Keeps the last feature map of each size that a network computes, wider than one pixel."""

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        self.maps: Maps = {}
        last: dict[tuple[int, int], nn.Module] = {}

        def note(module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1:
                last[output.shape[2], output.shape[3]] = module

        hooks = [module.register_forward_hook(note) for module in network.modules() if module is not network]
        mode = network.training
        network.eval()
        with torch.no_grad():
            network(example)
        network.train(mode)
        for hook in hooks:
            hook.remove()
        self.sizes = sorted(last, reverse=True)
        self._hooks = [module.register_forward_hook(self._keep(size)) for size, module in last.items()]

    def _keep(self, size: tuple[int, int]) -> Callable[[nn.Module, Any, Tensor], None]:
        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            if tuple(output.shape[2:]) == size:
                self.maps[size] = output

        return keep

    def take(self) -> Maps:
        """The maps of the last batch; forgets them."""
        maps, self.maps = self.maps, {}
        return maps

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()
