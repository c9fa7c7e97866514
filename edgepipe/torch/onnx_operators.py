"""What ONNX operators compute, in torch; those that occur in classifiers. Source: the ONNX operator specification."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Attributes = Mapping[str, Any]
Operator = Callable[..., Any]

_TYPES = {1: torch.float32, 6: torch.int32, 7: torch.int64, 9: torch.bool, 10: torch.float16, 11: torch.float64}
_CONVOLUTIONS: dict[int, Any] = {3: functional.conv1d, 4: functional.conv2d, 5: functional.conv3d}
_TRANSPOSED: dict[int, Any] = {
    3: functional.conv_transpose1d,
    4: functional.conv_transpose2d,
    5: functional.conv_transpose3d,
}
_MAX_POOLS: dict[int, Any] = {3: functional.max_pool1d, 4: functional.max_pool2d, 5: functional.max_pool3d}
_AVERAGE_POOLS: dict[int, Any] = {3: functional.avg_pool1d, 4: functional.avg_pool2d, 5: functional.avg_pool3d}


def _padded(a: Attributes, x: Tensor, kernel: list[int], value: float) -> tuple[Tensor, list[int]]:
    """The input, padded here where the two sides differ, and what is left for the operator to pad."""
    axes = x.ndim - 2
    pads = list(a.get("pads", [0] * 2 * axes))
    auto = a.get("auto_pad", b"NOTSET").decode()
    if auto.startswith("SAME"):
        strides, dilations = a.get("strides", [1] * axes), a.get("dilations", [1] * axes)
        wanted = [
            max(0, (math.ceil(size / s) - 1) * s + (k - 1) * d + 1 - size)
            for size, s, k, d in zip(x.shape[2:], strides, kernel, dilations, strict=True)
        ]
        small = [total // 2 for total in wanted]
        large = [total - half for total, half in zip(wanted, small, strict=True)]
        pads = [*small, *large] if auto == "SAME_UPPER" else [*large, *small]
    before, after = pads[:axes], pads[axes:]
    if before == after:
        return x, before
    sides = [side for pair in reversed(list(zip(before, after, strict=True))) for side in pair]
    return functional.pad(x, sides, value=value), [0] * axes


def _conv(a: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    axes = x.ndim - 2
    x, padding = _padded(a, x, list(weight.shape[2:]), 0.0)
    strides, dilations = a.get("strides", [1] * axes), a.get("dilations", [1] * axes)
    result: Tensor = _CONVOLUTIONS[x.ndim](x, weight, bias, strides, padding, dilations, a.get("group", 1))
    return result


def _conv_transpose(a: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    axes = x.ndim - 2
    kernel = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], a.get("dilations", [1] * axes), strict=True)]
    strides, dilations = a.get("strides", [1] * axes), a.get("dilations", [1] * axes)
    more = a.get("output_padding", [0] * axes)
    pads = list(a.get("pads", [0] * 2 * axes))
    auto = a.get("auto_pad", b"NOTSET").decode()
    wanted = a.get("output_shape")
    if wanted is None and auto.startswith("SAME"):
        wanted = [size * s for size, s in zip(x.shape[2:], strides, strict=True)]
    if wanted is not None:
        full = [s * (size - 1) + o + k for size, s, o, k in zip(x.shape[2:], strides, more, kernel, strict=True)]
        # What is too much is cut off, and what lacks is filled up behind.
        off = [whole - size for whole, size in zip(full, list(wanted)[-axes:], strict=True)]
        more = [o + max(0, -cut) for o, cut in zip(more, off, strict=True)]
        small = [max(0, cut) // 2 for cut in off]
        large = [max(0, cut) - half for cut, half in zip(off, small, strict=True)]
        pads = [*small, *large] if auto == "SAME_UPPER" else [*large, *small]
    result: Tensor = _TRANSPOSED[x.ndim](x, weight, bias, strides, 0, more, a.get("group", 1), dilations)
    for axis, (before, after) in enumerate(zip(pads[:axes], pads[axes:], strict=True), start=2):
        result = result.narrow(axis, before, result.shape[axis] - before - after)
    return result


def _max_pool(a: Attributes, x: Tensor) -> Tensor:
    kernel = a["kernel_shape"]
    x, padding = _padded(a, x, kernel, -math.inf)
    axes = x.ndim - 2
    strides, dilations = a.get("strides", [1] * axes), a.get("dilations", [1] * axes)
    ceil = bool(a.get("ceil_mode", 0))
    result: Tensor = _MAX_POOLS[x.ndim](x, kernel, strides, padding, dilations, ceil)
    return result


def _average_pool(a: Attributes, x: Tensor) -> Tensor:
    kernel = a["kernel_shape"]
    count_pad = bool(a.get("count_include_pad", 0))
    padded, padding = _padded(a, x, kernel, 0.0)
    if padded is not x and not count_pad:
        raise NotImplementedError("AveragePool with uneven padding that is not counted")
    ceil = bool(a.get("ceil_mode", 0))
    result: Tensor = _AVERAGE_POOLS[x.ndim](
        padded, kernel, a.get("strides", [1] * (x.ndim - 2)), padding, ceil, count_pad
    )
    return result


def _gemm(a: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    x = x.t() if a.get("transA", 0) else x
    alpha, beta = a.get("alpha", 1.0), a.get("beta", 1.0)
    if alpha == beta == 1.0:  # autocast knows linear
        return functional.linear(x, weight if a.get("transB", 0) else weight.t(), bias)
    product = alpha * (x @ (weight.t() if a.get("transB", 0) else weight))
    result: Tensor = product if bias is None else product + beta * bias
    return result


def _clip(a: Attributes, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    return x.clamp(
        a.get("min") if low is None else float(low),
        a.get("max") if high is None else float(high),
    )


def _axes(a: Attributes, given: Tensor | None) -> list[int] | None:
    chosen = a.get("axes") if given is None else given.tolist()
    return None if chosen is None or not len(chosen) else list(chosen)


def _reduce(function: Callable[..., Tensor]) -> Operator:
    def reduced(a: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
        chosen = _axes(a, axes)
        if chosen is None:
            if a.get("noop_with_empty_axes", 0):
                return x
            chosen = list(range(x.ndim))
        return function(x, dim=chosen, keepdim=bool(a.get("keepdims", 1)))

    return reduced


def _reshape(a: Attributes, x: Tensor, shape: Tensor) -> Tensor:
    sizes = shape.tolist()
    if not a.get("allowzero", 0):
        sizes = [x.shape[place] if size == 0 else size for place, size in enumerate(sizes)]
    return x.reshape(sizes)


def _flatten(a: Attributes, x: Tensor) -> Tensor:
    axis = a.get("axis", 1) % (x.ndim + 1)
    return x.reshape(math.prod(x.shape[:axis]), -1)


def _squeeze(a: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
    chosen = _axes(a, axes)
    return x.squeeze() if chosen is None else x.squeeze(tuple(chosen))


def _unsqueeze(a: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
    chosen = _axes(a, axes) or []
    rank = x.ndim + len(chosen)
    for axis in sorted(axis % rank for axis in chosen):
        x = x.unsqueeze(axis)
    return x


def _slice(a: Attributes, x: Tensor, *given: Tensor | None) -> Tensor:
    starts, ends, axes, steps = [item.tolist() if item is not None else None for item in (*given, *[None] * 4)[:4]]
    starts, ends = starts or a["starts"], ends or a["ends"]  # attributes before opset 10
    axes, steps = axes or a.get("axes", range(len(starts))), steps or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        places = range(*slice(start, end if abs(end) < 2**62 else None, step).indices(x.shape[axis]))
        if step > 0:
            index = [slice(None)] * x.ndim
            index[axis] = slice(places.start, max(places.start, places.stop), step)
            x = x[tuple(index)]
        else:
            x = x.index_select(axis, torch.tensor(list(places), device=x.device))
    return x


def _split(a: Attributes, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    axis = a.get("axis", 0)
    wanted = a.get("split") if sizes is None else sizes.tolist()
    if wanted is None:
        parts = int(a["num_outputs"])
        return torch.split(x, math.ceil(x.shape[axis] / parts), axis)
    return torch.split(x, list(wanted), axis)


def _gather(a: Attributes, x: Tensor, indices: Tensor) -> Tensor:
    axis = a.get("axis", 0) % x.ndim
    places = indices.to(x.device)
    places = torch.where(places < 0, places + x.shape[axis], places)
    picked = x.index_select(axis, places.reshape(-1))
    return picked.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def _pad(a: Attributes, x: Tensor, pads: Tensor, value: Tensor | None = None, axes: Tensor | None = None) -> Tensor:
    chosen = [axis % x.ndim for axis in (range(x.ndim) if axes is None else axes.tolist())]
    amounts = pads.tolist()
    sides = [[0, 0] for _ in range(x.ndim)]
    for place, axis in enumerate(chosen):
        sides[axis] = [amounts[place], amounts[place + len(chosen)]]
    flat = [side for pair in reversed(sides) for side in pair]
    mode = a.get("mode", b"constant").decode()
    if mode == "constant":
        return functional.pad(x, flat, value=0.0 if value is None else float(value))
    while len(flat) > 2 and flat[-2:] == [0, 0]:  # torch reflects inner axes only
        flat = flat[:-2]
    return functional.pad(x, flat, mode={"reflect": "reflect", "edge": "replicate"}[mode])


def _layer_norm(a: Attributes, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    axis = a.get("axis", -1) % x.ndim
    return functional.layer_norm(x, x.shape[axis:], scale, bias, a.get("epsilon", 1e-5))


def _batch_norm(a: Attributes, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return functional.batch_norm(x, mean, variance, scale, bias, False, 0.0, a.get("epsilon", 1e-5))


def _depth_to_space(a: Attributes, x: Tensor) -> Tensor:
    size = a["blocksize"]
    if a.get("mode", b"DCR") == b"CRD":
        return functional.pixel_shuffle(x, size)
    n, c, h, w = x.shape
    parts = x.reshape(n, size, size, c // size**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(n, c // size**2, h * size, w * size)


def _hard_sigmoid(a: Attributes, x: Tensor) -> Tensor:
    sloped: Tensor = x * a.get("alpha", 0.2) + a.get("beta", 0.5)
    return sloped.clamp(0, 1)


def _softmax(a: Attributes, x: Tensor) -> Tensor:
    return torch.softmax(x, a.get("axis", -1))


def _constant_of_shape(a: Attributes, shape: Tensor) -> Tensor:
    value = a.get("value", np.zeros(1, np.float32))
    return torch.from_numpy(np.broadcast_to(value.reshape(()), shape.tolist()).copy())


def _plain(function: Callable[..., Any]) -> Operator:
    return lambda _a, *x: function(*x)


def _each(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    def combined(_a: Attributes, first: Tensor, *more: Tensor) -> Tensor:
        for other in more:
            first = function(first, other)
        return first

    return combined


OPERATORS: dict[str, Operator] = {
    "Abs": _plain(torch.abs),
    "Add": _plain(torch.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": lambda a, x: x.to(_TYPES[a["to"]]),
    "Clip": _clip,
    "Concat": lambda a, *x: torch.cat(x, a["axis"]),
    "ConstantOfShape": _constant_of_shape,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "Div": lambda _a, x, y: x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc"),
    "Dropout": lambda _a, x, *_: x,
    "Elu": lambda a, x: functional.elu(x, a.get("alpha", 1.0)),
    "Equal": _plain(torch.eq),
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Expand": lambda _a, x, shape: x.expand(np.broadcast_shapes(x.shape, tuple(shape.tolist()))),
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": lambda a, x: functional.gelu(x, approximate=a.get("approximate", b"none").decode()),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda _a, x: x.mean(dim=tuple(range(2, x.ndim)), keepdim=True),
    "GlobalMaxPool": lambda _a, x: x.amax(dim=tuple(range(2, x.ndim)), keepdim=True),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda _a, x: functional.hardswish(x),
    "Identity": lambda _a, x: x,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda a, x: functional.leaky_relu(x, a.get("alpha", 0.01)),
    "Log": _plain(torch.log),
    "LogSoftmax": lambda a, x: torch.log_softmax(x, a.get("axis", -1)),
    "MatMul": _plain(torch.matmul),
    "Max": _each(torch.maximum),
    "MaxPool": _max_pool,
    "Min": _each(torch.minimum),
    "Mul": _plain(torch.mul),
    "Neg": _plain(torch.neg),
    "Pad": _pad,
    "Pow": _plain(torch.pow),
    "Range": lambda _a, start, end, step: torch.arange(start.item(), end.item(), step.item()),
    "Reciprocal": _plain(torch.reciprocal),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Relu": _plain(torch.relu),
    "Reshape": _reshape,
    "Shape": lambda a, x: torch.tensor(x.shape[slice(a.get("start", 0), a.get("end"))], dtype=torch.int64),
    "Sigmoid": _plain(torch.sigmoid),
    "Slice": _slice,
    "Softmax": _softmax,
    "Softplus": lambda _a, x: functional.softplus(x),
    "Split": _split,
    "Sqrt": _plain(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _plain(torch.sub),
    "Sum": _each(torch.add),
    "Tanh": _plain(torch.tanh),
    "Tile": lambda _a, x, repeats: x.tile(tuple(repeats.tolist())),
    "Transpose": lambda a, x: x.permute(a.get("perm", list(range(x.ndim))[::-1])),
    "Unsqueeze": _unsqueeze,
    "Where": _plain(torch.where),
}
