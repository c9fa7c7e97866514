"""Rounding that training sees through: the forward pass rounds as the runtime does, gradients pass straight.

Sources: Bengio et al., straight-through estimator, 2013, arXiv:1308.3432; Esser et al., Learned Step Size
Quantization, ICLR 2020, arXiv:1902.08153.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from edgepipe.quant.arithmetic.affine import PAIR_LIMIT, SMALLEST_SCALE, largest_scale

_SMALLEST = float(SMALLEST_SCALE)


class _RoundActivation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero_point: int) -> Tensor:
        step = float(scale)
        rounded = (x / step).round_().clamp_(-zero_point, 255 - zero_point).mul_(step)
        ctx.save_for_backward(x, rounded if scale.requires_grad else None)
        ctx.step, ctx.zero_point = step, zero_point
        return rounded

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None]:
        (gradient,) = gradients
        x, rounded = ctx.saved_tensors
        step, zero_point = ctx.step, ctx.zero_point
        # Zero outside the range; torch has a kernel for just that.
        inside = torch.ops.aten.hardtanh_backward(
            gradient, x, (-zero_point - 0.5) * step, (255 - zero_point + 0.5) * step
        )
        if rounded is None:
            return inside, None, None
        share = 1.0 / math.sqrt(x[0].numel() * 255)
        slope = ((gradient * rounded).sum() - (inside * x).sum()) * (share / step)
        return inside, slope.float().reshape(()), None


class _RoundWeight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, scale: Tensor, axis: int, pair_safe: bool) -> Tensor:
        integers = integer_weights(weight, scale, axis, pair_safe)
        shown = along(scale, weight.ndim, axis)
        rounded = integers.mul_(shown)
        if scale.requires_grad:
            ctx.save_for_backward(weight, rounded, shown)
        ctx.axis, ctx.learned = axis, scale.requires_grad
        return rounded

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        (gradient,) = gradients
        if not ctx.learned:
            return gradient, None, None, None
        weight, rounded, shown = ctx.saved_tensors
        others = [axis for axis in range(weight.ndim) if axis != ctx.axis]
        inside = (rounded - weight).abs() <= shown * 0.5001
        share = 1.0 / math.sqrt(weight.numel() / weight.shape[ctx.axis] * 127)
        slope = (gradient * (rounded - weight * inside) / shown).sum(dim=others) * share
        return gradient, slope, None, None


def along(scale: Tensor, rank: int, axis: int) -> Tensor:
    """(channels,) as a tensor of `rank` axes that counts them along `axis`."""
    shape = [1] * rank
    shape[axis] = -1
    return scale.view(shape)


@torch.no_grad()
def integer_weights(weight: Tensor, scale: Tensor, axis: int, pair_safe: bool) -> Tensor:
    """Whole numbers in float32, shaped as `weight`, in [-127, 127].

    Args:
        weight: float32; `axis` counts output channels.
        scale: float32, (channels,).
        pair_safe: clip the largest weights of a channel until no two of one sign exceed 128 together, so that
            AVX2's 16-bit sums cannot saturate (see `affine.PAIR_LIMIT`).
    """
    integers = (weight.detach() / along(scale, weight.ndim, axis)).round_().clamp_(-127, 127)
    if not pair_safe:
        return integers
    others = [place for place in range(weight.ndim) if place != axis]
    half = PAIR_LIMIT // 2
    # Where nothing is above 64, no pair is above 128: on most channels that is all there is to look at.
    over = (integers.amax(dim=others) > half) | (integers.amin(dim=others) < -half)
    chosen = over.nonzero().flatten()
    if len(chosen):
        moved = integers.movedim(axis, 0)
        part = moved[chosen]
        moved[chosen] = _bounded(part.reshape(len(chosen), -1)).reshape(part.shape)
    return integers


def _bounded(rows: Tensor) -> Tensor:
    """The rule of `affine._bounded`, in torch; rows: whole numbers in float32, (channels, weights)."""
    if rows.shape[1] == 1:
        return rows
    for sign in (1.0, -1.0):
        first, second = rows.mul(sign).topk(2, dim=1).values.clamp_min(0).unbind(1)
        cap = (PAIR_LIMIT - second).clamp_min(PAIR_LIMIT // 2)
        cap = torch.where(first + second > PAIR_LIMIT, cap, 127.0)[:, None]
        rows = torch.minimum(rows, cap) if sign > 0 else torch.maximum(rows, -cap)
    return rows


class Step(nn.Module):
    """Positive step sizes; trained ones as logarithms, so that a rate means the same for steps of any size."""

    def __init__(self, scale: Tensor, *, learned: bool) -> None:
        super().__init__()
        self.learned = learned
        self.value: Tensor
        if learned:
            self.value = nn.Parameter(scale.float().log())
        else:
            self.register_buffer("value", scale.float().clone())

    def set(self, scale: Tensor) -> None:
        """Replace the sizes."""
        self.value.data.copy_(scale.log() if self.learned else scale)

    def forward(self) -> Tensor:
        """The sizes, float32."""
        return self.value.exp() if self.learned else self.value


class FakeActivation(nn.Module):
    """Rounds a tensor to uint8 and back. The range is learned, or follows the batches that are shown.

    Args:
        low, high: the calibrated range.
        rectified: negative values become zero (the range does the work of a ReLU).
        learned: train the step size; the zero point stays.
        most: no value is larger. The range stays below, or the runtime would keep the Clip that the range performs,
            and with it the layer before the Clip in float.
    """

    def __init__(self, low: float, high: float, *, rectified: bool, learned: bool, most: float = math.inf) -> None:
        super().__init__()
        self.rectified, self.learned, self.most = rectified, learned, most
        self.observing = False
        self.range: Tensor
        self.ratio: Tensor
        low, high = min(0.0, float(low)), min(max(0.0, float(high)), most)
        self.register_buffer("range", torch.tensor([0.0 if rectified else low, high]))
        self.register_buffer("ratio", torch.zeros(2))  # calibrated range over that of a batch; 0: none seen yet
        self.step = Step(((self.range[1] - self.range[0]) / 255).clamp_min(_SMALLEST), learned=learned)
        self.register_buffer("zero", self._zero_point())
        self.zero: Tensor

    @property
    def scale(self) -> Tensor:
        """Step size, a float32 scalar."""
        scale: Tensor = self.step()
        if self.learned and self.most < math.inf:
            scale = scale.clamp_max(largest_scale(self.most, round(float(self.zero))))
        return scale

    def _zero_point(self) -> Tensor:
        zero: Tensor = (-self.range[0] / self.step().detach()).round().clamp(0, 255)
        return zero

    @torch.no_grad()
    def _observe(self, x: Tensor) -> None:
        extremes = torch.stack([edge.float() for edge in x.detach().aminmax()])
        extremes = torch.stack([extremes[0].clamp_max(0), extremes[1].clamp_min(0)])
        if self.rectified:
            extremes[0] = 0
        if not bool(self.ratio.any()):
            self.ratio.copy_(torch.where(extremes == 0, 1.0, self.range / extremes))
        self.range.lerp_(extremes * self.ratio, 0.1)
        self.range[1].clamp_(max=self.most)
        self.step.set(((self.range[1] - self.range[0]) / 255).clamp_min(_SMALLEST))
        self.zero.copy_(self._zero_point())

    def parameters_of_graph(self) -> tuple[float, int]:
        """Scale (a float32 value) and uint8 zero point."""
        return float(self.scale.detach()), round(float(self.zero))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape; values on the grid of 256 steps."""
        if self.training and self.observing and not self.learned:
            self._observe(x)
        rounded: Tensor = _RoundActivation.apply(x, self.scale, round(float(self.zero)))
        return rounded


class FakeWeight(nn.Module):
    """Rounds a weight to int8 per output channel and back.

    Args:
        scale: float32, (channels,).
        axis: of the weight that counts output channels.
        zeros: True where the weight is zero and stays so, shaped as it; None: nowhere.

    Attributes:
        least: float32, (channels,): no scale is smaller; see `affine.least_scales`.
    """

    def __init__(
        self, scale: Tensor, axis: int, *, pair_safe: bool, learned: bool, zeros: Tensor | None = None
    ) -> None:
        super().__init__()
        self.axis, self.pair_safe, self.learned = axis, pair_safe, learned
        self.step = Step(scale, learned=learned)
        self.least: Tensor
        self.register_buffer("least", torch.zeros_like(scale, dtype=torch.float32))
        self.zeros: Tensor | None
        self.register_buffer("zeros", zeros, persistent=False)

    @property
    def scale(self) -> Tensor:
        """Step sizes, float32, (channels,)."""
        scale: Tensor = self.step().maximum(self.least)
        return scale

    def pruned(self, weight: Tensor) -> Tensor:
        """With the zeros that stay; nothing is learned there."""
        return weight if self.zeros is None else weight.masked_fill(self.zeros, 0.0)

    @torch.no_grad()
    def refresh(self, weight: Tensor) -> None:
        """Per channel, the scale of least squared error near the one that is used."""
        others = [place for place in range(weight.ndim) if place != self.axis]
        best, chosen = None, self.scale.detach()
        for share in (1.0, 0.9, 0.95, 1.05, 1.1):
            scale = (self.scale * share).clamp_min(_SMALLEST)
            integers = integer_weights(weight, scale, self.axis, self.pair_safe)
            error = integers.mul_(along(scale, weight.ndim, self.axis)).sub_(weight).square_().sum(dim=others)
            better = error < best if best is not None else torch.ones_like(error, dtype=torch.bool)
            chosen = torch.where(better, scale, chosen)
            best = torch.where(better, error, best) if best is not None else error
        self.step.set(chosen)

    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """int8 weights, shaped as `weight`, and their float32 scales, (channels,)."""
        scale = self.scale.detach()
        return integer_weights(weight, scale, self.axis, self.pair_safe).to(torch.int8), scale

    def forward(self, weight: Tensor) -> Tensor:
        """Same shape; every value is a whole multiple of its channel's scale."""
        rounded: Tensor = _RoundWeight.apply(weight, self.scale, self.axis, self.pair_safe)
        return rounded
