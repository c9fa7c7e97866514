"""The training loop: deterministic given seed and thread count, resumable after every epoch."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import nn

from edgepipe.artifact import Signature
from edgepipe.contract import DataSource, Job, Split
from edgepipe.errors import DataError, PassError

if TYPE_CHECKING:
    from edgepipe.passes.training_settings import TrainingPass

_KEPT_BYTES = 512 * 1024**2
_CHECKPOINT = "epoch.pt"


def cpu_likes_bf16() -> bool:
    """Whether bf16 arithmetic is native here; emulated bf16 is slower than float32."""
    features = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(features.get("amx_bf16") or features.get("avx512_bf16") or features.get("bf16"))


class _Examples:
    """The train split: kept in memory when it is small, decoded again each epoch when it is not."""

    def __init__(self, data: DataSource, signature: Signature) -> None:
        self.data = data
        self.count = data.count(Split.TRAIN)
        labels = data.labels(Split.TRAIN)
        if labels is None:
            raise DataError("the train split has no labels: training needs them")
        self.labels = torch.from_numpy(np.asarray(labels))
        self._kept: NDArray[np.float32] | None = None
        if self.count * int(np.prod(signature.input_shape)) * 4 <= _KEPT_BYTES:
            self._kept = np.concatenate([batch.inputs for batch in data.batches(Split.TRAIN, 256)])

    def batches(self, order: list[int], size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        if self._kept is not None:
            for start in range(0, len(order), size):
                part = order[start : start + size]
                yield torch.from_numpy(self._kept[part]), self.labels[part]
            return
        for number, batch in enumerate(self.data.batches(Split.TRAIN, size, order)):
            yield torch.from_numpy(batch.inputs), self.labels[order[number * size : number * size + len(batch.inputs)]]


def _augment(inputs: torch.Tensor, settings: TrainingPass, generator: torch.Generator) -> torch.Tensor:
    """Shift by up to `crop_padding` pixels and mirror; pictures only, (n, channels, height, width)."""
    if inputs.ndim != 4:
        return inputs
    pad = settings.crop_padding
    if pad:
        height, width = inputs.shape[2:]
        # The border repeats: zeros would be grey after normalization, a frame no real picture has.
        wide = nn.functional.pad(inputs, (pad, pad, pad, pad), mode="replicate")
        shifts = torch.randint(0, 2 * pad + 1, (len(inputs), 2), generator=generator).tolist()
        inputs = torch.stack([wide[i, :, y : y + height, x : x + width] for i, (y, x) in enumerate(shifts)])
    if settings.horizontal_flip:
        mirrored = torch.rand(len(inputs), generator=generator) < 0.5
        inputs = torch.where(mirrored[:, None, None, None], inputs.flip(3), inputs)
    return inputs


def _optimizer(network: nn.Module, settings: TrainingPass) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.lr)
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.momentum > 0)


def _rate(settings: TrainingPass, step: int, steps: int) -> float:
    """Share of `lr` at a step: one cycle warms up over the first 30%."""
    if settings.schedule == "constant":
        return 1.0
    warm = 0.3 * steps if settings.schedule == "one_cycle" else 0.0
    if step < warm:
        return float(0.04 + 0.96 * (1 - np.cos(np.pi * step / warm)) / 2)
    return float((1 + np.cos(np.pi * (step - warm) / max(1.0, steps - warm))) / 2) + 1e-4


def train(network: nn.Module, settings: TrainingPass, job: Job, signature: Signature) -> list[dict[str, float | int]]:
    """Train in place and return the curve: epoch, loss, accuracy on the augmented train split, seconds.

    Raises:
        PassError: the loss is not finite.
        DataError: the labels are missing or do not fit the network.
    """
    examples = _Examples(job.data, signature)
    bf16 = settings.precision == "bf16" or (
        settings.precision == "auto" and (torch.cuda.is_available() or cpu_likes_bf16())
    )
    fabric = Fabric(accelerator="auto", devices=1, precision="bf16-mixed" if bf16 else "32-true")
    torch.manual_seed(job.seed)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    if settings.channels_last and len(signature.input_shape) == 3:
        network.to(memory_format=torch.channels_last)
    optimizer = _optimizer(network, settings)
    model, optimizer = fabric.setup(network, optimizer)
    average = copy.deepcopy(network) if settings.ema is not None else None
    size = min(settings.batch_size, examples.count)
    steps_per_epoch = max(1, examples.count // size)  # the last, smaller batch is left out: it upsets batch norm
    loss_of = nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
    first, curve = _resume(job.state, network, optimizer, average)
    if first:
        job.facts["resumed_from_epoch"] = first
    for epoch in range(first, settings.epochs):
        started = time.perf_counter()
        # Order and augmentation follow from seed and epoch alone, so a resumed run sees the same pictures.
        generator = torch.Generator().manual_seed(job.seed * 1_000_003 + epoch)
        torch.manual_seed(job.seed * 1_000_003 + epoch)  # dropout
        order = torch.randperm(examples.count, generator=generator)[: steps_per_epoch * size].tolist()
        model.train()
        total, right, seen = 0.0, 0, 0
        for step, (inputs, labels) in enumerate(examples.batches(order, size)):
            share = _rate(settings, epoch * steps_per_epoch + step, settings.epochs * steps_per_epoch)
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * share
            inputs = fabric.to_device(_augment(inputs, settings, generator))
            labels = fabric.to_device(labels)
            optimizer.zero_grad(set_to_none=True)
            logits = model(inputs)
            if step == 0 and int(labels.max()) >= logits.shape[1]:
                raise DataError(
                    f"passes.{job.label}: a label is {int(labels.max())}, but the network has {logits.shape[1]} "
                    "classes. Set model.num_classes"
                )
            loss = loss_of(logits.float(), labels)
            value = float(loss.detach())
            if not np.isfinite(value):
                raise PassError(
                    f"passes.{job.label}: the loss is {value} in epoch {epoch + 1}: training diverged. "
                    f"Lower passes.{job.label}.lr (now {settings.lr:g}), or set precision=float32"
                )
            fabric.backward(loss)
            optimizer.step()
            if average is not None and settings.ema is not None:
                _average(average, network, settings.ema)
            total += value * len(labels)
            right += int((logits.argmax(1) == labels).sum())
            seen += len(labels)
            done = (epoch + (step + 1) / steps_per_epoch) / settings.epochs
            job.progress(
                done, f"epoch {epoch + 1}/{settings.epochs} loss {total / seen:.3f} accuracy {right / seen:.3f}"
            )
        curve.append(
            {
                "epoch": epoch + 1,
                "loss": round(total / seen, 5),
                "accuracy": round(right / seen, 5),
                "seconds": round(time.perf_counter() - started, 2),
            }
        )
        _checkpoint(job.state, epoch + 1, network, optimizer, average, curve)
    if average is not None:
        network.load_state_dict(average.state_dict())
    network.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    network.eval()
    return curve


@torch.no_grad()
def _average(average: nn.Module, network: nn.Module, decay: float) -> None:
    for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


def _checkpoint(
    state: Path, epoch: int, network: nn.Module, optimizer: Any, average: nn.Module | None, curve: list[Any]
) -> None:
    """Tensors and plain values only, so that reading it back needs no pickle; whole or absent."""
    content = {
        "epoch": epoch,
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": average.state_dict() if average is not None else None,
        "curve": curve,
    }
    part = state / f".{_CHECKPOINT}.part"
    torch.save(content, part)
    part.replace(state / _CHECKPOINT)


def _resume(
    state: Path, network: nn.Module, optimizer: Any, average: nn.Module | None
) -> tuple[int, list[dict[str, float | int]]]:
    file = state / _CHECKPOINT
    if not file.is_file():
        return 0, []
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        network.load_state_dict(content["network"])
        optimizer.load_state_dict(content["optimizer"])
        if average is not None:
            average.load_state_dict(content["average"])
    except Exception:  # a checkpoint that cannot be read costs time, never the run
        file.unlink()
        return 0, []
    return int(content["epoch"]), list(content["curve"])
