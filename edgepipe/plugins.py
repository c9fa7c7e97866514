"""Names to classes: passes, model sources and data sources.

Built-in names are strings, so listing them imports nothing. Third parties add passes under the
entry-point group `edgepipe.passes`; a name declared twice is an error.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import Any

from edgepipe.base.suggest import did_you_mean
from edgepipe.contract import Pass
from edgepipe.errors import RecipeError

ENTRY_POINTS = "edgepipe.passes"

PASSES: Mapping[str, str] = {
    "distill": "edgepipe.passes.distill:Distill",
    "export": "edgepipe.passes.export:Export",
    "finetune": "edgepipe.passes.finetune:Finetune",
    "lower": "edgepipe.passes.lower:Lower",
    "prune_channels": "edgepipe.passes.prune_channels:PruneChannels",
    "prune_trees": "edgepipe.passes.prune_trees:PruneTrees",
    "prune_weights": "edgepipe.passes.prune_weights:PruneWeights",
    "quantize_aware": "edgepipe.passes.quantize_aware:QuantizeAware",
    "quantize_dynamic": "edgepipe.passes.quantize_dynamic:QuantizeDynamic",
    "quantize_static": "edgepipe.passes.quantize_static:QuantizeStatic",
    "quantize_weights": "edgepipe.passes.quantize_weights:QuantizeWeights",
    "reestimate_batchnorm": "edgepipe.passes.reestimate_batchnorm:ReestimateBatchNorm",
    "swap_operators": "edgepipe.passes.swap_operators:SwapOperators",
    "tabulate_latency": "edgepipe.passes.tabulate_latency:TabulateLatency",
    "time_int8": "edgepipe.passes.time_int8:TimeInt8",
    "to_float16": "edgepipe.passes.to_float16:ToFloat16",
    "train": "edgepipe.passes.train:Train",
}
MODELS: Mapping[str, str] = {
    "keras": "edgepipe.sources.keras.file:KerasModel",
    "onnx": "edgepipe.sources.onnx_file:OnnxModel",
    "python": "edgepipe.sources.python:PythonModel",
    "sklearn": "edgepipe.sources.sklearn.file:SklearnModel",
    "tensorflow": "edgepipe.sources.tensorflow.file:TensorFlowModel",
    "torchvision": "edgepipe.sources.torchvision:TorchvisionModel",
}
DATA: Mapping[str, str] = {
    "cifar10": "edgepipe.data.cifar10:Cifar10Data",
    "digits": "edgepipe.data.digits:DigitsData",
    "image_folder": "edgepipe.data.image_folder:ImageFolderData",
    "npz": "edgepipe.data.npz:NpzData",
}


@cache
def pass_names() -> dict[str, str]:
    """Every pass name with `module:class`, built-in and third-party.

    Raises:
        RecipeError: two distributions declare the same name.
    """
    names = dict(PASSES)
    owners = dict.fromkeys(PASSES, "edgepipe")
    for point in metadata.entry_points(group=ENTRY_POINTS):
        owner = point.dist.name if point.dist else point.value
        if point.name in names and names[point.name] != point.value:
            raise RecipeError(
                f"the pass name '{point.name}' is declared twice, by {owners[point.name]} and by {owner}: "
                "uninstall one of them or ask its author to rename the entry point"
            )
        names[point.name] = point.value
        owners[point.name] = owner
    return names


def _load(what: str, name: str, target: str) -> Any:
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise RecipeError(f"{what} '{name}' cannot be loaded from '{target}': {error}") from error


def pass_class(name: str) -> type[Pass]:
    """The class behind a pass name.

    Raises:
        RecipeError: the name is unknown, or what it names is no pass.
    """
    names = pass_names()
    if name not in names:
        raise RecipeError(f"unknown pass '{name}'.{did_you_mean(name, names)}")
    found = _load("pass", name, names[name])
    if not (inspect.isclass(found) and issubclass(found, Pass)):
        raise RecipeError(f"pass '{name}': {names[name]} is not a subclass of edgepipe.contract.Pass")
    missing = [attribute for attribute in ("reads", "writes") if not hasattr(found, attribute)]
    missing += sorted(getattr(found, "__abstractmethods__", ()))
    if missing:
        raise RecipeError(f"pass '{name}': {names[name]} does not declare {' and '.join(missing)}")
    return found


def source_class(what: str, name: object) -> Any:
    """The settings class of a `model` or `data` source."""
    known = MODELS if what == "model" else DATA
    if not isinstance(name, str) or name not in known:
        raise RecipeError(f"unknown {what} source {name!r}.{did_you_mean(str(name), known)}")
    return _load(f"{what} source", name, known[name])
