"""Which layers lose channels together: torch-pruning's dependency graph, searched within bounds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch_pruning as tp
from torch import nn
from torch.nn.utils import parametrize
from torch_pruning import _helpers
from torch_pruning.dependency import Group, index_mapping
from torch_pruning.dependency.dependency import Dependency

from edgepipe.errors import PassError
from edgepipe.pruning.narrowing import Reader

_MOST_INDICES = 4_000_000
"""Of one group's search: a hundred times what a wide network needs, and some seconds."""

ROOTS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)

Corrections = Mapping[tuple[str, str], Sequence[Sequence[int]]]
"""By the first layer of a group and a module that reads it: the module's input columns of each channel."""

IN_GROUPS = "a convolution in several groups would have to lose as many channels in each of them"
"""Said only where nothing can be cut: it goes without saying in a network that is made of such layers."""


class _Lost(Exception):
    """A group's search leads nowhere; `makes` are the modules it went through."""

    def __init__(self, what: str, group: Any) -> None:
        super().__init__(what)
        self.modules = [dep.target.module for dep, _ in group.items]


class _Graph(tp.DependencyGraph):  # type: ignore[misc]
    """The same groups in the same order, found with bounds: indices that a module has not, and endless searches."""

    def get_pruning_group(self, module: nn.Module, pruning_fn: Any, idxs: Sequence[int]) -> Any:
        if isinstance(module, tp.ops.TORCH_CONV) and module.groups == module.out_channels and module.out_channels > 1:
            pruning_fn = tp.prune_depthwise_conv_out_channels
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of networks too deep for its shapes: what is cut is compared anyway
            index_mapping.update_index_mapping(self)
        root = self.module2node[module]
        hybrid = [_helpers._HybridIndex(idx=index, root_idx=index) for index in idxs]
        group = Group()
        group.add_dep(Dependency(pruning_fn, pruning_fn, source=root, target=root), hybrid)
        added = {(root, pruning_fn, tuple(hybrid))}
        visited, stack, volume = set(), [(group[0].dep, hybrid)], 0
        while stack:
            dep, indices = stack.pop()
            visited.add(dep.target)
            for further in dep.target.dependencies:
                if not further.is_triggered_by(dep.handler):
                    continue
                found = indices
                for mapping in further.index_mapping:
                    if mapping is not None:
                        found = mapping(found)
                if not found:
                    continue
                key = (further.target, further.handler, tuple(found))
                if further.target in visited and key in added:
                    continue
                volume += len(found)
                if volume > _MOST_INDICES:
                    raise _Lost("the channels that belong together have no end", group)
                self._check(further, found, group)
                added.add(key)
                group.add_dep(further, found)
                stack.append((further, found))
        merged = Group()
        for dep, indices in group.items:
            merged.add_and_merge(dep, indices)
        merged._DG = self
        for at in range(len(merged)):
            hybrid = merged[at].idxs
            merged[at] = item(merged[at].dep, _helpers.to_plain_idxs(hybrid), _helpers.to_root_idxs(hybrid))
        return merged

    def _check(self, dep: Any, indices: Any, group: Any) -> None:
        module = dep.target.module
        if isinstance(module, nn.Module) and module in self._module2name:
            out = self.is_out_channel_pruning_fn(dep.handler)
            has = self.get_out_channels(module) if out else self.get_in_channels(module)
            if has is not None and max(index.idx for index in indices) >= has:
                raise _Lost(f"'{self._module2name[module]}' does not have the channels as they were before it", group)


def item(dep: Any, indices: Sequence[int], roots: Sequence[int]) -> Any:
    """An item of a group, with which channel of the group each index is."""
    made = _helpers.GroupItem(dep, list(indices))
    made.root_idxs = list(roots)
    return made


def is_depthwise(module: Any) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and module.groups > 1
        and module.groups == module.out_channels == module.in_channels
    )


def remade(module: nn.Module) -> bool:
    """Whether the weight is computed anew before each run (weight_norm, spectral_norm, any parametrization)."""
    if parametrize.is_parametrized(module):
        return True
    return any("Norm" in type(hook).__name__ for hook in module._forward_pre_hooks.values())


def settle(network: nn.Module, example: torch.Tensor) -> None:
    """Let weights that are computed anew before each run be plain tensors, so that the network can be copied."""
    if any(remade(module) for module in network.modules()):
        with torch.no_grad():
            network(example)


def corrected(graph: Any, group: Any, root: str, names: Mapping[int, str], known: Corrections) -> None:
    """Give the readers of a group of all channels the columns that were found to be theirs."""
    for at, (dep, _) in enumerate(group.items):
        name = names.get(id(dep.target.module))
        if name is not None and (root, name) in known and reads(graph, dep):
            owners = known[root, name]
            pairs = [(column, channel) for channel, columns in enumerate(owners) for column in columns]
            group[at] = item(dep, [column for column, _ in pairs], [channel for _, channel in pairs])


def reads(graph: Any, dep: Any) -> bool:
    """Whether an item of a group stands for what its module reads, not for what it makes."""
    module = dep.target.module
    if isinstance(module, ROOTS) and not is_depthwise(module):
        return not graph.is_out_channel_pruning_fn(dep.handler)
    return isinstance(module, nn.Module)


def build(network: nn.Module, example: torch.Tensor, label: str) -> Any:
    """The dependency graph of a network.

    Raises:
        PassError: it cannot be followed.
    """
    for parameter in network.parameters():
        parameter.requires_grad_(True)  # the dependency graph is traced through autograd
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that parameters outside layers (a class token) lose channels too
            return _Graph().build_dependency(network, example_inputs=example)
    except Exception as error:
        raise PassError(
            f"passes.{label}: the network cannot be followed ({type(error).__name__}: {error}), so no channel of it "
            "can be removed. Leave this step out"
        ) from error


def groups(
    graph: Any, names: Mapping[int, str], ignored: Sequence[nn.Module], barred: dict[str, str], known: Corrections
) -> Iterator[tuple[Any, list[str], list[Reader]]]:
    """The groups that may lose channels: each with the layers that make and that read them.

    Args:
        names: of the modules, by their id.
        barred: first layers of groups that stay as they are, and why; filled with those found here.
        known: columns that are other than torch-pruning takes them to be.
    """
    visited: set[int] = set()
    for module in list(graph.module2node):
        name = names.get(id(module))
        if name is None or not isinstance(module, ROOTS) or module in ignored or id(module) in visited:
            continue
        if name in barred:
            continue
        try:
            pruner = graph.get_pruner_of_module(module)
            group = graph.get_pruning_group(
                module, pruner.prune_out_channels, list(range(pruner.get_out_channels(module)))
            )
        except _Lost as lost:
            barred[name] = str(lost)
            visited.update(id(other) for other in lost.modules if isinstance(other, ROOTS))
            continue
        except Exception as error:
            barred[name] = f"what belongs to its channels cannot be found ({type(error).__name__}: {error})"
            continue
        items = group.items
        makes = [dep.target.module for dep, _ in items if graph.is_out_channel_pruning_fn(dep.handler)]
        visited.update(id(other) for other in makes)
        if any(other in ignored for other in makes if isinstance(other, nn.Module)):
            continue
        if (why := _unfit([dep.target.module for dep, _ in items], names)) is not None:
            barred[name] = why
            continue
        corrected(graph, group, name, names, known)
        wide = [
            each for each in group if id(each.dep.target.module) in names and isinstance(each.dep.target.module, ROOTS)
        ]
        made = [names[id(each.dep.target.module)] for each in wide if graph.is_out_channel_pruning_fn(each.dep.handler)]
        read = [
            Reader(names[id(each.dep.target.module)], each.idxs, each.root_idxs)
            for each in wide
            if not graph.is_out_channel_pruning_fn(each.dep.handler)
        ]
        yield group, made, read


def _unfit(modules: Sequence[Any], names: Mapping[int, str]) -> str | None:
    """Why a group of layers stays as it is."""
    for module in modules:
        if isinstance(module, nn.Module) and remade(module):
            return (
                f"the weight of '{names[id(module)]}' is computed anew before each run; "
                "bake it in (remove_parametrizations, remove_weight_norm, remove_spectral_norm) to cut it"
            )
        if isinstance(module, nn.RNNBase):
            return f"'{names[id(module)]}' is recurrent"
    heads = max((getattr(module, "groups", 1) for module in modules), default=1)
    if heads > 1 and not any(is_depthwise(module) for module in modules):
        return IN_GROUPS
    return None
