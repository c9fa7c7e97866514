"""The one registry: names to classes of six nouns.

Built-in names are strings, so listing them imports nothing. Third parties add theirs under the entry-point groups
`edgepipe.passes`, `edgepipe.tasks`, `edgepipe.data`, `edgepipe.sources`, `edgepipe.formats` and `edgepipe.places`. A
name that two declare is nobody's: its use is an error, and no other name suffers.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from typing import Any

from edgepipe.base.suggest import did_you_mean
from edgepipe.contract import DataSource, Format, ModelSource, Pass, Place, Task
from edgepipe.errors import RecipeError


@dataclass(frozen=True)
class Noun:
    """One kind of thing that a user may bring.

    Attributes:
        word: for people, in the singular.
        base: its contract.
        declares: class attributes that a subclass must give.
        built_in: name to `module:class`.
    """

    word: str
    base: type[Any]
    declares: tuple[str, ...]
    built_in: Mapping[str, str]


NOUNS: Mapping[str, Noun] = {
    "passes": Noun(
        "pass",
        Pass,
        ("reads", "writes"),
        {
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
        },
    ),
    "tasks": Noun(
        "task",
        Task,
        ("measures",),
        {
            "agreement": "edgepipe.tasks.agreement:Agreement",
            "classification": "edgepipe.tasks.classification:Classification",
            "ctc_text": "edgepipe.tasks.ctc_text:CtcText",
            "detection": "edgepipe.tasks.detection.task:Detection",
            "embedding": "edgepipe.tasks.embedding:Embedding",
            "image": "edgepipe.tasks.image:Image",
            "multilabel": "edgepipe.tasks.multilabel:Multilabel",
            "regression": "edgepipe.tasks.regression:Regression",
            "scores": "edgepipe.tasks.scores:Scores",
            "tokens": "edgepipe.tasks.tokens:Tokens",
            "segmentation": "edgepipe.tasks.segmentation:Segmentation",
        },
    ),
    "data": Noun(
        "data source",
        DataSource,
        (),
        {
            "audio_folder": "edgepipe.data.audio_folder:AudioFolderData",
            "cifar10": "edgepipe.data.cifar10:Cifar10Data",
            "coco": "edgepipe.data.coco:CocoData",
            "digits": "edgepipe.data.digits:DigitsData",
            "drawn_pages": "edgepipe.data.drawn_pages:DrawnPagesData",
            "drawn_sound": "edgepipe.data.drawn_sound:DrawnSoundData",
            "drawn_text": "edgepipe.data.drawn_text:DrawnTextData",
            "image_folder": "edgepipe.data.image_folder:ImageFolderData",
            "image_pairs": "edgepipe.data.image_pairs:ImagePairsData",
            "mask_folder": "edgepipe.data.mask_folder:MaskFolderData",
            "npz": "edgepipe.data.npz:NpzData",
            "voc": "edgepipe.data.voc:VocData",
            "yolo": "edgepipe.data.yolo:YoloData",
            "parquet": "edgepipe.data.parquet:ParquetData",
            "python": "edgepipe.data.python:PythonData",
            "python_texts": "edgepipe.data.python_texts:PythonTextsData",
            "drawn_shapes": "edgepipe.data.drawn_shapes:ShapesData",
            "text": "edgepipe.data.text:TextData",
            "text_lines": "edgepipe.data.text_lines:TextLinesData",
        },
    ),
    "sources": Noun(
        "model source",
        ModelSource,
        ("kind",),
        {
            "huggingface": "edgepipe.sources.huggingface.file:HuggingFaceModel",
            "keras": "edgepipe.sources.keras.file:KerasModel",
            "onnx": "edgepipe.sources.onnx_file:OnnxModel",
            "python": "edgepipe.sources.python:PythonModel",
            "small": "edgepipe.sources.small:SmallModel",
            "sklearn": "edgepipe.sources.sklearn.file:SklearnModel",
            "tensorflow": "edgepipe.sources.tensorflow.file:TensorFlowModel",
            "timm": "edgepipe.sources.timm:TimmModel",
            "torchvision": "edgepipe.sources.torchvision:TorchvisionModel",
        },
    ),
    "formats": Noun(
        "format",
        Format,
        (),
        {
            "openvino": "edgepipe.formats.openvino:OpenVino",
            "ort": "edgepipe.formats.ort:Ort",
            "pte": "edgepipe.formats.pte:Pte",
            "tflite": "edgepipe.formats.tflite:TfLite",
        },
    ),
    "places": Noun(
        "place",
        Place,
        (),
        {
            "x86_avx2": "edgepipe.verify.places.x86:X86Avx2",
            "arm64": "edgepipe.verify.places.arm64:Arm64",
            "browser_wasm": "edgepipe.verify.places.browser:BrowserWasm",
        },
    ),
}

MOVED: Mapping[str, str] = {"edgepipe.artifact": "edgepipe.contract", "edgepipe.settings": "edgepipe.contract"}
"""Where third parties imported from before, and what to write now."""


@dataclass(frozen=True)
class Entry:
    """`module:class` behind a name, and the distribution that it comes from; `rivals`: others that declare the name."""

    target: str
    owner: str
    rivals: tuple[Entry, ...] = ()


def entries(group: str) -> dict[str, Entry]:
    """Every name of a group, built-in and third-party.

    Args:
        group: a key of `NOUNS`.
    """
    noun = NOUNS[group]
    found = {name: Entry(target, "edgepipe") for name, target in noun.built_in.items()}
    for name, new in _installed(group):
        first = found.get(name)
        clash = first is not None and first.target != new.target
        found[name] = replace(first, rivals=(*first.rivals, new)) if first is not None and clash else new
    return found


@cache
def _installed(group: str) -> tuple[tuple[str, Entry], ...]:
    """What distributions declare, read without importing them."""
    return tuple(
        (point.name, Entry(point.value, point.dist.name if point.dist else point.value))
        for point in metadata.entry_points(group=f"edgepipe.{group}")
    )


def find(group: str, name: object) -> type[Any]:
    """The class behind a name.

    Raises:
        RecipeError: the name is unknown, declared twice, or what it names does not keep the noun's contract.
    """
    noun, known = NOUNS[group], entries(group)
    if not isinstance(name, str) or name not in known:
        said = f"'{name}'" if isinstance(name, str) else repr(name)
        raise RecipeError(f"unknown {noun.word} {said}.{did_you_mean(str(name), known)}")
    entry = known[name]
    if entry.rivals:
        owners = ", ".join(f"by {rival.owner}" for rival in entry.rivals)
        raise RecipeError(
            f"the {noun.word} name '{name}' is declared twice, by {entry.owner} and {owners}: uninstall one of them or "
            "ask its author to rename the entry point"
        )
    target = entry.target
    found = _load(noun.word, name, target)
    if not (inspect.isclass(found) and issubclass(found, noun.base)):
        raise RecipeError(f"{noun.word} '{name}': {target} is not a subclass of edgepipe.contract.{noun.base.__name__}")
    missing = [attribute for attribute in noun.declares if not hasattr(found, attribute)]
    missing += sorted(getattr(found, "__abstractmethods__", ()))
    if missing:
        raise RecipeError(f"{noun.word} '{name}': {target} does not declare {' and '.join(missing)}")
    return found


def loadable(group: str) -> dict[str, type[Any]]:
    """Every class of a group that can be used; what is wrong with another one is told where it is named."""
    found = {}
    for name in entries(group):
        try:
            found[name] = find(group, name)
        except RecipeError:
            continue
    return found


def _load(word: str, name: str, target: str) -> Any:
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if moved := MOVED.get(error.name or ""):
            raise RecipeError(
                f"{word} '{name}' ({module}) imports from {error.name}: write `from {moved} import ...` there, which "
                "has the same names"
            ) from None
        raise RecipeError(f"{word} '{name}' cannot be loaded from '{target}': {error}") from error
    except (ImportError, AttributeError) as error:
        raise RecipeError(f"{word} '{name}' cannot be loaded from '{target}': {error}") from error
