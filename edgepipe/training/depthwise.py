"""Depthwise convolutions of maps smaller than their kernel, whose weights oneDNN differentiates by its slowest path.

There the gradient took half of an EfficientNet-B0's step at 64x64: 51 ms for 1,152 channels of 2x2 and a 5x5 kernel,
where the sum below takes 1.1 ms (torch 2.14, AVX2, one thread).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class SmallDepthwise(TorchFunctionMode):
    """While it is entered, `torch.conv2d` differentiates such a convolution by a sum of its own; all else stays."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.conv2d and not kwargs and torch.is_grad_enabled() and _is_small(*args):
            x, weight, bias, stride, padding = args[:5]
            return _Convolution.apply(x, weight, bias, tuple(stride), tuple(padding))
        return func(*args, **kwargs)


def _is_small(
    x: Tensor,
    weight: Tensor,
    _bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> bool:
    """Depthwise float32 on a processor, one map a channel, smaller than the kernel in height or width."""
    if groups == 1 or not x.shape[1] == weight.shape[0] == groups or x.ndim != 4:
        return False
    if not all(isinstance(item, tuple | list) and len(item) == 2 for item in (stride, padding, dilation)):
        return False
    if tuple(dilation) != (1, 1) or not (x.shape[2] < weight.shape[2] or x.shape[3] < weight.shape[3]):
        return False
    plain = x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32
    return plain and weight.requires_grad and not torch.is_autocast_enabled("cpu")


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding, ctx.biased = stride, padding, bias is not None
        return torch.conv2d(x, weight, bias, stride, padding, (1, 1), weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        stride, padding = ctx.stride, ctx.padding
        towards_x = towards_weight = towards_bias = None
        if ctx.needs_input_grad[0]:
            towards_x = torch.ops.aten.convolution_backward(
                gradient, x, weight, None, stride, padding, (1, 1), False, (0, 0), weight.shape[0], (True, False, False)
            )[0]
        if ctx.needs_input_grad[1]:
            towards_weight = weight_gradient(gradient, x, weight.shape, stride, padding)
        if ctx.biased and ctx.needs_input_grad[2]:
            towards_bias = gradient.sum((0, 2, 3))
        return towards_x, towards_weight, towards_bias, None, None


def weight_gradient(
    gradient: Tensor, x: Tensor, shape: torch.Size, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """Of a depthwise convolution by its weight: for each place of the kernel a product, summed over examples and map.

    Args:
        gradient: by the output, float32, (N, C, H', W').
        x: the input, float32, (N, C, H, W).
        shape: of the weight, (C, 1, kernel height, kernel width).
    """
    found = gradient.new_zeros(shape)
    ys, xs = gradient.permute(0, 2, 3, 1), x.permute(0, 2, 3, 1)
    columns = [_met(x.shape[3], gradient.shape[3], place, stride[1], padding[1]) for place in range(shape[3])]
    for i in range(shape[2]):
        down, down_in = _met(x.shape[2], gradient.shape[2], i, stride[0], padding[0])
        for j, (along, along_in) in enumerate(columns):
            # Products with padding are zero, and in a small map most are.
            found[:, 0, i, j] = (ys[:, down, along] * xs[:, down_in, along_in]).sum((0, 1, 2))
    return found


def _met(size: int, outputs: int, place: int, stride: int, padding: int) -> tuple[slice, slice]:
    """The outputs for which this place of the kernel lies on the map, and where on it."""
    first = max(0, -((place - padding) // stride))
    last = min(outputs - 1, (size - 1 + padding - place) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    start = first * stride + place - padding
    return slice(first, last + 1), slice(start, start + (last - first) * stride + 1, stride)
