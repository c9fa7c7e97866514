"""Where int8 pays: the cheapest mix of int8 and float nodes, by a table of kernel costs and a minimum cut.

Every node that can run in int8 costs one amount there and another in float; wherever an int8 node meets a float
one, the tensor between them has to be quantized or dequantized. The sum is least at a minimum cut, so whole
regions stay float exactly where their kernels do not earn the conversions at their borders.

The table is a setting in code, not a measurement of the machine at hand: the same model is placed alike everywhere,
and the audit of every run says whether the bet was won.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import NamedTuple

import onnx

from edgepipe.onnx.wiring import ANCHORS, Unit, Wiring, attribute, weight_axis
from edgepipe.quant.place.min_cut import UNBOUNDED, Network
from edgepipe.quant.place.scattered import dragged, is_scattered


class Cost(NamedTuple):
    """Nanoseconds of a kernel: per node, per thousand elements, multiply-accumulates, taps and weights.

    `taps` are the pieces a convolution wider than 1x1 gathers before it multiplies: pixels out x positions of the
    kernel x groups. They are what makes stems and convolutions in groups slow.
    """

    node: float
    elements: float
    macs: float = 0.0
    taps: float = 0.0
    weights: float = 0.0


class Kernel(NamedTuple):
    """A node in float and in int8."""

    float32: Cost
    int8: Cost


# Set by hand after ONNX Runtime 1.31's profiles of ten torchvision networks at 64x64, one thread, AVX2 without VNNI. It
# is a prediction, which the audit of each run holds against measured times. What a node costs by itself is written
# alike on both sides of convolutions and products, so that the smallest ones follow their neighbours.
DENSE = Kernel(Cost(8000, 300, 22, 3000, 300), Cost(8000, 260, 9, 6500, 80))
# A convolution in groups of several channels in or out: int8 multiplies each group by itself, a pixel at a time.
GROUPED = Kernel(Cost(8000, 300, 30, 800, 300), Cost(8000, 260, 9, 6500, 80))
DEPTHWISE = Kernel(Cost(8000, 200, 100), Cost(8000, 150, 85))
# A product in int8 takes 1.2 us more by itself. Float weights that stay in a core's own cache from run to run cost a
# fifth of those that come from further away (paired with int8, perceptrons of 800 to 17 million weights, VNNI: int8 is
# 0.7x as fast at 34,000 weights, 0.92x at 200,000, 1.6x at 530,000).
PRODUCT = Kernel(Cost(8000, 600, 22, 0, 300), Cost(9200, 430, 11, 0, 60))
CACHED_PRODUCT = Kernel(Cost(8000, 600, 22, 0, 60), Cost(9200, 430, 11, 0, 60))
CACHED_WEIGHTS = 2**18
"""Float weights of a whole model that a core keeps in its own cache: a megabyte of them."""
ELEMENTWISE: dict[str, Kernel] = {
    "Add": Kernel(Cost(2000, 500), Cost(2000, 350)),
    "Mul": Kernel(Cost(2000, 450), Cost(2000, 400)),
    "Sigmoid": Kernel(Cost(2000, 430), Cost(2000, 560)),
    "HardSigmoid": Kernel(Cost(2000, 400), Cost(2000, 520)),
    "LeakyRelu": Kernel(Cost(2000, 330), Cost(2000, 520)),
    "Relu": Kernel(Cost(2000, 330), Cost(2000, 520)),
    "Concat": Kernel(Cost(2000, 250), Cost(2000, 80)),
    "GlobalAveragePool": Kernel(Cost(2000, 300), Cost(2000, 300)),
    "AveragePool": Kernel(Cost(2000, 2500), Cost(2000, 25000)),
}
MOVE = Kernel(Cost(1000, 300), Cost(1000, 150))
SCATTERED = Kernel(Cost(1000, 700), Cost(1000, 7000))
QUANTIZE = Cost(2000, 500)
DEQUANTIZE = Cost(2000, 300)
RELAYOUT = Cost(2000, 400)
"""Pictures lie channels-last in int8 and blocked in float: a border between them also moves them."""
_SMALL = 4096
"""Elements of a constant whose values shape inference may need: a new shape, axes, pads."""
BYTES_OF_A_TENSOR, BYTES_OF_A_CHANNEL = 420, 13
"""What a quantized tensor adds to a file, two nodes and their scale, and what each channel of a layer does, scales and
zero points (shuffle networks of 2,600 to 23,000 weights)."""
LEAST_SAVED = 0.25
"""Of a file's bytes, where the table says that int8 takes longer."""
INT8_PREFERRED = 0.7
"""What the table cannot tell apart runs in int8: fewer bytes, and the same answers on every instruction set."""


def cheapest(model: onnx.ModelProto, wiring: Wiring, units: Sequence[Unit], *, forced: bool) -> set[str]:
    """Names of the nodes that should run in int8; empty when float is fastest.

    Bytes count too, since int8 is asked for to save both: a percent of the model's weights is worth a percent of
    its time. But should that make the whole slower than float, only time counts.

    Args:
        forced: convolutions and matrix products do not stay float for the sake of time.
    """
    shapes = shapes_of(model)
    costs = _all_costs(units, wiring, shapes)
    chosen = _cut(wiring, units, costs, shapes, _price_of_bytes(units, wiring, costs), forced=forced)
    in_float = sum(cost[0] for cost in costs.values())
    if forced or _total(wiring, units, costs, shapes, chosen) <= in_float:
        return chosen
    chosen = _cut(wiring, units, costs, shapes, {}, forced=False)
    if _total(wiring, units, costs, shapes, chosen) <= in_float:
        return chosen
    # The table knows a product's price well enough to be believed about a network of nothing else; of convolutions it
    # is, where there is not much to win.
    kinds = {unit.node.op_type for unit in units if unit.node.name in chosen}
    saved = _bytes_saved(wiring, [unit for unit in units if unit.node.name in chosen])
    return chosen if "Conv" in kinds and saved >= LEAST_SAVED * model.ByteSize() else set()


def _bytes_saved(wiring: Wiring, chosen: Sequence[Unit]) -> int:
    """About how many bytes smaller the file becomes; negative where scales and nodes are more than the weights save."""
    tensors = {name for unit in chosen for name in unit.reads}
    tensors |= {name for unit in chosen if not unit.hands_out_float for name in unit.writes}
    saved = -BYTES_OF_A_TENSOR * len(tensors)
    for unit in chosen:
        if unit.node.op_type in ANCHORS:
            weight = wiring.constants[unit.node.input[1]].dims
            saved += 3 * prod(weight) - BYTES_OF_A_CHANNEL * weight[weight_axis(unit.node)]
    return saved


def _price_of_bytes(units: Sequence[Unit], wiring: Wiring, costs: dict[str, tuple[int, int]]) -> dict[str, int]:
    """Nanoseconds that a layer's weights are worth in int8."""
    weights = {u.node.name: prod(wiring.constants[u.node.input[1]].dims) for u in units if u.node.op_type in ANCHORS}
    each = sum(cost[0] for cost in costs.values()) / max(1, sum(weights.values()))
    return {name: round(each * count) for name, count in weights.items()}


def _cut(
    wiring: Wiring,
    units: Sequence[Unit],
    costs: dict[str, tuple[int, int]],
    shapes: dict[str, tuple[int, ...]],
    price: dict[str, int],
    *,
    forced: bool,
) -> set[str]:
    network = Network()
    place = {unit.node.name: network.node() for unit in units}
    for unit in units:
        name = unit.node.name
        float32, int8 = costs[name]
        stays = UNBOUNDED if forced and unit.node.op_type in ANCHORS else float32 + price.get(name, 0)
        network.edge(0, place[name], stays)
        network.edge(place[name], 1, round(int8 * INT8_PREFERRED))
    for tensor, (producer, readers, floats) in _borders(wiring, units).items():
        start = 1 if producer is None else place[producer.node.name]
        if readers:  # quantized once, however many read it
            middle = network.node()
            network.edge(middle, start, _nanoseconds(QUANTIZE, tensor, shapes))
            for reader in readers:
                network.edge(place[reader.node.name], middle, UNBOUNDED)
        if producer is not None and not producer.hands_out_float:
            middle = network.node()
            network.edge(start, middle, _nanoseconds(DEQUANTIZE, tensor, shapes))
            for reader in readers:
                network.edge(middle, place[reader.node.name], UNBOUNDED)
            if floats:
                network.edge(middle, 1, UNBOUNDED)
    for layer, move in dragged(units, wiring, shapes):
        network.edge(place[layer.node.name], place[move.node.name], UNBOUNDED)
    side = network.source_side()
    return {name for name, node in place.items() if node in side}


def _borders(wiring: Wiring, units: Sequence[Unit]) -> dict[str, tuple[Unit | None, list[Unit], bool]]:
    """Per tensor that may be int8: the unit that makes it, the units that read it, whether others do too."""
    makers = {name: unit for unit in units for name in unit.writes}
    readers: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        for name in unit.reads:
            readers[name].append(unit)
    known = {unit.node.name for unit in units}
    return {
        name: (
            makers.get(name),
            readers[name],
            name in wiring.outputs or any(node.name not in known for node in wiring.consumers[name]),
        )
        for name in dict.fromkeys((*makers, *readers))
    }


def _total(
    wiring: Wiring,
    units: Sequence[Unit],
    costs: dict[str, tuple[int, int]],
    shapes: dict[str, tuple[int, ...]],
    chosen: set[str],
) -> int:
    """Nanoseconds of a placement, conversions included."""
    total = sum(costs[unit.node.name][unit.node.name in chosen] for unit in units)
    for tensor, (producer, readers, floats) in _borders(wiring, units).items():
        made = producer is not None and producer.node.name in chosen
        read = [reader.node.name in chosen for reader in readers]
        if not made and any(read):
            total += _nanoseconds(QUANTIZE, tensor, shapes)
        if made and producer is not None and not producer.hands_out_float and (floats or not all(read)):
            total += _nanoseconds(DEQUANTIZE, tensor, shapes)
    return total


def _nanoseconds(cost: Cost, tensor: str, shapes: dict[str, tuple[int, ...]]) -> int:
    shape = shapes.get(tensor, ())
    parts = (cost, RELAYOUT) if len(shape) == 4 and prod(shape[2:]) > 1 else (cost,)
    return round(sum(part.node + part.elements * prod(shape) / 1000 for part in parts))


def macs_of(node: onnx.NodeProto, wiring: Wiring, shapes: dict[str, tuple[int, ...]]) -> int:
    """Multiply-accumulates of a convolution or matrix product with constant weights, for one example."""
    out = shapes.get(node.output[0], ())
    weight = tuple(wiring.constants[node.input[1]].dims)
    if node.op_type == "Conv":
        return int(prod(out) * prod(weight[1:]))
    return int(prod(weight) * prod(out) // max(1, out[-1] if out else 1))


def predicted(model: onnx.ModelProto, wiring: Wiring, units: Sequence[Unit]) -> Callable[[set[str]], float]:
    """A function from the names of int8 nodes to milliseconds of one run by the table, of what can be int8."""
    shapes = shapes_of(model)
    costs = _all_costs(units, wiring, shapes)
    return lambda chosen: _total(wiring, units, costs, shapes, chosen) / 1e6


def all_costs(model: onnx.ModelProto, wiring: Wiring, units: Sequence[Unit]) -> dict[str, tuple[int, int]]:
    """Nanoseconds of each node in float and in int8, by its name."""
    return _all_costs(units, wiring, shapes_of(model))


def _all_costs(units: Sequence[Unit], wiring: Wiring, shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, int]]:
    """Nanoseconds of each node in float and in int8, by its name."""
    weights = sum(prod(item.dims) for item in wiring.constants.values())
    product = CACHED_PRODUCT if weights <= CACHED_WEIGHTS else PRODUCT
    return {unit.node.name: _costs(unit, wiring, shapes, product) for unit in units}


def _costs(unit: Unit, wiring: Wiring, shapes: dict[str, tuple[int, ...]], product: Kernel) -> tuple[int, int]:
    """Nanoseconds of a node in float and in int8."""
    node = unit.node
    tensor = node.input[0] if node.op_type == "GlobalAveragePool" else unit.writes[0]
    kernel, macs, taps, weights = ELEMENTWISE.get(node.op_type, MOVE), 0, 0, 0
    elements = prod(shapes.get(tensor, ()))
    if node.op_type in ANCHORS:
        shape = tuple(wiring.constants[node.input[1]].dims)
        weights = prod(shape)
        macs = macs_of(node, wiring, shapes)
        if node.op_type == "Conv":
            groups = int(attribute(node, "group", 1))
            # Of several channels out for each channel in, the runtime makes no depthwise kernel.
            kernel = DENSE if groups == 1 else DEPTHWISE if shape[0] == groups and shape[1] == 1 else GROUPED
            gathers = kernel is GROUPED or (kernel is DENSE and prod(shape[2:]) > 1)
            taps = macs * groups // (shape[0] * shape[1]) if gathers else 0
        else:
            kernel = product
    elif is_scattered(node, wiring, shapes):
        kernel = SCATTERED
    return tuple(  # type: ignore[return-value]
        round(c.node + (c.elements * elements + c.macs * macs + c.taps * taps + c.weights * weights) / 1000)
        for c in kernel
    )


def shapes_of(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shapes for one example, as far as inference knows them."""
    graph = onnx.GraphProto(name="shapes")
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    _one_example(graph.input)
    _one_example(graph.output)
    known = {item.name for item in graph.input}
    for item in model.graph.initializer:
        if prod(item.dims) <= _SMALL:
            graph.initializer.append(item)
        elif item.name not in known:  # weights are told by their shape: copying them takes longer than all the rest
            graph.input.append(onnx.helper.make_tensor_value_info(item.name, item.data_type, item.dims))
    bare = onnx.ModelProto(ir_version=max(model.ir_version, 4), graph=graph)
    bare.opset_import.extend(model.opset_import)
    inferred = onnx.shape_inference.infer_shapes(bare, data_prop=True).graph
    return {
        item.name: tuple(dim.dim_value or 1 for dim in item.type.tensor_type.shape.dim)
        for item in (*inferred.input, *inferred.value_info, *inferred.output)
    }


def _one_example(values: Iterable[onnx.ValueInfoProto]) -> None:
    for value in values:
        dims = value.type.tensor_type.shape.dim
        if len(dims) and not dims[0].dim_value:
            dims[0].dim_value = 1
