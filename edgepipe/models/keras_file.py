"""`model.source: keras`: a .keras or .h5 file, untrusted: nothing in it may run code."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from edgepipe.errors import ModelError
from edgepipe.models.converting import ConvertedModel

_TRUSTED = ("keras", "tensorflow.keras", "tf_keras", "builtins")
_MOST_BYTES = 64 * 1024**2


class KerasModel(ConvertedModel):
    """A Keras model (.keras or .h5), converted by TensorFlow and tf2onnx; Lambda layers and own classes are refused.

    Keras takes pictures with channels last; the graph is made to take them as the data gives them.
    Source: keras.Model.export(format="onnx").
    """

    libraries: ClassVar[tuple[str, ...]] = ("keras", "tensorflow-cpu", "tensorflow", "tf2onnx", "onnx", "onnxruntime")
    extra: ClassVar[str] = "keras"
    modules: ClassVar[tuple[str, ...]] = ("keras", "tensorflow", "tf2onnx")
    converter: ClassVar[str] = "edgepipe.models.keras_to_onnx"

    def check(self, path: Path) -> None:
        if path.suffix not in (".keras", ".h5", ".hdf5") or not path.is_file():
            raise ModelError(f"model.path: {path}: not a .keras or .h5 file. Save it: model.save('model.keras')")
        config = _config_of_archive(path) if path.suffix == ".keras" else _config_of_hdf5(path)
        for where, node in _objects(config, "config"):
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
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo("config.json")
            if info.file_size > _MOST_BYTES:
                raise ModelError(f"model.path: {path}: its config.json has {info.file_size:,} bytes: no honest model's")
            return json.loads(archive.read(info))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise ModelError(f"model.path: {path}: not a .keras file: {error}. Save it again: model.save(PATH)") from None


def _config_of_hdf5(path: Path) -> Any:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
            if text is None:
                raise ModelError(
                    f"model.path: {path}: holds weights only, no model. Save the whole model: model.save(PATH)"
                )
            return json.loads(text)
    except (OSError, ValueError) as error:
        raise ModelError(f"model.path: {path}: not an .h5 model: {error}") from None


def _objects(value: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object that the config would make, with its place."""
    if isinstance(value, dict):
        if "class_name" in value:
            yield where, value
        for key, item in value.items():
            yield from _objects(item, f"{where}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _objects(item, f"{where}[{number}]")
