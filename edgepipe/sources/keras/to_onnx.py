"""Run in a fresh process: a Keras file to model.onnx."""

from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.sources.converter import Refused, placed, run
from edgepipe.sources.keras.file import objects_of

# What Keras 2 wrote into a layer's settings though it meant nothing there, and Keras 3 refuses: key to such values.
_MEANT_NOTHING: dict[str, tuple[Any, ...]] = {
    "groups": (1,),
    "time_major": (False,),
    "implementation": (0, 1, 2, 3),
    "fused": (None, False, True),
    "renorm": (False,),
    "virtual_batch_size": (None,),
    "adjustment": (None,),
}


def _without_remains(path: Path, folder: Path) -> Path:
    """An .h5 file without the settings of Keras 2 that Keras 3 does not know; the file itself where there are none.

    Raises:
        Refused: such a setting has a value that means something.
    """
    import h5py
    import keras

    with h5py.File(path, "r") as file:
        config = json.loads(file.attrs["model_config"])
    changed = False
    for where, node in objects_of(config, "config"):
        layer, settings = getattr(keras.layers, str(node["class_name"]), None), node.get("config")
        if not isinstance(layer, type) or not isinstance(settings, dict):
            continue
        known = {
            name for base in layer.__mro__ for name in inspect.signature(vars(base).get("__init__", object)).parameters
        }
        for key in [key for key in _MEANT_NOTHING if key in settings and key not in known]:
            if settings[key] not in _MEANT_NOTHING[key]:
                raise Refused(
                    f"{where}: a {node['class_name']} of Keras 2 with {key}={settings[key]!r}, which Keras 3 does not "
                    "have. Export it with Keras 2: tf2onnx.convert.from_keras"
                )
            del settings[key]
            changed = True
    if not changed:
        return path
    copy = folder / "model.h5"
    shutil.copyfile(path, copy)
    with h5py.File(copy, "r+") as file:
        file.attrs["model_config"] = json.dumps(config)
    return copy


def convert(
    request: dict[str, Any], examples: NDArray[np.float32], folder: Path
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Load in safe mode, answer the examples, export."""
    import keras

    path = Path(request["path"])
    if path.suffix != ".keras":
        path = _without_remains(path, folder)
    model = keras.saving.load_model(str(path), compile=False, safe_mode=True)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise Refused(
            f"has {len(model.inputs)} inputs and {len(model.outputs)} outputs; edgepipe needs exactly one of each"
        )
    wanted = model.inputs[0]
    inputs, layout = placed(examples, list(wanted.shape[1:]), request["pictures"])
    inputs = np.ascontiguousarray(inputs, dtype=wanted.dtype)
    answers = np.concatenate([np.asarray(model(inputs[i : i + 32], training=False)) for i in range(0, len(inputs), 32)])
    model.export(str(folder / "model.onnx"), format="onnx", verbose=False)
    return answers, {"layout": layout}


if __name__ == "__main__":
    run(convert)
