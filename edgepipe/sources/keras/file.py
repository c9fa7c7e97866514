"""`model.source: keras`: a .keras or .h5 file, untrusted: nothing in it may run code."""

from __future__ import annotations

import json
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from edgepipe.base.files import is_file, unpacks_to_too_much
from edgepipe.contract.guess import Guess, Sure
from edgepipe.errors import ModelError
from edgepipe.sources.converting import ConvertedModel
from edgepipe.sources.keras import hdf5_check

_TRUSTED = ("keras", "tensorflow.keras", "tf_keras", "builtins")
_MOST_BYTES = 16 * 1024**2
# What zipfile, zlib, h5py and json raise for a file that is damaged, encrypted, compressed some other way or hostile.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    KeyError,
    MemoryError,
    OSError,
    RuntimeError,  # encrypted; RecursionError and NotImplementedError are RuntimeErrors too
    TypeError,
    ValueError,
)


class KerasModel(ConvertedModel):
    """A Keras model (.keras or .h5), converted by TensorFlow and tf2onnx; Lambda layers and own classes are refused.

    Keras takes pictures with channels last; the graph is made to take them as the data gives them.
    Source: keras.Model.export(format="onnx").
    """

    libraries: ClassVar[tuple[str, ...]] = ("keras", "tensorflow-cpu", "tensorflow", "tf2onnx", "onnx", "onnxruntime")
    extra: ClassVar[str] = "keras"
    modules: ClassVar[tuple[str, ...]] = ("keras", "tensorflow", "tf2onnx")
    converter: ClassVar[str] = "edgepipe.sources.keras.to_onnx"

    @classmethod
    def guess(cls, given: str) -> Guess | None:
        fits = given.lower().endswith((".keras", ".h5", ".hdf5")) and is_file(Path(given))
        return Guess({"path": given}, Sure.CERTAIN, "a Keras file") if fits else None

    def check(self, path: Path) -> None:
        if path.suffix not in (".keras", ".h5", ".hdf5") or not is_file(path, "model.path"):
            raise ModelError(f"model.path: {path}: not a .keras or .h5 file. Save it: model.save('model.keras')")
        config = _config_of_archive(path) if path.suffix == ".keras" else _config_of_hdf5(path)
        for where, node in objects_of(config, "config"):
            module, kind = str(node.get("module") or "keras"), str(node.get("class_name") or "")
            if kind == "Lambda" or kind == "__lambda__":
                raise ModelError(
                    f"model.path: {path}: {where}: a Lambda layer is Python code, and a model file may bring none. "
                    "Use layers of Keras, or export it yourself: model.export('m.onnx', format='onnx')"
                )
            # Keras 3 writes a function as class_name "function" with its module; 2 writes only layers.
            if not any(module == name or module.startswith(f"{name}.") for name in _TRUSTED) or kind == "function":
                raise ModelError(
                    f"model.path: {path}: {where}: '{kind}' of module '{module}' is not a part of Keras, and a model "
                    "file may not import code. Export it yourself: model.export('m.onnx', format='onnx')"
                )


def _config_of_archive(path: Path) -> Any:
    bomb = unpacks_to_too_much(path)
    if bomb is not None:
        raise ModelError(f"model.path: {path}: {bomb}: refused")
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename.endswith(".h5"):
                    _check_weights(archive, member, path)
            info = archive.getinfo("config.json")
            if info.file_size > _MOST_BYTES:
                raise ModelError(f"model.path: {path}: its config.json has {info.file_size:,} bytes: no honest model's")
            config = _model_config(archive.read(info))
            config.pop("compile_config", None)  # losses and optimizers: loading with compile=False leaves it unread
            return config
    except _DAMAGED as error:
        raise ModelError(
            f"model.path: {path}: not a .keras file: {_said(error)}. Save it again: model.save(PATH)"
        ) from None


def _check_weights(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    try:
        import h5py
    except ImportError:  # then Keras is missing too, and nothing loads them
        return
    with archive.open(member) as stream, h5py.File(stream, "r") as file:
        hdf5_check.check(file, path.stat().st_size, f"model.path: {path}: {member.filename}")


def _config_of_hdf5(path: Path) -> Any:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            hdf5_check.check(file, path.stat().st_size, f"model.path: {path}")
            text = file.attrs.get("model_config")
            if text is None:
                raise ModelError(
                    f"model.path: {path}: holds weights only, no model. Save the whole model: model.save(PATH)"
                )
            if not isinstance(text, str | bytes):
                raise ValueError(f"its model_config is a {type(text).__name__}, not text")
            return _model_config(text)
    except _DAMAGED as error:
        raise ModelError(
            f"model.path: {path}: not an .h5 model: {_said(error)}. Save it again: model.save(PATH)"
        ) from None


def _model_config(text: str | bytes) -> dict[str, Any]:
    """The object that makes the model.

    Raises:
        ValueError: it is none.
    """
    config = json.loads(text)
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise ValueError("its config makes no model: it is no object with a class_name")
    if not isinstance(config.get("config"), dict):
        raise ValueError(f"its config makes no model: the {config['class_name']} has no config")
    return config


def _said(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "its config is nested deeper than any model"
    if isinstance(error, MemoryError):
        return "its config does not fit in memory"
    return str(error).strip() or type(error).__name__


def objects_of(value: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object that the config would make, with its place; no recursion, for what is read may be deep."""
    waiting = [(value, where)]
    while waiting:
        value, where = waiting.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield where, value
            waiting += [(item, f"{where}.{key}") for key, item in reversed(value.items())]
        elif isinstance(value, list):
            waiting += [(item, f"{where}[{number}]") for number, item in reversed(list(enumerate(value)))]
