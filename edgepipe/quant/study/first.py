"""Whether the first layers make most of the error of an int8 network: what they round, all others build upon.

They read few channels and hold few weights, so that int8 saves next to nothing there; behind them each channel has a
span of its own, but all share one scale.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from edgepipe.contract import Split
from edgepipe.quant.place.placement import Placement, Wiring, milliseconds
from edgepipe.quant.study.answers import answers, effect, examples_of
from edgepipe.quant.write.qdq import WEIGHTED
from edgepipe.quant.write.static import StaticQuantizer

FIRST_LAYERS = "the first layers make most of the error, and int8 saves next to nothing there"
MOST_LAYERS = 3
MOST_TIME, MOST_BYTES = 0.03, 0.03
"""Of a network in int8, by the table of kernel costs and by its weights: what they may cost in float."""
GOOD_ENOUGH_DB = 25.0
"""Noise of 6% of the answers; below, nothing is given up for fewer."""
WORTH_IT = 0.6
"""The error with them in float, of that without, as energies: no more, or they stay int8."""
_EXAMPLES = 8


def without_first(
    quantizer: StaticQuantizer, placement: Placement, again: Callable[[set[str]], Placement]
) -> tuple[Placement, str | None]:
    """A placement whose first layers are float where that wins much and costs little; and what to tell people.

    Args:
        quantizer: calibrated and fitted for `placement`.
        again: makes the placement with these nodes in float, too.
    Raises:
        PassError: a tensor holds NaN or infinity.
    """
    layers = _layers(quantizer, placement)
    if not layers:
        return placement, None
    with examples_of(quantizer.data, Split.CALIBRATION, _EXAMPLES) as examples:
        wanted = answers(quantizer.network, examples.rows)
        whole = effect(answers(quantizer.write(placement)[0], examples.rows), wanted, examples)
        if whole.sqnr_db is None or whole.sqnr_db >= GOOD_ENOUGH_DB or not np.isfinite(whole.error):
            return placement, None
        predicted = milliseconds(quantizer.network)
        for count in range(1, len(layers) + 1):
            names = layers[:count]
            other = again(set(names))
            if predicted(other.nodes) > (1 + MOST_TIME) * predicted(placement.nodes):
                continue
            quantizer.calibrate([other])
            found = effect(answers(quantizer.write(other)[0], examples.rows), wanted, examples)
            if found.error <= WORTH_IT * whole.error:
                other.kept_float.update(dict.fromkeys(names, FIRST_LAYERS))
                shown = ", ".join(f"'{name}'" for name in names)
                return other, (
                    f"{shown} {'stay' if len(names) > 1 else 'stays'} float: on calibration examples this lowers the "
                    f"error of the answers to {found.error / whole.error:.0%} (from {whole.sqnr_db:.1f} to "
                    f"{found.sqnr_db or np.inf:.1f} dB), and costs next to nothing. keep_float=never has all in int8"
                )
    return placement, None


def _layers(quantizer: StaticQuantizer, placement: Placement) -> list[str]:
    """The first layers, as many as cost hardly any bytes in float; never half of all."""
    wiring = Wiring(quantizer.network)
    layers = [n for n in quantizer.network.graph.node if n.name in placement.nodes and n.op_type in WEIGHTED]
    weights = [prod(wiring.constants[node.input[1]].dims) for node in layers]
    most = min(MOST_LAYERS, (len(layers) - 1) // 2)
    return [
        node.name
        for place, node in enumerate(layers[:most])
        if 3 * sum(weights[: place + 1]) <= MOST_BYTES * sum(weights)
    ]
