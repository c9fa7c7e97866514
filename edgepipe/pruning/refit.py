"""Fitting the layers of a changed network to what the unchanged one computed, by least squares; no label is read.

Source: He, Zhang and Sun, Channel Pruning for Accelerating Very Deep Neural Networks, ICCV 2017, arXiv:1707.06168,
whose second step this is, for every layer and for whatever chose the channels.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from edgepipe.contract import Job, Progress
from edgepipe.contract.artifact import Artifact
from edgepipe.torch.unlabelled import unlabelled

_RIDGE = 0.1
"""Share of the mean square of a layer's inputs that its old weights weigh: they stay where examples say nothing."""
_ROWS_PER_INPUT = 8
"""Rows of the least squares for each unknown; more change little."""
_LEAST_ROWS = 4096
"""Even where there are few unknowns: a depthwise convolution has nine."""
PLACES = 64
"""Places of a picture at most: neighbours say nearly the same."""
_KEPT_BYTES = 256 * 1024**2
"""Of a block's inputs; what is beyond is computed again for each layer of the block."""

Batches = Callable[[], Iterable[torch.Tensor]]


def refit(
    network: nn.Module,
    parent: nn.Module,
    kept: Mapping[str, Sequence[int]],
    batches: Batches,
    *,
    skip: Collection[str] = (),
    seed: int,
    progress: Progress,
) -> dict[str, float]:
    """Give every convolution and matrix product behind the first change new weights, in place, first to last.

    Each layer sees what the layers before it, fitted already, make of the examples, and its outputs come as near as
    possible to the parent's: so an error is mended where it arises, not handed on. Without a bias, a batch norm that
    directly follows takes the constant.

    Args:
        parent: the network before channels were removed or operators replaced; it has every layer of the network.
        kept: for every layer that lost outputs, the indices of those of the parent that are left.
        batches: float32 (n, *input_shape) examples, the same each time it is called.
        skip: names of layers that keep their weights.

    Returns:
        For every layer fitted the share of its outputs' variance that was not reached, in [0, 1].
    """
    network.eval()
    parent.eval()
    first = next(iter(batches()))[:2]
    layers, norms = _followed(network, first)
    ours, theirs = dict(network.named_modules()), dict(parent.named_modules())
    windows = Window(network), Window(parent)
    touched = False
    missed: dict[str, float] = {}
    for number, name in enumerate(layers):
        progress(number / len(layers), name)
        # What stands before the first layer with other inputs computes what it always did.
        touched = touched or _differ(_caught(network, ours[name], first)[0], _caught(parent, theirs[name], first)[0])
        if touched and name not in skip:
            missed[name] = _fit(name, ours[name], windows, kept.get(name), norms.get(name), batches, seed)
    return missed


def fit_to_parent(
    network: nn.Module,
    parent: nn.Module,
    kept: Mapping[str, Sequence[int]],
    model: Artifact,
    job: Job,
    *,
    examples: int,
    skip: Collection[str],
    progress: Progress,
) -> None:
    """`refit` on so many of the job's train examples, at most; how many, and what was not reached, become facts."""
    batches, count = unlabelled(job.data, model.signature, examples, job.seed)
    missed = refit(
        network,
        parent,
        kept,
        batches,
        skip=skip,
        seed=job.seed,
        progress=lambda share, text: progress(share, f"fitting {text}"),
    )
    job.facts["refit_examples"] = count
    job.facts["refit_unexplained_variance"] = {name: round(share, 4) for name, share in missed.items()}


def _differ(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape != other.shape or not torch.equal(one, other)


class _Seen(Exception):
    """The layer asked for has run; what comes after it need not."""


def _followed(network: nn.Module, example: torch.Tensor) -> tuple[list[str], dict[str, nn.Module]]:
    """Layers that can be fitted in the order they run, and the batch norm that reads the output of each."""
    runs: list[str] = []
    made: dict[int, str] = {}
    norms: dict[str, nn.Module] = {}
    alive: list[torch.Tensor] = []  # or a later tensor may get the same id

    def note(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                if id(inputs[0]) in made:
                    norms[made[id(inputs[0])]] = module
                return
            runs.append(name)
            made[id(output)] = name
            alive.append(output)

        return hook

    hooks = [
        module.register_forward_hook(note(name))
        for name, module in network.named_modules()
        if _is_fitted(module) or isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]
    with torch.no_grad():
        network(example)
    for hook in hooks:
        hook.remove()
    # A layer that runs twice has two outputs to please.
    return [name for name in runs if runs.count(name) == 1], norms


def _is_fitted(module: nn.Module) -> bool:
    if type(module) is nn.Conv2d:
        return module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return type(module) is nn.Linear


def _fit(
    name: str,
    layer: Any,
    windows: tuple[Window, Window],
    kept: Sequence[int] | None,
    norm: Any,
    batches: Batches,
    seed: int,
) -> float:
    """One least squares for each group of the layer; a depthwise convolution has one for each channel."""
    weight = layer.weight.detach()
    groups = getattr(layer, "groups", 1)
    outputs = len(weight) // groups
    old = weight.reshape(groups, outputs, -1).transpose(1, 2).double()
    unknowns = old.shape[1]
    total = torch.zeros((groups, unknowns + 1, unknowns + 1), dtype=torch.float64)
    wanted = torch.zeros((groups, unknowns + 1, outputs), dtype=torch.float64)
    squares = torch.zeros((groups, outputs), dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    rows = 0
    about: tuple[torch.Tensor, torch.Tensor] | None = None  # sums about zero cancel where inputs hardly vary
    for number, inputs in enumerate(batches()):
        x = _columns(layer, windows[0].caught(name, number, inputs)[0])
        y = windows[1].caught(name, number, inputs)[1]
        y = y.flatten(2).transpose(1, 2) if y.ndim == 4 else y.reshape(len(y), -1, y.shape[-1])
        if kept is not None:
            y = y[..., list(kept)]
        if x.shape[1] > PLACES:
            places = torch.rand(x.shape[:2], generator=generator).argsort(1)[:, :PLACES, None]
            x = x.gather(1, places.expand(-1, -1, x.shape[2]))
            y = y.gather(1, places.expand(-1, -1, y.shape[2]))
        x = x.reshape(-1, groups, unknowns).transpose(0, 1)
        y = y.reshape(-1, groups, outputs).transpose(0, 1)
        if about is None:
            about = x.mean(1, keepdim=True), y.mean(1, keepdim=True)
        x, y = nn.functional.pad(x - about[0], (0, 1), value=1.0), y - about[1]  # the last input is the constant
        total += (x.transpose(1, 2) @ x).double()
        wanted += (x.transpose(1, 2) @ y).double()
        squares += y.double().square().sum(1)
        rows += x.shape[1]
        if rows >= max(_LEAST_ROWS, _ROWS_PER_INPUT * unknowns):
            break
    assert about is not None
    means_x, means_y = total[:, -1:, :-1] / rows, wanted[:, -1:] / rows
    spread = total[:, :-1, :-1] - rows * means_x.transpose(1, 2) @ means_x
    common = wanted[:, :-1] - rows * means_x.transpose(1, 2) @ means_y
    squares = squares - rows * means_y[:, 0].square()
    means_x, means_y = means_x + about[0].double(), means_y + about[1].double()
    if layer.bias is None and norm is None:
        spread = spread + rows * means_x.transpose(1, 2) @ means_x
        common = common + rows * means_x.transpose(1, 2) @ means_y
        squares = squares + rows * means_y[:, 0].square()
    ridge = _RIDGE * spread.diagonal(dim1=1, dim2=2).mean(1).clamp(min=0.0)[:, None, None] + 1e-12
    new = torch.linalg.solve(spread + ridge * torch.eye(unknowns, dtype=torch.float64), common + ridge * old)
    if not bool(torch.isfinite(new).all()):
        return 1.0  # broken inputs: the weights stay

    def left(weights: torch.Tensor) -> torch.Tensor:
        return (squares - 2 * (weights * common).sum(1) + (weights * (spread @ weights)).sum(1)).sum(1)

    worse = left(old) <= left(new)  # roundoff had the say
    new = torch.where(worse[:, None, None], old, new)
    layer.weight.data = new.transpose(1, 2).reshape(weight.shape).to(weight.dtype).contiguous()
    offset = (means_y - means_x @ new).flatten().to(weight.dtype)
    if layer.bias is not None:
        layer.bias.data = offset
    elif norm is not None and norm.running_mean is not None:
        norm.running_mean -= offset
    return min(1.0, max(0.0, float(left(new).sum()) / max(float(squares.sum()), 1e-30)))


class Window:
    """What the layers of a network get and give, asked for in the order they run: each block is run from its input on.

    A block is what stands in a chain of `nn.Sequential`, however nested; the inputs of the current one are kept, so
    that a network of n layers is not run n times. Layers outside of such chains run it from its beginning.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.modules = dict(network.named_modules(remove_duplicate=False))  # a ReLU may stand in several places
        self._chains: list[list[str]] = [[]]
        self._find(network, "", self._chains[0] if type(network) is nn.Sequential else None)
        self._places = {
            name: (number, at) for number, chain in enumerate(self._chains) for at, name in enumerate(chain)
        }
        self._at: tuple[int, int] | None = None
        self._inputs: dict[int, torch.Tensor] = {}
        self._odd: set[str] = set()

    def _find(self, module: nn.Module, name: str, chain: list[str] | None) -> None:
        for key, child in module._modules.items():
            if child is None:
                continue
            inside = f"{name}.{key}" if name else key
            if type(child) is nn.Sequential:
                if chain is None:
                    self._chains.append([])
                self._find(child, inside, chain if chain is not None else self._chains[-1])
            elif chain is not None:
                chain.append(inside)  # its own parts run as it likes
            else:
                self._find(child, inside, None)

    def caught(self, name: str, number: int, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the layer gets and gives for a batch.

        Args:
            name: of the layer; every layer before it has its final weights.
            number: of the batch, by which it is known again.
        """
        block = name
        while block and block not in self._places:
            block = block.rpartition(".")[0]
        if not block or block in self._odd:
            return _caught(self.network, self.modules[name], inputs)
        self._move(block, number, inputs)
        given = self._inputs.get(number)
        if given is None:
            given = _given(self.network, self.modules[block], inputs)
            if given is not None and self._kept() + given.nbytes <= _KEPT_BYTES:
                self._inputs[number] = given
        # A copy, since some blocks begin with a ReLU in place.
        seen = None if given is None else _seen(self.modules[block], self.modules[name], given.clone())
        if seen is not None and number:
            return seen
        whole = _caught(self.network, self.modules[name], inputs)
        if seen is None or not all(_same(one, other) for one, other in zip(seen, whole, strict=True)):
            self._odd.add(block)  # it reads more than its input, or the network calls its parts
        return whole

    def _kept(self) -> int:
        return sum(value.nbytes for value in self._inputs.values())

    @torch.no_grad()
    def _move(self, block: str, number: int, inputs: torch.Tensor) -> None:
        chain, place = self._places[block]
        if (chain, place) == self._at:
            return
        at, self._at = self._at, (chain, place)
        if at is None or chain != at[0] or place < at[1] or number not in self._inputs:
            self._inputs = {}
            return
        given = _given(self.network, self.modules[block], inputs)
        try:
            for before in self._chains[chain][at[1] : place]:
                for key in list(self._inputs):
                    value = self.modules[before](self._inputs.pop(key))
                    if key == number or self._kept() + value.nbytes <= _KEPT_BYTES:
                        self._inputs[key] = value
            holds = given is not None and torch.equal(given, self._inputs[number])
        except Exception:
            holds = False
        if not holds:
            self._inputs = {}  # the network calls its blocks by itself, and does with their outputs what it likes


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True)


def _run_to(hook: RemovableHandle, network: nn.Module, inputs: torch.Tensor) -> None:
    """Run a network until the hook has seen what it wants, or to its end; the hook is taken off."""
    try:
        with torch.no_grad():
            network(inputs)
    except _Seen:
        pass
    finally:
        hook.remove()


def _given(network: nn.Module, block: nn.Module, inputs: torch.Tensor) -> torch.Tensor | None:
    """A copy of what a block gets; None if that is not a single tensor, or the network uses its parts without it."""
    found: list[torch.Tensor | None] = []

    def hook(_module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        single = len(given) == 1 and not named and isinstance(given[0], torch.Tensor)
        found.append(given[0].clone() if single else None)
        raise _Seen

    _run_to(block.register_forward_pre_hook(hook, with_kwargs=True), network, inputs)
    return found[0] if found else None


def _caught(network: nn.Module, layer: nn.Module, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What a layer gets and gives; the network runs no further."""
    seen = _seen(network, layer, inputs)
    assert seen is not None
    return seen


def _seen(network: nn.Module, layer: nn.Module, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The same, or None if the layer does not run."""
    found: list[torch.Tensor] = []

    def hook(_module: nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        found.extend((given[0], output))
        raise _Seen

    _run_to(layer.register_forward_hook(hook), network, inputs)
    return (found[0], found[1]) if found else None


def _columns(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """(n, places, inputs of one output): what each output is a weighted sum of."""
    if isinstance(layer, nn.Linear):
        return x.reshape(len(x), -1, x.shape[-1])
    unfolded = nn.functional.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    return unfolded.transpose(1, 2)
