"""One cut of a network's channels: which go, taking them out, and what was gone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch_pruning.dependency import Group

from edgepipe.contract import Progress
from edgepipe.errors import PassError
from edgepipe.pruning import allocation, columns, dependencies, heads
from edgepipe.pruning.narrowing import Reader
from edgepipe.pruning.silenced import Cut, Difference, Left

Weigh = Callable[[Sequence[tuple[Sequence[Reader], torch.Tensor]]], list[list[float] | None]]
"""From the readers of each group and the scores of its channels to what narrowing costs, as `narrowing.costs` does."""


@dataclass(frozen=True)
class Latency:
    """Widths by time: a table, the shapes of its layers at full width, and who weighs what narrowing costs.

    The layers become `times` faster now and `goal` times after the last of several cuts.
    """

    table: allocation.LatencyTable
    shapes: dict[str, tuple[int, int]]
    times: float
    goal: float
    weigh: Weigh


@dataclass(frozen=True)
class Wanted:
    """What to cut.

    Args:
        ratio: share of the channels that go, in [0, 1).
        importance: scores of a group, as torch-pruning's importances give them.
        across: rank the channels of all groups together; else each group loses its share.
        round_to: what the channels that stay are a multiple of; `auto`: as the width of each group has it.
        keep: layers, or modules of some, that stay as wide as they are.
        widths: channels of each group before the first of several cuts, by module; filled when empty. The share is
            then of these, so that rounding does not add up. Not used with `across`, which ranks what is left.
        latency: how many times faster the layers shall be, in place of a share.
        ratios: shares for the layers inside a module, in place of `ratio`; not used with `across` or `latency`.
    """

    ratio: float
    importance: Any
    across: bool = False
    round_to: allocation.Step = 1
    keep: Sequence[nn.Module] = ()
    widths: dict[str, int] | None = None
    latency: Latency | None = None
    ratios: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Root:
    """The first layer of a group that may lose channels.

    Args:
        whole: channels before the first of several cuts; `channels` are left.
        multiple: what the channels that stay are a multiple of.
    """

    name: str
    module: nn.Module
    function: Any
    channels: int
    whole: int
    scores: torch.Tensor
    multiple: int
    makes: list[str]
    feeds: list[Reader]
    group: Any


@dataclass
class Done:
    """What a cut did: `touched` are the modules of each group cut, by its first layer, those that read it first."""

    graph: Any
    roots: list[Root]
    found: dict[str, Any] = field(default_factory=dict)
    silent: Cut = field(default_factory=Cut)
    touched: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)
    removed: int = 0
    wide: int = 0
    broken: Difference | None = None


def cut(
    network: nn.Module,
    graph: Any,
    wanted: Wanted,
    barred: dict[str, str],
    known: dependencies.Corrections,
    label: str,
    progress: Progress,
) -> Done:
    """Cut once, in place; `broken` says where it failed on the way.

    Raises:
        PassError: nothing can be removed, or a module of `ratios` holds no layer that can lose channels.
    """
    names = {id(module): name for name, module in network.named_modules()}
    progress(0.1, "finding channels that belong together")
    roots = _roots(graph, names, wanted, barred, known, progress)
    if not roots:
        reasons = "".join(f"\n  '{name}': {why}" for name, why in list(barred.items())[:6] if why)
        raise PassError(
            f"passes.{label}: no group of channels can be removed. Remove this step, or shorten `exclude`{reasons}"
        )
    done = Done(graph, roots)
    if wanted.latency is None:
        for name in wanted.ratios:
            if not any(_inside(layer, name) for root in roots for layer in root.makes):
                raise PassError(f"passes.{label}.ratios.{name}: it holds no layer that can lose channels. Remove it")
        targets = _targets(roots, wanted)
    else:
        targets, before, after = _by_latency(network, roots, wanted.latency, wanted.round_to, label)
        kept_by_module = {root.name: kept for root, kept in zip(roots, targets, strict=True)}
        done.found = {"layers_milliseconds": [before, after], "kept_channels": kept_by_module}
    for root, kept in zip(roots, targets, strict=True):
        done.wide += root.channels
        if kept >= root.channels:
            continue
        order = torch.sort(root.scores, stable=True).indices[: root.channels - kept]
        try:
            if _take_out(graph, root, sorted(order.tolist()), names, done, known):
                done.removed += root.channels - kept
        except Exception as error:
            done.broken = Difference(root.name, f"it cannot be cut ({type(error).__name__}: {error})")
            done.touched[root.name] = ([], [root.name])
            break
    return done


def _roots(
    graph: Any,
    names: Mapping[int, str],
    wanted: Wanted,
    barred: dict[str, str],
    known: dependencies.Corrections,
    progress: Progress,
) -> list[Root]:
    roots: list[Root] = []
    for group, makes, feeds in dependencies.groups(graph, names, wanted.keep, barred, known):
        first = group[0]
        module, function = first.dep.target.module, first.dep.handler
        name, channels = names[id(module)], graph.get_out_channels(module)
        progress(0.1 + 0.3 * len(roots) / (len(roots) + 10), f"ranking channels of {name}")
        try:
            scores = wanted.importance(group)
        except Exception as error:
            barred[name] = f"its channels cannot be ranked ({type(error).__name__}: {error})"
            continue
        if scores is None or channels != len(scores):
            continue
        # An attention layer splits its width among its heads.
        attention = [getattr(item.dep.target.module, "num_heads", 1) for item in group]
        whole = channels if wanted.widths is None else wanted.widths.setdefault(name, channels)
        multiple = math.lcm(allocation.step(whole, wanted.round_to), *attention)
        roots.append(Root(name, module, function, channels, whole, scores.detach(), multiple, makes, feeds, group))
    return roots


def _take_out(
    graph: Any, root: Root, gone: list[int], names: Mapping[int, str], done: Done, known: dependencies.Corrections
) -> bool:
    """Remove the channels `gone` of a group everywhere, and note what is left; False: a layer would keep nothing."""
    group = graph.get_pruning_group(root.module, root.function, idxs=gone)
    layers = done.silent.layers
    reading: list[str] = []
    making: list[str] = []
    for at, (dep, _) in enumerate(group.items):
        name = names.get(id(dep.target.module))
        if name is not None and (root.name, name) in known and dependencies.reads(graph, dep):
            has = _left(layers, name, graph, dep.target.module).ins
            where = {column: at for at, column in enumerate(has or ())}
            owned = known[root.name, name]
            group[at] = dependencies.item(
                dep,
                [where[column] for channel in gone for column in owned[channel]],
                [channel for channel in gone for _ in owned[channel]],
            )
    if not graph.check_pruning_group(group):
        return False
    pruned = Group()
    pruned._DG = graph
    for dep, indices in group.items:
        module = dep.target.module
        name = names.get(id(module))
        if name is not None:
            (reading if dependencies.reads(graph, dep) else making).append(name)
        if isinstance(module, nn.MultiheadAttention):
            done.silent.heads[names[id(module)]] = heads.narrow(module, list(indices))
            continue
        if name is not None:
            _note(done.silent, name, graph, dep, set(indices))
        pruned.add_dep(dep, indices)
    done.touched[root.name] = (reading, making)
    pruned.prune(record_history=False)
    return True


def _left(layers: dict[str, Left], name: str, graph: Any, module: nn.Module) -> Left:
    left = layers.setdefault(name, Left())
    if left.ins is None:
        left.ins = list(range(graph.get_in_channels(module)))
    return left


def _note(silent: Cut, name: str, graph: Any, dep: Any, gone: set[int]) -> None:
    module = dep.target.module
    if isinstance(module, dependencies.ROOTS):
        reads = dependencies.reads(graph, dep)
        left = silent.layers.setdefault(name, Left())
        if reads and not dependencies.is_depthwise(module):
            ins = _left(silent.layers, name, graph, module).ins or []
            left.ins = [column for at, column in enumerate(ins) if at not in gone]
        else:
            outs = list(range(graph.get_out_channels(module))) if left.outs is None else left.outs
            left.outs = [channel for at, channel in enumerate(outs) if at not in gone]
            if reads:
                left.ins = list(left.outs)
    elif isinstance(module, (nn.LayerNorm, nn.GroupNorm)):
        kept = silent.norms.get(name) or list(range(graph.get_out_channels(module)))
        silent.norms[name] = [channel for at, channel in enumerate(kept) if at not in gone]


def owners(
    network: nn.Module, done: Done, layer: str | None, known: dependencies.Corrections, inputs: torch.Tensor
) -> dict[tuple[str, str], list[list[int]]]:
    """Columns of the readers of the groups that a layer reads, where they are other than the ones taken."""
    found: dict[tuple[str, str], list[list[int]]] = {}
    modules = dict(network.named_modules())
    for root in done.roots:
        reading, _ = done.touched.get(root.name, ([], []))
        if layer is None or layer not in reading or any(key[0] == root.name for key in known):
            continue
        makers = {
            name: (item.idxs, item.root_idxs)
            for item in root.group
            for name, module in modules.items()
            if module is item.dep.target.module and not dependencies.reads(done.graph, item.dep)
            if isinstance(module, dependencies.ROOTS)
        }
        readers = [name for name in dict.fromkeys(reading) if not isinstance(modules[name], nn.MultiheadAttention)]
        for name, owned in columns.owners(network, makers, readers, inputs).items():
            found[root.name, name] = owned
    return found


def bar(done: Done, fault: Difference, barred: dict[str, str]) -> bool:
    """Bar the groups that a fault comes from; False where none was cut."""
    if done.broken is not None and fault.layer is not None:
        barred[fault.layer] = fault.what
        return True
    where = f" {'behind' if fault.behind else 'at'} '{fault.layer}'" if fault.layer else ""
    touched = done.touched.items()
    reading = [root for root, (readers, _) in touched if fault.layer in readers]
    making = [root for root, (_, makers) in touched if fault.layer in makers]
    guilty = (making or reading if fault.behind else reading or making) or list(done.touched)
    for root in done.roots:
        if root.name in guilty:
            barred |= {name: barred.get(name, "") for name in root.makes}  # or another layer of the group begins it
            barred[root.name] = f"the network would answer otherwise than without these channels{where}: {fault.what}"
    return bool(guilty)


def _by_latency(
    network: nn.Module, roots: list[Root], latency: Latency, round_to: allocation.Step, label: str
) -> tuple[list[int], float, float]:
    """Channels to keep in every group, and the table's milliseconds before and after.

    Raises:
        PassError: no widths reach the goal.
    """
    lost = latency.weigh([(root.feeds, root.scores) for root in roots])
    modules: dict[str, Any] = dict(network.named_modules())
    known: list[allocation.Root] = []
    for root, costs in zip(roots, lost, strict=True):
        if costs is not None:
            shares: dict[str, float] = {}
            for reader in root.feeds:
                layer = modules[reader.layer]
                inputs = getattr(layer, "in_channels", None) or layer.in_features
                shares[reader.layer] = shares.get(reader.layer, 0.0) + len(reader.inputs) / inputs
            known.append(allocation.Root(root.whole, costs, shares, root.makes))
    if not known:
        return [root.channels for root in roots], 0.0, 0.0
    table, shapes = latency.table, latency.shapes
    _, before, least = allocation.allocate(known, table, shapes, float("inf"), round_to)
    if before < 0.99 * latency.goal * least:
        raise PassError(
            f"passes.{label}: by the table the layers become at most {before / least:.2f}x faster, and times_faster="
            f"{latency.goal:g} was asked for: no narrower multiple of round_to={round_to} saves more. Lower "
            "times_faster or round_to (here and in tabulate_latency); nothing was cut"
        )
    chosen, before, after = allocation.allocate(known, table, shapes, latency.times, round_to)
    left = iter(chosen)
    # Whole heads stay: what was chosen is rounded up to them. What nobody could weigh keeps its width.
    return (
        [
            root.channels if costs is None else min(root.channels, -(-next(left) // root.multiple) * root.multiple)
            for root, costs in zip(roots, lost, strict=True)
        ],
        before,
        after,
    )


def kept_channels(channels: int, ratio: float, round_to: int) -> int:
    """How many of `channels` stay: rounded to the nearest multiple of `round_to`, at least one, never more.

    torch-pruning itself floors: a ratio of 0.3 would halve a stage of 64 channels at round_to 32.
    """
    wanted = channels * (1 - ratio)
    if channels <= round_to:
        return channels
    return min(channels, max(round_to, int(wanted / round_to + 0.5) * round_to))


def _inside(layer: str, module: str) -> bool:
    return layer == module or layer.startswith(f"{module}.")


def _share(makes: Sequence[str], ratios: Mapping[str, float], otherwise: float) -> float:
    """What layers that lose channels together lose: the smallest of their own shares, each of the innermost module."""
    named = [
        ratios[max(modules, key=len)]
        for layer in makes
        if (modules := [module for module in ratios if _inside(layer, module)])
    ]
    return min(named, default=otherwise)


def _targets(roots: list[Root], wanted: Wanted) -> list[int]:
    """Channels to keep in every group; `ratio` of all of them where they are ranked `across` groups."""
    if not wanted.across:
        shares = [_share(root.makes, wanted.ratios, wanted.ratio) for root in roots]
        return [
            min(root.channels, kept_channels(root.whole, share, root.multiple))
            for root, share in zip(roots, shares, strict=True)
        ]
    # One ranking over all groups: scores are made comparable by each group's mean (as DepGraph does).
    relative = [root.scores / root.scores.mean().clamp_min(1e-12) for root in roots]
    everything = torch.cat(relative)
    threshold = torch.sort(everything).values[min(len(everything) - 1, int(wanted.ratio * len(everything)))]
    kept = []
    for root, scores in zip(roots, relative, strict=True):
        share = float((scores < threshold).float().mean())
        kept.append(kept_channels(root.channels, min(share, 0.95), root.multiple))
    return kept
