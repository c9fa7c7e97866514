"""How much each layer alone costs in int8: the model runs with one layer quantized and all others in float.

The error of the outputs (as SQNR) ranks layers far more finely than accuracy: it needs no label and no example whose
answer happens to flip. The error of one layer says nothing of how errors of several add up; they are near enough to
independent that their energies do.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from edgepipe.contract import Progress
from edgepipe.quant.place.placement import Placement, Wiring, clip_behind, milliseconds, place, weight_axis
from edgepipe.quant.place.worth import macs_of, shapes_of
from edgepipe.quant.study.answers import Effect, Examples, Floats, effect
from edgepipe.quant.study.trunk import Trunk
from edgepipe.quant.write.qdq import WEIGHTED
from edgepipe.quant.write.static import StaticQuantizer
from edgepipe.records.sensitivity import LayerEffect

_SUFFIXES = (".weight", "_weight")


def alone(quantizer: StaticQuantizer) -> dict[str, Placement]:
    """For each layer that has an int8 kernel, by node name in the graph's order: only this one in int8."""
    network = quantizer.network
    able = place(network, (), "never").nodes
    names = {node.name for node in network.graph.node}
    wiring = Wiring(network)
    found = {}
    for node in network.graph.node:
        if node.name in able and node.op_type in WEIGHTED:
            after = clip_behind(node, wiring)  # the range of its output performs it
            found[node.name] = place(network, names - {node.name} - ({after.name} if after else set()), "never")
    return found


def layer_effects(
    quantizer: StaticQuantizer,
    placement: Placement,
    singles: dict[str, Placement],
    examples: Examples,
    wanted: Floats,
    progress: Progress,
) -> list[LayerEffect]:
    """What each layer alone does to the answers, the worst first.

    Args:
        quantizer: calibrated for `placement` and `singles`, and fitted.
        placement: what the recipe's settings run in int8.
        singles: as `alone` gives them.
        wanted: answers of the float model to the examples.
    """
    found: dict[str, Effect] = {}
    trunk = Trunk(quantizer.network, examples.rows)
    starts = {name: trunk.start_of(single.tensors) for name, single in singles.items()}
    for number, name in enumerate(sorted(singles, key=starts.__getitem__)):
        progress(number / len(singles), f"{name} alone")
        got = trunk.answers(quantizer.write(singles[name])[0], starts[name])
        found[name] = effect(got, wanted, examples)
    return _records(quantizer, placement, found)


def _records(quantizer: StaticQuantizer, placement: Placement, found: dict[str, Effect]) -> list[LayerEffect]:
    wiring, shapes = Wiring(quantizer.network), shapes_of(quantizer.network)
    predicted = milliseconds(quantizer.network)
    total = sum(item.error for item in found.values()) or 1.0
    records = []
    for node in quantizer.network.graph.node:
        if node.name not in found:
            continue
        measured = found[node.name]
        shape = list(wiring.constants[node.input[1]].dims)
        # float32 in place of int8, less a scale for each channel of the weight and of the bias
        scales = shape[weight_axis(node)] if quantizer.how.per_channel else 1
        biased = len(node.input) > 2 and bool(node.input[2])
        others = placement.nodes - {node.name}
        records.append(
            LayerEffect(
                name=_title(node.input[1]),
                node=node.name,
                operator=node.op_type,
                weight_shape=shape,
                macs=macs_of(node, wiring, shapes),
                sqnr_db=measured.sqnr_db,
                error_share=measured.error / total,
                alike=measured.alike,
                quality=measured.quality,
                int8=node.name in placement.nodes,
                float_bytes=3 * prod(shape) - 4 * scales * (2 if biased else 1),
                float_ms=predicted(others) - predicted(others | {node.name}),
            )
        )
    return worst_first(records)


def worst_first(records: Sequence[LayerEffect]) -> list[LayerEffect]:
    """By the error that they make; equal ones stay in the graph's order."""
    return sorted(records, key=lambda record: -record.error_share)


def why_float(item: LayerEffect) -> str:
    """Why a layer stays float, and what that costs, for people."""
    noise = "no error" if item.sqnr_db is None else f"{item.sqnr_db:.1f} dB"
    return (
        f"{item.name} stays float: alone in int8 it makes {item.error_share:.0%} of the error of all layers ({noise}); "
        f"that costs {item.float_bytes:,} bytes and, by the table of kernel costs, {item.float_ms or 0:+.3f} ms"
    )


def _title(weight: str) -> str:
    for suffix in _SUFFIXES:
        weight = weight.removesuffix(suffix)
    return weight
