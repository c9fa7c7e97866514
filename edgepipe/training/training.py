"""The training loop: deterministic given seed and thread count, resumable after every epoch."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from edgepipe.contract import Job, Signature
from edgepipe.errors import ModelError, PassError
from edgepipe.training.depthwise import SmallDepthwise
from edgepipe.training.dropout import nothing_dropped
from edgepipe.training.examples import Examples, augment
from edgepipe.training.heap import kept_memory
from edgepipe.training.objective import Objective, TaskObjective
from edgepipe.training.training_state import Curve, TrainingState

if TYPE_CHECKING:
    from edgepipe.training.settings import TrainingSettings

_TIMED_STEPS = 48
_LEAST_TIMED = 2
_TIMED_SECONDS = 10.0
_TIMED_SHARE = 0.02
_USUALLY_TIMED = 5
"""Steps are timed for this share of the budget, but at least so many unless they take seconds."""


def cpu_likes_bf16() -> bool:
    """Whether bf16 arithmetic is native here; emulated bf16 is slower than float32."""
    features = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(features.get("amx_bf16") or features.get("avx512_bf16") or features.get("bf16"))


def bf16_pays(network: nn.Module) -> bool:
    """Whether a step of this network is shorter in bf16 here.

    Depthwise convolutions are the exception on processors: their backward pass in bf16 is slower than in float32, so
    that an EfficientNet-B0's step took 1.9 times and a MobileNetV2's 1.6 times as long (torch 2.14, AVX512-BF16).
    """
    if torch.cuda.is_available():
        return True
    depthwise = getattr(network, "has_depthwise", False) or any(
        isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) and module.groups == module.in_channels > 1
        for module in network.modules()
    )
    return cpu_likes_bf16() and not depthwise


def takes_bf16(network: nn.Module, settings: TrainingSettings) -> bool:
    """Whether the network is trained in bf16 arithmetic here."""
    return settings.precision == "bf16" or (settings.precision == "auto" and bf16_pays(network))


def _optimizer(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.lr, fused=True)  # one loop over the weights, not ten
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.momentum > 0)


def _rate(settings: TrainingSettings, step: int, steps: int) -> float:
    """Share of `lr` at a step: one cycle warms up over the first 30%."""
    if settings.schedule == "constant":
        return 1.0
    warm = 0.3 * steps if settings.schedule == "one_cycle" else 0.0
    if step < warm:
        return float(0.04 + 0.96 * (1 - np.cos(np.pi * step / warm)) / 2)
    return float((1 + np.cos(np.pi * (step - warm) / max(1.0, steps - warm))) / 2) + 1e-4


class _Loop:
    """Everything one step needs."""

    def __init__(
        self, network: nn.Module, settings: TrainingSettings, job: Job, signature: Signature, objective: Objective
    ) -> None:
        self.network, self.settings, self.job, self.objective = network, settings, job, objective
        self.examples = Examples(
            job.data, signature, validation_share=settings.validation_share, seed=job.seed * 1_000_003, task=job.task
        )
        bf16 = takes_bf16(network, settings)
        job.facts["precision"] = "bf16" if bf16 else "float32"
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells the precision on the terminal
        self.fabric = Fabric(accelerator="auto", devices=1, precision="bf16-mixed" if bf16 else "32-true")
        torch.manual_seed(job.seed)
        if settings.channels_last and len(signature.input_shape) == 3:
            network.to(memory_format=torch.channels_last)
        self.model, self.optimizer = self.fabric.setup(network, _optimizer(network, settings))
        self.average = _copy(network) if settings.ema is not None else None
        objective.prepare(network, self.fabric)
        self.size = min(settings.batch_size, len(self.examples.rows))
        self.share = settings.epoch_share

    def begin(self) -> None:
        """Training mode; batch norm stays in evaluation where it is frozen."""
        self.model.train()
        if self.settings.freeze_batchnorm:
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    @property
    def steps_per_epoch(self) -> int:
        """The last, smaller batch is left out: it upsets batch norm."""
        return max(1, int(self.share * len(self.examples.rows)) // self.size)

    def step(
        self, inputs: torch.Tensor, labels: torch.Tensor, generator: torch.Generator, number: int
    ) -> tuple[float, int | None]:
        """Train on one batch; its loss, and how many answers were right, if that is told. `number`: from 0."""
        inputs, moves = augment(inputs, self.settings, generator)
        if moves is not None and self.job.task is not None:
            labels = self.job.task.moved(labels, moves)
        inputs = self.fabric.to_device(inputs)
        labels = self.fabric.to_device(labels)
        self.optimizer.zero_grad(set_to_none=True)
        with SmallDepthwise():
            loss, outputs = self.objective(self.model, inputs, labels)
        self.fabric.backward(loss)
        if self.settings.max_grad_norm is not None:
            # Pascanu et al., ICML 2013, arXiv:1211.5063. What is not finite shows in the loss, and after the last step.
            self.fabric.clip_gradients(
                self.model, self.optimizer, max_norm=self.settings.max_grad_norm, error_if_nonfinite=False
            )
        self.optimizer.step()
        if self.average is not None and self.settings.ema is not None:
            # Else a short training would be averaged with the weights it began with.
            _average(self.average, self.network, min(self.settings.ema, (1 + number) / (10 + number)))
        return float(loss.detach()), self.objective.right(outputs, labels)

    @torch.no_grad()
    def validate(self, network: nn.Module) -> tuple[float, float | None]:
        """Mean loss, and accuracy where there is one, on the held-out share of train, not augmented."""
        network.eval()
        total, right, seen = 0.0, 0, 0
        told = True
        for inputs, labels in self.examples.batches(self.examples.held_out, max(64, self.size)):
            labels = self.fabric.to_device(labels)
            with self.fabric.autocast():
                outputs = network(self.fabric.to_device(inputs))
            total += self.objective.judged(outputs, labels)
            good = self.objective.right(outputs, labels)
            told = good is not None
            right += good or 0
            seen += len(labels)
        return total / seen, right / seen if told else None

    def epochs_in(self, minutes: float, started: float) -> tuple[int, float]:
        """How many epochs fit, and of what share of the examples, by the time of the first steps.

        The minutes count from `started`, by `time.perf_counter`. Weights, optimizer and random state are put back. The
        share is what spends the whole budget: one epoch more than fits, each of them shorter.
        """
        kept = {key: value.clone() for key, value in self.network.state_dict().items()}
        kept_average = None if self.average is None else _copy(self.average)
        generator = torch.Generator().manual_seed(self.job.seed)
        order = self.examples.rows[: self.size * _TIMED_STEPS]
        self.begin()
        seconds: list[float] = []
        begun = time.perf_counter()
        most = _TIMED_SHARE * 60 * minutes
        for inputs, labels in self.examples.batches(order, self.size):
            self.step(inputs, labels, generator, len(seconds))
            seconds.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            # The first step allocates, starts decoding and on a GPU loads its kernels: for seconds, and is no measure.
            timed = sum(seconds[1:])
            if (len(seconds) > _USUALLY_TIMED and timed > most) or (
                len(seconds) > _LEAST_TIMED and timed > _TIMED_SECONDS
            ):
                break
        # Processes that decode, just begun, still compete with the earlier ones.
        step = float(np.median(seconds[1:][len(seconds) // 2 - 1 :] or seconds))
        whole = len(self.examples.rows) // self.size * step
        judging = 0.0
        if self.examples.held_out:
            # Judging goes forwards only, a third of a step; it is not timed since it is small beside the rest.
            judging = whole * len(self.examples.held_out) / (3 * len(self.examples.rows))
        self.network.load_state_dict(kept)
        self.average = kept_average
        self.optimizer.state.clear()
        left = 60 * minutes - (time.perf_counter() - started)
        epochs = max(1, math.ceil(left / (whole + judging)))
        return epochs, _rounded(min(1.0, max(0.0, left / epochs - judging) / whole))


def _rounded(share: float) -> float:
    """Down to what reads well in a recipe, and never zero."""
    return max(0.001, math.floor(1000 * share) / 1000)


def train(
    network: nn.Module,
    settings: TrainingSettings,
    job: Job,
    signature: Signature,
    objective: Objective | None = None,
    before_step: Callable[[int, int], None] = lambda _step, _steps: None,
) -> Curve:
    """Train in place; the curve is also put among the job's facts, as are the epochs done.

    Args:
        objective: what to minimize; None: the loss of the job's task, of classes cross-entropy with the labels.
        before_step: called with the number of the step, from 0, and the number of all steps.
    Returns:
        One entry per epoch: epoch, loss, accuracy on the augmented train split, seconds, and with a validation share
        `validation_loss` and `validation_accuracy`; no accuracy of a task whose examples have not one class each.
    Raises:
        PassError: the loss or a weight is not finite.
        DataError: the labels are missing, do not fit the network, or the validation share is empty.
    """
    with kept_memory(), nullcontext() if settings.dropout else nothing_dropped(network):
        return _train(network, settings, job, signature, objective or _usual(settings, job), before_step)


def _usual(settings: TrainingSettings, job: Job) -> Objective:
    if job.task is None or job.task.one_class:
        return Objective(settings.label_smoothing)
    return TaskObjective(job.task)


def _train(
    network: nn.Module,
    settings: TrainingSettings,
    job: Job,
    signature: Signature,
    objective: Objective,
    before_step: Callable[[int, int], None],
) -> Curve:
    started = time.perf_counter()
    _all_float32(network)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    loop = _Loop(network, settings, job, signature, objective)
    state = TrainingState(job.state, network, loop.optimizer, loop.average)
    if state.resume() and state.epoch:
        job.facts["resumed_from_epoch"] = state.epoch
    if state.epochs is None:
        state.epochs, state.share = settings.epochs, settings.epoch_share
        if settings.minutes is not None:
            state.epochs, state.share = loop.epochs_in(settings.minutes, started)
        state.average = loop.average
        state.save()  # a resumed run must not time itself again: it would end elsewhere
    loop.share = state.share
    for epoch in range(state.epoch, state.epochs):
        if settings.patience is not None and state.since_best >= settings.patience:
            break
        _epoch(loop, state, epoch, before_step)
    job.facts["curve"] = [dict(point) for point in state.curve]
    job.facts["epochs"] = state.epoch
    if state.share < 1:
        job.facts["epoch_share"] = state.share
    if settings.minutes is not None:
        epochs = f"{state.epochs} epoch{'s' if state.epochs > 1 else ''}"
        each = f" of {state.share:.1%} of train" if state.share < 1 else ""
        also = f", epoch_share: {state.share:g}" if state.share < 1 else ""
        job.facts["notes"] = [
            f"{settings.minutes:g} minutes made {epochs}{each} on this machine; to repeat it elsewhere, "
            f"set epochs: {state.epochs}{also} instead of minutes"
        ]
    if settings.patience is not None and state.best is not None:
        network.load_state_dict(state.best)
        job.facts["kept_epoch"] = state.epoch - state.since_best
    elif state.average is not None:
        network.load_state_dict(state.average.state_dict())
    # Of the weights alone: a mask that a network keeps may well hold infinity.
    if not all(bool(value.isfinite().all()) for value in network.parameters()):
        raise _diverged("a weight is infinite or no number after the last step", settings, job)
    objective.finish()
    network.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    network.eval()
    return state.curve


def _all_float32(network: nn.Module) -> None:
    other = [(name, value.dtype) for name, value in network.named_parameters() if value.dtype != torch.float32]
    if other:
        name, dtype = other[0]
        raise ModelError(
            f"training needs float32 parameters, and '{name}' is {str(dtype).removeprefix('torch.')}: let the factory "
            "return the network with .float(), and its forward cast nothing"
        )


def _diverged(what: str, settings: TrainingSettings, job: Job) -> PassError:
    return PassError(
        f"passes.{job.label}: {what}: training diverged. Lower passes.{job.label}.lr (now {settings.lr:g}), set "
        f"max_grad_norm{'=1' if settings.max_grad_norm is None else ' lower'}, or set precision=float32"
    )


def _epoch(loop: _Loop, state: TrainingState, epoch: int, before_step: Callable[[int, int], None]) -> None:
    settings, job, examples = loop.settings, loop.job, loop.examples
    assert state.epochs is not None
    started = time.perf_counter()
    # Order and augmentation follow from seed and epoch alone, so a resumed run sees the same pictures.
    generator = torch.Generator().manual_seed(job.seed * 1_000_003 + epoch)
    torch.manual_seed(job.seed * 1_000_003 + epoch)  # dropout
    shuffled = torch.randperm(len(examples.rows), generator=generator)[: loop.steps_per_epoch * loop.size]
    order = [examples.rows[row] for row in shuffled.tolist()]
    loop.begin()
    total, right, seen = 0.0, 0, 0
    told = True
    for step, (inputs, labels) in enumerate(examples.batches(order, loop.size)):
        done = epoch * loop.steps_per_epoch + step
        share = _rate(settings, done, state.epochs * loop.steps_per_epoch)
        for group in loop.optimizer.param_groups:
            group["lr"] = settings.lr * share
        before_step(done, state.epochs * loop.steps_per_epoch)
        loss, good = loop.step(inputs, labels, generator, done)
        if not np.isfinite(loss):
            raise _diverged(f"the loss is {loss} in epoch {epoch + 1}", settings, job)
        total += loss * len(labels)
        told = good is not None
        right += good or 0
        seen += len(labels)
        job.progress(
            (done + 1) / (state.epochs * loop.steps_per_epoch),
            f"epoch {epoch + 1}/{state.epochs} loss {total / seen:.3f}"
            + (f" accuracy {right / seen:.3f}" if told else ""),
        )
    point: dict[str, float | int] = {"epoch": epoch + 1, "loss": round(total / seen, 5)}
    if told:
        point["accuracy"] = round(right / seen, 5)
    if examples.held_out:
        loss, accuracy = loop.validate(state.kept)
        point["validation_loss"] = round(loss, 5)
        if accuracy is not None:
            point["validation_accuracy"] = round(accuracy, 5)
        if settings.patience is not None:
            state.judge(loss)
    point["seconds"] = round(time.perf_counter() - started, 2)
    state.curve.append(point)
    state.epoch = epoch + 1
    state.save()


def _copy(network: nn.Module) -> nn.Module:
    """A deep copy, also of a network with masks: a masked weight is computed, and what is computed cannot be copied."""
    for module in network.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                setattr(module, name, value.detach())  # the next forward pass computes it again
    return copy.deepcopy(network)


@torch.no_grad()
def _average(average: nn.Module, network: nn.Module, decay: float) -> None:
    for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)
