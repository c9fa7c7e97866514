"""Run in a fresh process: a Keras file to model.onnx."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.models.converter import Refused, placed, run


def convert(
    request: dict[str, Any], examples: NDArray[np.float32], folder: Path
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Load in safe mode, answer the examples, export."""
    import keras

    import edgepipe.models.tf2onnx_operators  # noqa: F401  # registers them

    model = keras.saving.load_model(request["path"], compile=False, safe_mode=True)
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
