"""Within the converter's fresh process: a .tflite file to model.onnx."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.sources.converter import Refused, placed

_CUSTOM = 32
"""BuiltinOperator.CUSTOM of TFLite's schema: an operator of somebody's, or one of TensorFlow that may read files."""


def _checked(path: Path) -> None:
    """Refuse operators that TFLite's own are not: "Flex" ones are TensorFlow's, which may touch the machine."""
    from tf2onnx.tflite.Model import Model

    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise Refused("no .tflite file: its mark is missing. Write one with tf.lite.TFLiteConverter")
    model = Model.GetRootAsModel(content, 0)
    for number in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(number)
        if max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) == _CUSTOM:
            name = (code.CustomCode() or b"").decode(errors="replace")
            raise Refused(
                f"the operator '{name}' is none of TFLite's own: it may do more than compute, and ONNX has none like "
                "it. Convert with supported_ops=[tf.lite.OpsSet.TFLITE_BUILTINS]"
            )
    if model.SubgraphsLength() != 1:
        raise Refused(f"has {model.SubgraphsLength()} graphs (signatures or loops); tf2onnx reads one")


def convert(
    request: dict[str, Any], examples: NDArray[np.float32], folder: Path
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Look at the operators, answer the examples by TFLite, convert."""
    path = Path(request["path"])
    _checked(path)
    import tensorflow as tf
    import tf2onnx

    if not hasattr(np, "object"):  # tf2onnx 1.17 still says np.object, which numpy 1.24 took away
        np.object = object  # type: ignore[attr-defined]

    interpreter = tf.lite.Interpreter(str(path), num_threads=1)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if len(inputs) != 1:
        raise Refused(f"has {len(inputs)} inputs; edgepipe needs exactly one")
    names = [item["name"] for item in outputs]
    output = request["output"] or (names[0] if len(names) == 1 else None)
    if output not in names:
        raise Refused(f"has the outputs {', '.join(names)}: set model.output to one of them")
    given, asked = inputs[0], outputs[names.index(output)]
    for what, item in (("input", given), ("output", asked)):
        if item["dtype"] != np.float32:
            raise Refused(
                f"its {what} is {np.dtype(item['dtype']).name}: it is quantized already. Give the float model that it "
                "was made from"
            )
    wanted: list[int | None] = [None if size < 0 else int(size) for size in given["shape_signature"]]
    ready, layout = placed(examples, wanted[1:], request["pictures"])
    ready = np.ascontiguousarray(ready, np.float32)
    interpreter.resize_tensor_input(given["index"], [1, *ready.shape[1:]])
    interpreter.allocate_tensors()
    answers = []
    for row in ready:
        interpreter.set_tensor(given["index"], row[None])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(asked["index"]))
    tf2onnx.convert.from_tflite(
        str(path), opset=request["opset"], output_names=[output], output_path=str(folder / "model.onnx")
    )
    return np.concatenate(answers), {"layout": layout}
