"""Widths that fit a latency: what each layer takes, looked up in a measured table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict
from torch import nn

from edgepipe.contract.traits import FILES, LATENCY_TABLE

TABLE_FILE = FILES[LATENCY_TABLE]

Step = int | Literal["auto"]


def step(channels: int, round_to: Step) -> int:
    """What the channels left of so many are a multiple of.

    `auto` fits the width: 16, which fills int8 kernels, from 64 channels on; a quarter of it, as a power of two, below;
    less than 16 channels stay, since they buy no time.
    """
    if round_to != "auto":
        return round_to
    return channels if channels < 16 else min(16, 1 << (channels.bit_length() - 3))


class LayerTable(BaseModel):
    """Milliseconds of one layer by its numbers of channels; `milliseconds[i][j]` is for `ins[i]` and `outs[j]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ins: tuple[int, ...]
    outs: tuple[int, ...]
    milliseconds: tuple[tuple[float, ...], ...]

    def at(self, channels_in: float, channels_out: float) -> float:
        """Interpolated between the measured widths; proportional below the least."""
        grid = np.asarray(self.milliseconds)
        rows = [_between(channels_out, self.outs, grid[i]) for i in range(len(self.ins))]
        return _between(channels_in, self.ins, np.asarray(rows))


class LatencyTable(BaseModel):
    """Measured latencies of every convolution and linear layer, by module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: str
    threads: int
    processor: str
    layers: dict[str, LayerTable]

    def write(self, folder: Path) -> None:
        """Beside a model's files, into the artifact."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, indent=1)
        (folder / TABLE_FILE).write_text(text, encoding="utf-8")


def _between(width: float, known: Sequence[int], values: Any) -> float:
    if width <= known[0]:
        return float(values[0]) * width / known[0] if len(known) > 1 else float(values[0])
    return float(np.interp(width, known, values))


def grid(channels: int, round_to: Step, fixed: bool) -> tuple[int, ...]:
    """Widths to measure: an eighth, quarter, half, three quarters and all, rounded; only all where fixed."""
    if fixed:
        return (channels,)
    each = step(channels, round_to)
    wanted = {max(1, round(channels * share / each)) * each for share in (0.125, 0.25, 0.5, 0.75)}
    return tuple(sorted({width for width in wanted if width < channels} | {channels}))


class Root:
    """A group of coupled channels: what narrowing it costs, and the layers that get narrower with it.

    Args:
        whole: channels before the first cut.
        lost: cost of removing 0, 1, 2 … of the channels there are now; in one unit for all groups.
        feeds: layers that read the channels, and what share of their inputs they are (less than 1 after a concat).
        makes: layers whose outputs they are.
    """

    def __init__(self, whole: int, lost: Sequence[float], feeds: Mapping[str, float], makes: Sequence[str]) -> None:
        self.whole, self.lost, self.feeds, self.makes = whole, lost, feeds, makes
        self.kept = len(lost) - 1


def allocate(
    roots: Sequence[Root],
    table: LatencyTable,
    shapes: Mapping[str, tuple[int, int]],
    times_faster: float,
    round_to: Step,
) -> tuple[list[int], float, float]:
    """Channels to keep in each group, and the table's milliseconds before any cut and after.

    Greedy: again and again the cut, of one group and in steps of `round_to` channels, that costs the least for the time
    it saves, until the layers of the table are `times_faster` than at full width. A cut may be of several steps: times
    do not fall with each, since kernels take channels by the dozen, and clocks have ticks. More than is wanted counts
    for nothing.

    Args:
        shapes: (channels in, channels out) of every layer at full width.
    """
    before = {name: layer.at(*shapes[name]) for name, layer in table.layers.items() if name in shapes}
    kept = [root.kept for root in roots]
    read = {name: [(at, root.feeds[name]) for at, root in enumerate(roots) if name in root.feeds] for name in before}
    made = {name: next((at for at, root in enumerate(roots) if name in root.makes), None) for name in before}
    known: dict[tuple[str, float, float], float] = {}

    def cost(name: str, widths: list[int]) -> float:
        share_in = 1 - sum(share * (1 - widths[at] / roots[at].whole) for at, share in read[name])
        at = made[name]
        share_out = 1.0 if at is None else widths[at] / roots[at].whole
        full_in, full_out = shapes[name]
        key = (name, full_in * share_in, full_out * share_out)
        if key not in known:
            known[key] = table.layers[name].at(*key[1:])
        return known[key]

    now = {name: cost(name, kept) for name in before}
    target = sum(before.values()) / times_faster
    while (wanted := sum(now.values()) - target) > 0:
        best: tuple[float, int, int, dict[str, float]] | None = None
        for number, root in enumerate(roots):
            names = {*root.feeds, *root.makes} & before.keys()
            each = step(root.whole, round_to)
            for narrower in range((kept[number] - 1) // each * each, 0, -each):
                widths = [*kept]
                widths[number] = narrower
                touched = {name: cost(name, widths) for name in names}
                saved = min(wanted, sum(now[name] - value for name, value in touched.items()))
                lost = root.lost[root.kept - narrower] - root.lost[root.kept - kept[number]]
                if saved > 0 and (best is None or lost / saved < best[0]):
                    best = (lost / saved, number, narrower, touched)
        if best is None:
            break  # nothing is left that saves time
        kept[best[1]] = best[2]
        now |= best[3]
    return kept, sum(before.values()), sum(now.values())


def layer_shapes(network: nn.Module) -> dict[str, tuple[int, int]]:
    """(channels in, channels out) of every convolution and linear layer."""
    found = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            found[name] = (module.in_channels, module.out_channels)
        elif isinstance(module, nn.Linear):
            found[name] = (module.in_features, module.out_features)
    return found
