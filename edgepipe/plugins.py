"""Names to classes: passes, model sources and data sources.

Built-in names are strings, so listing them imports nothing. Third parties add passes under the
entry-point group `edgepipe.passes`; a name declared twice is an error.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from edgepipe.base.files import is_file, is_folder
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


def _sources_digest(files: Iterable[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(files):
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


@cache
def package_digest(*rooms: str) -> str:
    """SHA-256 over the source of parts of edgepipe; a change of code is a miss, never a stale hit."""
    home = Path(__file__).parent
    files: list[tuple[str, Path]] = []
    for room in rooms:
        place = home / room
        paths = sorted(place.rglob("*.py")) if is_folder(place) else [place]
        files += [(path.relative_to(home).as_posix(), path) for path in paths]
    return _sources_digest(files)


# Their words reach messages, never an artifact.
_ONLY_WORDS = {"edgepipe.base.suggest", "edgepipe.errors", "edgepipe.plugins"}


@cache
def module_digest(module: str) -> str:
    """SHA-256 over the source of one of edgepipe's modules and all of edgepipe that it imports, at any depth.

    Imports inside functions count, so a pass that imports `edgepipe.quant` when it runs depends on it;
    a pass that does not is still found in the store when only `edgepipe.quant` changes.
    """
    home = Path(__file__).parent
    files: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = home.parent.joinpath(*name.split("."))
        path = path / "__init__.py" if is_folder(path) else path.with_suffix(".py")
        if name in files or name in _ONLY_WORDS or not is_file(path):
            continue  # `from edgepipe.x import y`: y may be a name, not a module
        files[name] = path
        waiting += _imported(path)
    return _sources_digest(files.items())


@cache  # the modules of a recipe's passes import much the same
def _imported(path: Path) -> list[str]:
    """What a file of edgepipe imports of edgepipe: modules, and names that may be modules."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [item.name for item in node.names if item.name.startswith("edgepipe.")]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "edgepipe":
            found += [str(node.module), *(f"{node.module}.{item.name}" for item in node.names)]
    return found


def code_digest(kind: type[Any]) -> str:
    """SHA-256 over the code a class's result depends on: edgepipe's, and a third party's package."""
    data = package_digest("data")
    if kind.__module__.startswith("edgepipe."):
        own = module_digest(kind.__module__)
        if converter := getattr(kind, "converter", None):  # runs in a process of its own, so nothing here imports it
            own += module_digest(converter)
        return hashlib.sha256(f"{own}{data}".encode()).hexdigest()
    ours = package_digest("base", "contract", "data", "onnx", "torch", "training", "pruning", "quant", "passes")
    top = sys.modules[kind.__module__.partition(".")[0]]
    file = Path(inspect.getfile(kind)) if getattr(top, "__file__", None) is None else Path(str(top.__file__))
    home = file.parent
    paths = sorted(home.rglob("*.py")) if file.name == "__init__.py" else [file]
    theirs = _sources_digest((path.relative_to(home).as_posix(), path) for path in paths)
    return hashlib.sha256(f"{ours}{theirs}".encode()).hexdigest()


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """Installed versions of distributions, read without importing them."""
    versions: dict[str, str] = {}
    for name in sorted(set(names)):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions
