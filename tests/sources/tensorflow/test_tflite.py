"""Files of TFLite: known by their name, and with the real library converted, or refused for what is in them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edgepipe.contract import Signature, Tensor
from edgepipe.contract.signature import Preprocessing
from edgepipe.errors import ModelError
from edgepipe.sources.tensorflow.file import TensorFlowModel

MISSING = [name for name in ("keras", "tensorflow", "tf2onnx") if importlib.util.find_spec(name) is None]
NEEDS = pytest.mark.skipif(
    bool(MISSING), reason=f"needs {', '.join(MISSING)}: pip install 'edgepipe[keras]' (1.5 GB), or make test-frameworks"
)
PICTURES = Signature(
    inputs=(Tensor(name="input", shape=(3, 16, 16)),), preprocessing=Preprocessing(image_size=(16, 16), channels=3)
)

_MAKE = """
import sys
import keras, numpy as np, tensorflow as tf
from keras import layers

keras.utils.set_random_seed(0)
stack = [layers.Conv2D(8, 3, padding="same", activation="relu"), layers.DepthwiseConv2D(3, strides=2, padding="same")]
end = [layers.BatchNormalization(), layers.ReLU(6.0), layers.GlobalAveragePooling2D(), layers.Dense(5)]
model = keras.Sequential([keras.Input((16, 16, 3)), *stack, *end, layers.Softmax()])

def write(name, converter):
    with open(sys.argv[1] + "/" + name, "wb") as file:
        file.write(converter.convert())

write("m.tflite", tf.lite.TFLiteConverter.from_keras_model(model))
whole = tf.lite.TFLiteConverter.from_keras_model(model)
whole.optimizations = [tf.lite.Optimize.DEFAULT]
whole.representative_dataset = lambda: ([np.random.rand(1, 16, 16, 3).astype("f")] for _ in range(8))
whole.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
whole.inference_input_type = whole.inference_output_type = tf.int8
write("int8.tflite", whole)

@tf.function(input_signature=[tf.TensorSpec((1, 16, 16, 3))])
def reads(x):
    return tf.reduce_mean(x, (1, 2)) + tf.cast(tf.strings.length(tf.io.read_file("/etc/passwd")), tf.float32)

flex = tf.lite.TFLiteConverter.from_concrete_functions([reads.get_concrete_function()])
flex.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
write("flex.tflite", flex)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tflite")
    quiet = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    (folder / "make.py").write_text(_MAKE)
    subprocess.run([sys.executable, "make.py", str(folder)], check=True, env=quiet, cwd=folder, capture_output=True)
    (folder / "words.tflite").write_bytes(b"no model at all")
    return folder


def test_a_file_is_known_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    assert TensorFlowModel.guess(str(path)) is None
    path.write_bytes(b"")
    found = TensorFlowModel.guess(str(path))
    assert found is not None and found.settings == {"path": str(path)}
    TensorFlowModel(path=str(path)).check(path)
    with pytest.raises(ModelError, match="no SavedModel"):
        TensorFlowModel(path="m").check(tmp_path / "m.onnx")


@NEEDS
@pytest.mark.slow
def test_a_float_file_answers_as_tflite_did(made: Path, tmp_path: Path) -> None:
    source = TensorFlowModel(path=str(made / "m.tflite"), tolerance=1e-5)  # compared with TFLite's own answers
    found = source.load(tmp_path, PICTURES, 0)
    session = onnxruntime.InferenceSession(found.onnx)
    answers = session.run(None, {"input": np.random.default_rng(0).random((3, 3, 16, 16), np.float32)})[0]
    assert answers.shape == (3, 5) and np.allclose(answers.sum(1), 1, atol=1e-5)
    assert np.abs(np.diff(answers, axis=0)).max() > 0


@NEEDS
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("flex.tflite", "the operator 'Flex.*' is none of TFLite's own"),
        ("int8.tflite", "its input is int8: it is quantized already"),
        ("words.tflite", r"no \.tflite file: its mark is missing"),
    ],
)
def test_what_is_no_float_model_of_tflite_is_refused(made: Path, tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        TensorFlowModel(path=str(made / name)).load(tmp_path, PICTURES, 0)
