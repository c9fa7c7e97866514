"""A folder that transformers saved: which of its files are read, and what they say. Imports neither torch nor it.

The folder is untrusted: weights are read from safetensors only, and no code in it is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgepipe.base.files import is_file, is_folder, read_json
from edgepipe.base.text import printable
from edgepipe.errors import InputError, ModelError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PREPROCESSING = ("preprocessor_config.json", "processor_config.json")
POOLING = "1_Pooling/config.json"
MODULES = "modules.json"
_PICKLES = ("pytorch_model.bin", "model.bin", "pytorch_model.bin.index.json", "model.pt", "model.pth")
_OTHERS = ("tf_model.h5", "flax_model.msgpack", "model.ckpt.index")
_MOST_BYTES = 16 << 20
"""Of a file of settings."""
CONVERT = (
    'Convert it where you trust the file: python -c "from transformers import AutoModel; '
    "AutoModel.from_pretrained('FOLDER').save_pretrained('NEW', safe_serialization=True)\" (with the class of its task)"
)


@dataclass(frozen=True)
class Folder:
    """What is read of a folder: the settings, and the files of the weights."""

    path: Path
    config: Mapping[str, Any]
    weights: tuple[Path, ...]
    preprocessing: Mapping[str, Any]
    pooling: Literal["mean", "cls"] | None
    normalized: bool

    @property
    def files(self) -> dict[str, Path]:
        """Every file that the network depends on, by its name in the folder."""
        names = (CONFIG, INDEX, *PREPROCESSING, POOLING, MODULES)
        found = {name: self.path / name for name in names if is_file(self.path / name)}
        return {**found, **{file.name: file for file in self.weights}}

    @property
    def size_bytes(self) -> int:
        """Of the weights."""
        return sum(file.stat().st_size for file in self.weights)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, in the model's order; empty where it has none but LABEL_0, LABEL_1, ..."""
        known = self.config.get("id2label")
        if not isinstance(known, dict):
            return ()
        found = [known.get(str(number)) for number in range(len(known))]
        named = tuple(name for name in found if isinstance(name, str))
        return () if len(named) < len(found) or all(name.startswith("LABEL_") for name in named) else named


def read_folder(path: Path) -> Folder:
    """Look through a folder.

    Raises:
        ModelError: there is no `config.json`, or no weights as safetensors; says what to do.
    """
    where = f"model.path: {path}"
    if not is_folder(path, "model.path"):
        raise ModelError(f"{where}: no such folder: give one that save_pretrained wrote, with {CONFIG} and {WEIGHTS}")
    if is_file(path / "adapter_config.json"):
        raise ModelError(
            f"{where}: holds an adapter: merge it into its model first (peft: merge_and_unload), and save that"
        )
    if not is_file(path / CONFIG):
        raise ModelError(f"{where}: has no {CONFIG}: give a folder that save_pretrained wrote")
    config = _settings(path / CONFIG)
    if not isinstance(config.get("model_type"), str):
        raise ModelError(f"{where}: {CONFIG} names no model_type: it is none of transformers")
    preprocessing = next((_settings(path / name) for name in PREPROCESSING if is_file(path / name)), {})
    nested = preprocessing.get("image_processor", preprocessing.get("feature_extractor"))
    return Folder(
        path=path,
        config=config,
        weights=_weights(path, where),
        preprocessing=nested if isinstance(nested, dict) else preprocessing,
        pooling=_pooling(path),
        normalized=is_file(path / MODULES) and "Normalize" in str(_read(path / MODULES)),
    )


def _weights(path: Path, where: str) -> tuple[Path, ...]:
    if is_file(path / WEIGHTS):
        return (path / WEIGHTS,)
    if is_file(path / INDEX):
        known = _settings(path / INDEX).get("weight_map")
        names = sorted(set(known.values())) if isinstance(known, dict) and all(map(_plain, known.values())) else []
        if not names:
            raise ModelError(f"{where}: {INDEX} names no files of weights beside it")
        lacking = [name for name in names if not is_file(path / name)]
        if lacking:
            raise ModelError(f"{where}: {INDEX} names {printable(lacking[0])}, which is not there: fetch all of them")
        return tuple(path / name for name in names)
    pickled = next((name for name in _PICKLES if is_file(path / name)), None)
    if pickled is not None:
        raise ModelError(
            f"{where}: its weights are a pickle ({pickled}), which runs code when it is read; {WEIGHTS} is wanted. "
            f"{CONVERT}"
        )
    other = next((f" ({name} is another framework's)" for name in _OTHERS if is_file(path / name)), "")
    raise ModelError(f"{where}: has no {WEIGHTS}{other}: save it with save_pretrained(FOLDER, safe_serialization=True)")


def _plain(name: Any) -> bool:
    return isinstance(name, str) and name.endswith(".safetensors") and "/" not in name and "\\" not in name


def _pooling(path: Path) -> Literal["mean", "cls"] | None:
    """How the vectors of tokens become one, as the sentence-transformers library writes it; None: it does not say."""
    if not is_file(path / POOLING):
        return None
    said = _settings(path / POOLING)
    if said.get("pooling_mode_cls_token"):
        return "cls"
    if said.get("pooling_mode_mean_tokens", True):
        return "mean"
    raise ModelError(f"model.path: {path}: {POOLING} pools neither by mean nor by the first token: set model.pooling")


def _settings(path: Path) -> dict[str, Any]:
    found = _read(path)
    if not isinstance(found, dict):
        raise ModelError(f"model.path: {path}: holds no settings")
    return found


def _read(path: Path) -> Any:
    try:
        return read_json(path, _MOST_BYTES)
    except (OSError, ValueError, InputError) as error:
        raise ModelError(f"model.path: {path}: cannot be read: {error}") from None
