"""Run in a fresh process: a SavedModel or a .tflite file to model.onnx."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.onnx.batch_axis import answered, batch_axis
from edgepipe.sources.converter import Refused, placed, run
from edgepipe.sources.tensorflow.check import check


def _checked(path: Path, folder: Path) -> Path:
    """The folder to load: the model's own, or one beside without what an optimizer keeps of its variables.

    TensorFlow gives an optimizer's slots back to it while it loads, and ends with "no attribute 'add_slot'" where the
    optimizer is of a class that it does not know any more. No answer hangs on them.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((path / "saved_model.pb").read_bytes())
    check(saved, path)
    objects = [node for graph in saved.meta_graphs for node in graph.object_graph_def.nodes]
    if not any(node.slot_variables for node in objects):
        return path
    for node in objects:
        del node.slot_variables[:]
    home = folder / "model"
    home.mkdir()
    for part in ("variables", "assets"):
        if (path / part).is_dir():
            (home / part).symlink_to((path / part).resolve())
    (home / "saved_model.pb").write_bytes(saved.SerializeToString())
    return home


def convert(
    request: dict[str, Any], examples: NDArray[np.float32], folder: Path
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Look at the graph, load it, answer the examples, convert."""
    if Path(request["path"]).is_file():
        from edgepipe.sources.tensorflow import tflite

        return tflite.convert(request, examples, folder)
    path = _checked(Path(request["path"]), folder)
    import tensorflow as tf
    import tf2onnx

    if not hasattr(np, "object"):  # tf2onnx 1.17 still says np.object, which numpy 1.24 took away
        np.object = object  # type: ignore[attr-defined]

    loaded = tf.saved_model.load(str(path))
    names = sorted(loaded.signatures)
    if request["signature"] not in names:
        raise Refused(
            f"it has no signature '{request['signature']}'. Set model.signature to one of: {', '.join(names)}"
        )
    function = loaded.signatures[request["signature"]]
    inputs = function.structured_input_signature[1]
    if len(inputs) != 1:
        raise Refused(f"has {len(inputs)} inputs ({', '.join(sorted(inputs))}); edgepipe needs exactly one")
    ((name, spec),) = inputs.items()
    outputs = sorted(function.structured_outputs)
    output = request["output"] or (outputs[0] if len(outputs) == 1 else None)
    if output not in outputs:
        raise Refused(f"has the outputs {', '.join(outputs)}: set model.output to one of them")
    if spec.shape.rank is None:
        raise Refused("its input has no shape: save it with an input signature of known rank")
    if spec.dtype == tf.string:
        raise Refused("its input is text or encoded files, and edgepipe feeds numbers: save the part behind it")
    ready, layout = placed(examples, list(spec.shape[1:]), request["pictures"])
    ready = np.ascontiguousarray(ready, dtype=spec.dtype.as_numpy_dtype)
    batch = spec.shape[0]

    def ask(rows: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = function(**{name: tf.constant(rows)})[output].numpy()
        return found

    answers = answered(ask, ready, batch, batch_axis(ask, ready[:4], batch), together=32)

    def only(x: Any) -> Any:
        return function(**{name: x})[output]

    given = tf.TensorSpec((batch, *ready.shape[1:]), spec.dtype, name="input")
    tf2onnx.convert.from_function(
        tf.function(only), input_signature=[given], opset=request["opset"], output_path=str(folder / "model.onnx")
    )
    return answers, {"layout": layout}


if __name__ == "__main__":
    run(convert)
