"""Removing groups of channels from a network, through torch-pruning's dependency graph."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
import torch_pruning as tp
from torch import nn
from torch.nn.utils import prune
from torchvision.models import VisionTransformer

from edgepipe.artifact import Artifact
from edgepipe.contract import Progress
from edgepipe.errors import PassError
from edgepipe.models import torch_artifact
from edgepipe.models.allocation import LatencyTable, Root, allocate
from edgepipe.models.narrowing import Reader

Weigh = Callable[[Sequence[tuple[Sequence[Reader], torch.Tensor]]], list[list[float] | None]]
"""From the readers of each group and the scores of its channels to what narrowing costs, as `narrowing.costs` does."""

_WIDE = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)


def kept_channels(channels: int, ratio: float, round_to: int) -> int:
    """How many of `channels` stay: rounded to the nearest multiple of `round_to`, at least one, never more.

    torch-pruning itself floors: a ratio of 0.3 would halve a stage of 64 channels at round_to 32.
    """
    wanted = channels * (1 - ratio)
    if channels <= round_to:
        return channels
    return min(channels, max(round_to, int(wanted / round_to + 0.5) * round_to))


def _classifiers(network: nn.Module, example: torch.Tensor) -> list[nn.Module]:
    """The layers whose output is the network's output: found by who returns as many values as the network."""
    last: list[nn.Module] = []
    hooks = [
        module.register_forward_hook(lambda module, _inputs, _output: last.append(module))
        for module in network.modules()
        if isinstance(module, _WIDE)
    ]
    with torch.no_grad():
        network(example)
    for hook in hooks:
        hook.remove()
    return last[-1:]


def count(network: nn.Module, example: torch.Tensor) -> tuple[int, int]:
    """(multiply-accumulates, parameters) for one example."""
    macs, parameters = tp.utils.count_ops_and_params(network, example)
    return int(macs), int(parameters)


def _groups(
    network: nn.Module, example: torch.Tensor, keep: Sequence[nn.Module], label: str
) -> tuple[Any, list[tuple[Any, list[str], list[Reader]]]]:
    """The dependency graph, and the groups that may lose channels: each with the layers that make and that read them.

    Raises:
        PassError: the dependency graph cannot follow the network.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and type(module) is not nn.Conv2d:
            raise PassError(
                f"passes.{label}: module '{name}' is a {type(module).__name__}, not exactly nn.Conv2d: what its own "
                "forward does cannot be followed. Replace it by nn.Conv2d, or prune no channels"
            )
    ignored = [*keep, *_classifiers(network, example)]
    names = {id(module): name for name, module in network.named_modules()}
    for parameter in network.parameters():
        parameter.requires_grad_(True)  # the dependency graph is traced through autograd
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that parameters outside layers (a class token) lose channels too
            graph = tp.DependencyGraph().build_dependency(network, example_inputs=example)
    except Exception as error:
        raise PassError(
            f"passes.{label}: the network cannot be followed ({type(error).__name__}: {error}), so no channel of it "
            "can be removed. Leave this step out"
        ) from error
    found: list[tuple[Any, list[str], list[Reader]]] = []
    for group in graph.get_all_groups(ignored_layers=ignored, root_module_types=list(_WIDE)):
        heads = max((getattr(item.dep.target.module, "groups", 1) for item in group), default=1)
        depthwise = any(_is_depthwise(item.dep.target.module) for item in group)
        if heads > 1 and not depthwise:
            continue  # grouped convolutions would need equal cuts in every group
        if any(
            item.dep.target.module in ignored and graph.is_out_channel_pruning_fn(item.dep.handler) for item in group
        ):
            continue
        makes: list[str] = []
        feeds: list[Reader] = []
        for item in group:
            name = names.get(id(item.dep.target.module))
            if name is None or not isinstance(item.dep.target.module, _WIDE):
                continue
            if graph.is_out_channel_pruning_fn(item.dep.handler):
                makes.append(name)
            else:
                feeds.append(Reader(name, item.idxs, item.root_idxs))
        found.append((group, makes, feeds))
    return graph, found


def coupled(network: nn.Module, input_shape: tuple[int, ...], label: str) -> list[list[str]]:
    """Names of the layers that lose channels together, one list for each group that `remove` may cut.

    Raises:
        PassError: as `remove`.
    """
    order = {name: number for number, (name, _) in enumerate(network.named_modules())}
    groups = _groups(network, torch.zeros((2, *input_shape)), (), label)[1]
    return [sorted(set(makes), key=order.__getitem__) for _, makes, _ in groups]


def remove(
    network: nn.Module,
    input_shape: tuple[int, ...],
    *,
    ratio: float,
    importance: Any,
    across: bool,
    round_to: int,
    keep: Sequence[nn.Module],
    label: str,
    progress: Progress,
    widths: dict[str, int] | None = None,
    latency: tuple[LatencyTable, dict[str, tuple[int, int]], float, Weigh] | None = None,
    kept_outputs: dict[str, list[int]] | None = None,
    ratios: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Remove channels in place; returns what was achieved.

    Args:
        importance: scores of a group, as torch-pruning's importances give them.
        widths: channels of each group before the first of several cuts, by module; filled when empty. The share is
            then of these, so that rounding does not add up. Not used with `across`, which ranks what is left.
        latency: a table, the shapes of its layers at full width, how many times faster they shall be, and who weighs
            what that costs, in place of a share.
        kept_outputs: filled with the indices of the outputs left, for every layer that loses some.
        ratios: shares for the layers inside a module, in place of `ratio`; not used with `across` or `latency`.

    Raises:
        PassError: the dependency graph cannot follow the network, nothing can be removed, or a module of `ratios`
            holds no layer that can lose channels.
    """
    example = torch.zeros((2, *input_shape))
    graph, groups = _groups(network, example, keep, label)
    macs_before, parameters_before = count(network, example[:1])
    names = {id(module): name for name, module in network.named_modules()}
    roots = []
    parts: list[tuple[list[str], list[Reader]]] = []
    for number, (group, makes, feeds) in enumerate(groups):
        progress(0.1 + 0.3 * number / max(1, len(groups)), "ranking channels")
        first = group[0]
        module, function = first.dep.target.module, first.dep.handler
        channels = graph.get_out_channels(module)
        scores = importance(group)
        if scores is None or channels != len(scores):
            continue
        # An attention layer splits its width among its heads.
        attention = [getattr(item.dep.target.module, "num_heads", 1) for item in group]
        multiple = math.lcm(round_to, *attention)
        whole = channels if widths is None else widths.setdefault(names[id(module)], channels)
        roots.append((module, function, channels, whole, scores.detach(), multiple))
        parts.append((makes, feeds))
    if not roots:
        raise PassError(f"passes.{label}: no group of channels can be removed. Remove this step, or shorten `exclude`")
    found: dict[str, Any] = {}
    if latency is None:
        makers = [makes for makes, _ in parts]
        for name in ratios or {}:
            if not any(_inside(layer, name) for makes in makers for layer in makes):
                raise PassError(f"passes.{label}.ratios.{name}: it holds no layer that can lose channels. Remove it")
        targets = _targets(roots, [_share(makes, ratios or {}, ratio) for makes in makers], ratio, across)
    else:
        targets, before, after = _by_latency(network, roots, parts, latency, round_to)
        kept_by_module = {names[id(root[0])]: kept for root, kept in zip(roots, targets, strict=True)}
        found = {"layers_milliseconds": [before, after], "kept_channels": kept_by_module}
    removed = wide = 0
    for (module, function, channels, _, scores, _), kept in zip(roots, targets, strict=True):
        wide += channels
        if kept >= channels:
            continue
        order = torch.sort(scores, stable=True).indices[: channels - kept]
        group = graph.get_pruning_group(module, function, idxs=sorted(order.tolist()))
        if graph.check_pruning_group(group):
            if kept_outputs is not None:
                _note_kept(graph, group, names, kept_outputs)
            group.prune()
            removed += channels - kept
    progress(0.8, "checking")
    if isinstance(network, VisionTransformer):
        network.hidden_dim = network.conv_proj.out_channels  # its forward keeps the width a second time
    try:
        with torch.no_grad():
            answers = network(example)
    except Exception as error:
        raise PassError(
            f"passes.{label}: the pruned network does not run any more ({type(error).__name__}: {error}): its forward "
            "keeps a width of its own. Name the layers of that width in `exclude`, or leave this step out"
        ) from error
    if not bool(torch.isfinite(answers).all()):
        raise PassError(f"passes.{label}: the pruned network answers NaN: its weights were broken before")
    macs, parameters = count(network, example[:1])
    return {
        **found,
        "wanted_channel_share": ratio,
        "removed_channel_share": removed / wide,
        "macs_left_share": macs / macs_before,
        "parameters_left_share": parameters / parameters_before,
    }


def _by_latency(
    network: nn.Module,
    roots: list[Any],
    parts: list[tuple[list[str], list[Reader]]],
    latency: tuple[LatencyTable, dict[str, tuple[int, int]], float, Weigh],
    round_to: int,
) -> tuple[list[int], float, float]:
    """Channels to keep in every group, and the table's milliseconds before and after."""
    table, shapes, times, weigh = latency
    lost = weigh([(feeds, root[4]) for root, (_, feeds) in zip(roots, parts, strict=True)])
    modules: dict[str, Any] = dict(network.named_modules())
    known: list[Root] = []
    for root, (makes, feeds), costs in zip(roots, parts, lost, strict=True):
        if costs is not None:
            shares: dict[str, float] = {}
            for reader in feeds:
                layer = modules[reader.layer]
                inputs = getattr(layer, "in_channels", None) or layer.in_features
                shares[reader.layer] = shares.get(reader.layer, 0.0) + len(reader.inputs) / inputs
            known.append(Root(root[3], costs, shares, makes))
    if not known:
        return [root[2] for root in roots], 0.0, 0.0
    chosen, before, after = allocate(known, table, shapes, times, round_to)
    left = iter(chosen)
    # Whole heads stay: what was chosen is rounded up to them. What nobody could weigh keeps its width.
    return (
        [
            root[2] if costs is None else min(root[2], -(-next(left) // root[5]) * root[5])
            for root, costs in zip(roots, lost, strict=True)
        ],
        before,
        after,
    )


def _note_kept(graph: Any, group: Any, names: dict[int, str], kept: dict[str, list[int]]) -> None:
    for item in group:
        module = item.dep.target.module
        if isinstance(module, _WIDE) and graph.is_out_channel_pruning_fn(item.dep.handler):
            name = names[id(module)]
            left = kept.get(name, list(range(graph.get_out_channels(module))))
            gone = set(item.idxs)
            kept[name] = [channel for channel in left if channel not in gone]


def told(facts: dict[str, Any]) -> str:
    """What was achieved, in a sentence: rounding to whole multiples may have changed the share asked for."""
    wanted = facts.get("wanted_channel_share")
    asked = "" if wanted is None else f" ({wanted:.0%} asked for)"
    return (
        f"{facts['removed_channel_share']:.0%} of the channels removed{asked}; {facts['macs_left_share']:.0%} of the "
        f"multiply-accumulates and {facts['parameters_left_share']:.0%} of the parameters are left"
    )


def magnitude(norm: int) -> Any:
    """Scores by the norm of a group's weights."""
    return tp.importance.MagnitudeImportance(p=norm)


def taylor(network: nn.Module, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Any:
    """Scores by how much the loss would change: weight times gradient, summed over a group.

    Source: Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019, arXiv:1906.10771.
    """
    network.eval()  # batch statistics of a few examples would only add noise
    network.zero_grad()
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    for inputs, labels in batches:
        torch.autograd.backward(nn.functional.cross_entropy(network(inputs), labels, reduction="sum"))
    return tp.importance.TaylorImportance()


def _is_depthwise(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and module.groups > 1
        and module.groups == module.out_channels == module.in_channels
    )


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


def _targets(roots: list[Any], shares: list[float], ratio: float, across: bool) -> list[int]:
    """Channels to keep in every group; `ratio` of all of them where they are ranked `across` groups."""
    if not across:
        return [
            min(channels, kept_channels(whole, share, multiple))
            for (_, _, channels, whole, _, multiple), share in zip(roots, shares, strict=True)
        ]
    # One ranking over all groups: scores are made comparable by each group's mean (as DepGraph does).
    relative = [scores / scores.mean().clamp_min(1e-12) for *_, scores, _ in roots]
    everything = torch.cat(relative)
    threshold = torch.sort(everything).values[min(len(everything) - 1, int(ratio * len(everything)))]
    kept = []
    for (_, _, channels, _, _, multiple), scores in zip(roots, relative, strict=True):
        share = float((scores < threshold).float().mean())
        kept.append(kept_channels(channels, min(share, 0.95), multiple))
    return kept


def mask_zeros(network: nn.Module, names: list[str]) -> dict[str, Any]:
    """Mask again what was masked before the cut: the zeros among the weights that stay."""
    modules = dict(network.named_modules())
    for name in names:
        module = modules[name]
        prune.custom_from_mask(module, "weight", (module.weight != 0).to(torch.float32))  # type: ignore[no-untyped-call]
    return {"op": "mask", "modules": names}


def check_reload(network: nn.Module, artifact: Artifact, *, label: str) -> None:
    """The artifact must answer exactly as the network it was written from.

    Raises:
        PassError: it does not; such an artifact would be wrong from here on.
    """
    torch.manual_seed(0)
    example = torch.randn((2, *artifact.signature.input_shape))
    again = torch_artifact.build(artifact)
    with torch.no_grad():
        wanted, got = network.eval()(example), again(example)
    if not torch.equal(wanted, got):
        raise PassError(
            f"passes.{label}: the pruned network cannot be written down: after reloading it answers differently by "
            f"{float((wanted - got).abs().max()):.3g}. Its forward keeps a width that is no attribute of a module"
        )
