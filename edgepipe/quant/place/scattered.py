"""Transpositions that int8 makes slow, and the layers that drag them into int8.

In int8 pictures lie channels-last, and ONNX Runtime folds that layout into the transposition behind a convolution. What
then shuffles channels reads single bytes all over the tensor: 7 ns an element, ten times what float takes. Nor can such
a node be float between int8 layers: the runtime moves the quantization past it, from either side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

import onnx

from edgepipe.onnx.wiring import Unit, Wiring

_MOVING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "MaxPool", "Slice")
_BLOCK = 8
"""Elements that lie side by side before and after: copied at once, which is fast."""


def is_scattered(node: onnx.NodeProto, wiring: Wiring, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a Transpose of one example moves more than one block of axes, as the tensor lies in int8."""
    if node.op_type != "Transpose":
        return False
    shape = shapes.get(node.input[0], ())
    wanted = next((list(item.ints) for item in node.attribute if item.name == "perm"), list(range(len(shape)))[::-1])
    stored = _stored_order(node.input[0], shape, wiring, shapes)
    places = [stored.index(axis) for axis in wanted if shape[axis] > 1] if len(wanted) == len(shape) else []
    present = sorted(places)
    order = [present.index(place) for place in places]
    runs = _runs(order)
    if len(runs) < 3:  # one block changes places with another
        return False
    last = prod(shape[stored[present[place]]] for place in runs[-1])
    return not (runs[-1][-1] == len(order) - 1 and last >= _BLOCK)


def _stored_order(
    tensor: str, shape: tuple[int, ...], wiring: Wiring, shapes: Mapping[str, tuple[int, ...]]
) -> list[int]:
    """The axes as int8 keeps them: of a picture that was reshaped, those of height and width before the channels."""
    plain = list(range(len(shape)))
    source = tensor
    while (maker := wiring.producer.get(source)) is not None and maker.op_type in _MOVING[:4]:
        source = maker.input[0]
    picture = shapes.get(source, ())
    if len(picture) != 4 or prod(picture[2:]) == 1 or wiring.producer.get(source) is None:
        return plain
    for split in range(1, len(shape)):
        if prod(shape[1:split]) == picture[1] and prod(shape[split:]) == prod(picture[2:]):
            return [0, *plain[split:], *plain[1:split]]
    return plain


def _runs(order: Sequence[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for place in order:
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return runs


def dragged(
    units: Sequence[Unit], wiring: Wiring, shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[Unit, Unit]]:
    """(layer, transposition): where the layer runs in int8, so does the transposition before or behind it."""
    makers = {name: unit for unit in units for name in unit.writes}
    readers: dict[str, list[Unit]] = {}
    for unit in units:
        for name in unit.reads:
            readers.setdefault(name, []).append(unit)
    for unit in units:
        if not is_scattered(unit.node, wiring, shapes):
            continue
        before = makers.get(unit.reads[0])
        while before is not None and before.node.op_type in _MOVING:
            before = makers.get(before.reads[0])
        if before is not None:
            yield before, unit
        behind = [*readers.get(unit.writes[0], [])]
        while behind:
            reader = behind.pop()
            if reader.node.op_type not in _MOVING:
                yield reader, unit
            else:
                behind += [other for name in reader.writes for other in readers.get(name, [])]
