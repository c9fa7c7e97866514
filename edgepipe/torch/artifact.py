"""A torch artifact: `architecture.json` (base network plus ordered edits) and safetensors; never a pickle.

Edits, replayed in order on load:
    {"op": "resize", "attributes": {module: {name: int or list of int}}}   channels were removed
    {"op": "mask", "modules": [...]}                                       weights are masked
    {"op": "unmask"}                                                       masks were made permanent
    {"op": "swap", "modules": {name: "relu6" | "relu" | "identity"}}       modules were replaced

A resize names what changed in the modules (`out_channels`, `groups`, `num_features`, …); the shapes of
the parameters come from the safetensors file itself, so no pruning history has to be replayed.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import prune

from edgepipe.base.files import is_file, unpacks_to_too_much
from edgepipe.contract import Job, Signature
from edgepipe.contract.artifact import ARCHITECTURE_FILE, WEIGHTS_FILE, Artifact, Kind, canonical_json, seal
from edgepipe.errors import ModelError, RecipeError
from edgepipe.plugins import find
from edgepipe.torch import checkpoint, swap
from edgepipe.torch.held import check_held
from edgepipe.torch.interface import dress, examine, seeded

Architecture = dict[str, Any]


def new_architecture(base: dict[str, Any]) -> Architecture:
    """The architecture of a network nobody has edited yet."""
    return {"base": base, "edits": []}


def read_architecture(artifact: Artifact) -> Architecture:
    """The content of `architecture.json`."""
    content = json.loads((artifact.path / ARCHITECTURE_FILE).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("base"), dict):
        raise ModelError(f"{artifact.path / ARCHITECTURE_FILE}: not an architecture: it has no `base`")
    return content


def build_base(base: dict[str, Any]) -> nn.Module:
    """The unedited network, with the random weights of its seed."""
    with seeded(int(base.get("seed", 0))):
        return dress(_made(base), base)


def _made(base: dict[str, Any]) -> nn.Module:
    """By the model source that wrote it, which knows what it may build."""
    try:
        source = find("sources", base["source"])
    except RecipeError as error:
        raise ModelError(f"architecture.json: {error}") from error
    network: nn.Module = source.network(base)
    return network


def integer_attributes(network: nn.Module) -> dict[str, dict[str, Any]]:
    """Every int and tuple-of-int attribute of every module: what a change of width changes."""
    found: dict[str, dict[str, Any]] = {}
    for name, module in network.named_modules():
        values: dict[str, Any] = {}
        for key, value in vars(module).items():
            if key.startswith("_") or key == "training" or isinstance(value, bool):
                continue
            if isinstance(value, int):
                values[key] = value
            elif isinstance(value, (tuple, torch.Size)) and value and all(type(item) is int for item in value):
                values[key] = list(value)
        found[name] = values
    return found


def resize_edit(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The edit that turns a network with attributes `before` into one with `after`."""
    changed: dict[str, dict[str, Any]] = {}
    for name, values in after.items():
        different = {key: value for key, value in values.items() if before.get(name, {}).get(key) != value}
        if different:
            changed[name] = different
    return {"op": "resize", "attributes": changed}


def _replay(network: nn.Module, edit: dict[str, Any]) -> None:
    modules = dict(network.named_modules())
    if edit["op"] == "resize":
        for name, values in edit["attributes"].items():
            for key, value in values.items():
                old = getattr(modules.get(name), key, None)
                plain = type(value) is int or (isinstance(value, list) and all(type(item) is int for item in value))
                if old is None or not plain or not isinstance(old, (int, tuple)):
                    raise ModelError(f"architecture.json: {name}.{key}: no size of this network")
                setattr(modules[name], key, tuple(value) if isinstance(value, list) else value)
    elif edit["op"] == "mask":
        for name in edit["modules"]:
            if not prune.is_pruned(modules[name]):
                prune.identity(modules[name], "weight")  # type: ignore[no-untyped-call]
    elif edit["op"] == "unmask":
        bake_masks(network)
    elif edit["op"] == "swap":
        swap.apply(network, edit["modules"])
    else:
        raise ModelError(f"architecture.json: unknown edit '{edit['op']}'")


def masked_modules(network: nn.Module) -> list[str]:
    """Names of the modules whose weight is masked."""
    return [name for name, module in network.named_modules() if hasattr(module, "weight_mask")]


def bake_masks(network: nn.Module) -> None:
    """Make every mask permanent: the zeros stay, the mask goes."""
    for module in network.modules():
        if hasattr(module, "weight_mask"):
            prune.remove(module, "weight")  # type: ignore[no-untyped-call]


def build(artifact: Artifact) -> nn.Module:
    """The artifact's network in eval mode, on the CPU.

    Raises:
        ModelError: the edits or the weights do not fit the base network.
    """
    architecture = read_architecture(artifact)
    network = build_base(architecture["base"])
    for edit in architecture["edits"]:
        _replay(network, edit)
    weights = load_file(artifact.path / WEIGHTS_FILE)
    fit_shapes(network, weights)
    try:
        network.load_state_dict(_versioned(network, weights), strict=True)
    except RuntimeError as error:
        raise ModelError(f"{artifact.path}: the weights do not fit the architecture: {error}") from None
    for module in network.modules():
        if hasattr(module, "weight_mask"):  # else recomputed only in forward, which an attention layer's parts skip
            original, mask = module.get_parameter("weight_orig"), module.get_buffer("weight_mask")
            module.weight = original * mask
    return network.eval()


def fit_shapes(network: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Give every parameter and buffer the shape that the stored weights have."""
    modules = dict(network.named_modules())
    for key, value in weights.items():
        place, _, name = key.rpartition(".")
        module = modules.get(place)
        if module is None:
            continue
        for store in (module._parameters, module._buffers):
            old = store.get(name)
            if old is not None and old.shape != value.shape:
                fresh = torch.empty(value.shape, dtype=old.dtype)
                store[name] = nn.Parameter(fresh) if store is module._parameters else fresh
        if name == "weight_orig" and tuple(module.weight.shape) != tuple(value.shape):
            module.weight = torch.empty(value.shape)  # recomputed from weight_orig before each forward


def bring_in(network: nn.Module, base: dict[str, Any], out: Path, signature: Signature, job: Job | None) -> Artifact:
    """Write a network that nobody has edited yet; how it is asked and answers is found out and put into its base.

    Raises:
        ModelError: it takes no examples of the data, its answer is not known, or an artifact cannot hold it.
    """
    found, notes = examine(network, signature.input_shape)
    base = {**base, **found}
    if job is not None and notes:
        job.add("notes", *notes)
    return write(dress(network, base), new_architecture(base), out, signature, new=True)


def write(
    network: nn.Module, architecture: Architecture, out: Path, signature: Signature, *, new: bool = False
) -> Artifact:
    """Write a network as an artifact; shared tensors are stored once per name, so loading needs no pickle.

    What was written is built again and must answer alike.

    Args:
        new: nothing was computed with it yet.
    Raises:
        ModelError: a weight is not finite, or an artifact cannot hold all of the network.
    """
    stored = network.state_dict()
    for key, value in stored.items():
        if not isinstance(value, torch.Tensor):
            raise ModelError(
                f"{key}: its state dict holds {type(value).__name__}, and an artifact holds tensors only. Return a "
                "tensor from get_extra_state, or none"
            )
    state = {key: value.detach().cpu().contiguous().clone() for key, value in stored.items()}
    for key, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ModelError(f"{key}: holds NaN or infinity")
    (out / ARCHITECTURE_FILE).write_text(canonical_json(architecture), encoding="utf-8")
    save_file(dict(sorted(state.items())), out / WEIGHTS_FILE)
    # safetensors writes for the owner alone; others of a shared store may read it as they may the files beside it.
    (out / WEIGHTS_FILE).chmod((out / ARCHITECTURE_FILE).stat().st_mode & 0o777)
    artifact = seal(out, Kind.TORCH, signature)
    check_held(network, build(artifact), artifact, new=new)
    return artifact


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """State dict of a `.safetensors`, or of a `.pth` through `weights_only=True`.

    Raises:
        ModelError: missing, damaged, or holding anything but tensors.
    """
    if not is_file(path, "model.weights"):
        raise ModelError(f"model.weights: {path} is no file. Give a checkpoint (.pth, .safetensors) or a weights name")
    bomb = unpacks_to_too_much(path)
    if bomb is not None:
        raise ModelError(f"model.weights: {path}: {bomb}: refused")
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as opened:
                return {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        if not checkpoint.in_bounds and not checkpoint.is_plain(path):
            return checkpoint.read_in_bounds(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise ModelError(f"model.weights: {path}: damaged or no safetensors file ({error}). Save it again") from None
    except Exception as error:
        if isinstance(error, ModelError) or (checkpoint.in_bounds and isinstance(error, MemoryError)):
            raise
        text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).partition(". ")[0].partition("\n")[0][:200]
        raise ModelError(
            f"model.weights: {path}: cannot be read with weights_only=True ({text}). A checkpoint that needs pickle is "
            "refused: save the state dict alone, torch.save(model.state_dict(), PATH), or a .safetensors file"
        ) from None
    for key in ("state_dict", "model", "model_state_dict", "model_ema"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ModelError(f"model.weights: {path}: holds no state dict: expected names with tensors")
    for key, value in content.items():
        # A few bytes may claim to be any shape: strides of 0, or a sparse tensor, which a copy would write out.
        if value.layout != torch.strided or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise ModelError(
                f"model.weights: {path}: {key}: {tuple(value.shape)} out of fewer bytes than that takes: refused. Save "
                "plain tensors: value.to_dense().contiguous()"
            )
    return {str(key): value for key, value in content.items()}


def load_checkpoint(network: nn.Module, path: Path, remedy: str, *, trained_with: str = "") -> None:
    """Load a checkpoint strictly, naming what does not fit.

    Args:
        remedy: which settings say what network it is, in a sentence.
        trained_with: how names of weights begin that a network may leave behind where it does not have them.

    Raises:
        ModelError: keys or shapes differ, or a weight is not finite.
    """
    weights = read_checkpoint(path)
    own = network.state_dict()
    for prefix in ("module.", "model.", "_orig_mod."):
        if weights and all(key.startswith(prefix) for key in weights):
            weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    if trained_with:
        weights = {key: value for key, value in weights.items() if key in own or not key.startswith(trained_with)}
    counters = {key for key in own if key.endswith("num_batches_tracked")}  # older checkpoints lack them
    missing = sorted(set(own) - set(weights) - counters)
    extra = sorted(set(weights) - set(own))
    shapes = [
        f"{key} is {tuple(weights[key].shape)}, the network wants {tuple(own[key].shape)}"
        for key in own
        if key in weights and weights[key].shape != own[key].shape
    ]
    lines = [
        f"  {what}: {_some(items)}"
        for what, items in (("missing", missing), ("not in the network", extra), ("other shape", shapes))
        if items
    ]
    if lines:
        raise ModelError(f"model.weights: {path} does not fit this network. {remedy}\n" + "\n".join(lines))
    for key, value in weights.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ModelError(f"model.weights: {path}: {key} holds NaN or infinity: this checkpoint is broken")
    network.load_state_dict(_versioned(network, weights), strict=False)


def _versioned(network: nn.Module, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights with the layout versions that PyTorch keeps beside a state dict and safetensors does not.

    MNASNet and quantized layers refuse, or convert, weights that carry none.
    """
    fresh = network.state_dict()
    known = getattr(fresh, "_metadata", None)
    ready = OrderedDict(weights)
    if known is not None:
        ready._metadata = known  # type: ignore[attr-defined]
    return ready


def _some(items: list[str]) -> str:
    return "; ".join(items[:6]) + (f"; and {len(items) - 6} more" if len(items) > 6 else "")
