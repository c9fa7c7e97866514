"""Keras and TensorFlow models: what is refused before any of it is loaded, and whole runs with the real libraries."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import onnx
import pytest

from edgepipe.__main__ import main
from edgepipe.errors import ModelError
from edgepipe.metrics import Metrics
from edgepipe.models.keras_file import KerasModel
from edgepipe.models.saved_model import TensorFlowModel

MISSING = [name for name in ("keras", "tensorflow", "tf2onnx") if importlib.util.find_spec(name) is None]
NEEDS = pytest.mark.skipif(
    bool(MISSING), reason=f"needs {', '.join(MISSING)}: pip install 'edgepipe[keras]' (1.5 GB), or make test-frameworks"
)


def archive(path: Path, *layers: dict[str, Any]) -> Path:
    config = {"class_name": "Sequential", "module": "keras", "config": {"layers": list(layers)}}
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("config.json", json.dumps(config))
    return path


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ({"class_name": "Lambda", "module": "keras.layers"}, r"config\.config\.layers\[0\]: a Lambda layer"),
        ({"class_name": "__lambda__", "config": {"value": "4wEAAAA="}}, "a Lambda layer"),
        ({"class_name": "system", "module": "os"}, r"'system' of module 'os' is not a part of Keras"),
        ({"class_name": "X", "module": "kerasx.layers"}, "not a part of Keras"),
        ({"class_name": "function", "module": "builtins", "config": "eval"}, "not a part of Keras"),
    ],
)
def test_code_in_a_keras_file_is_refused_unread(tmp_path: Path, layer: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        KerasModel(path="m").check(archive(tmp_path / "m.keras", layer))


def test_plain_layers_are_not_refused_and_other_files_are(tmp_path: Path) -> None:
    KerasModel(path="m").check(archive(tmp_path / "m.keras", {"class_name": "Dense", "module": "keras.layers"}))
    (tmp_path / "junk.keras").write_bytes(b"junk")
    with pytest.raises(ModelError, match=r"not a \.keras file"):
        KerasModel(path="m").check(tmp_path / "junk.keras")
    with pytest.raises(ModelError, match=r"not a \.keras or \.h5 file"):
        KerasModel(path="m").check(tmp_path)
    with pytest.raises(ModelError, match=r"no SavedModel"):
        TensorFlowModel(path="m").check(tmp_path)


def test_a_missing_framework_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgepipe.artifact import Signature

    monkeypatch.setattr(KerasModel, "modules", ("keras", "not_installed_anywhere"))
    with pytest.raises(ModelError, match=r"needs .*not_installed_anywhere.*edgepipe\[keras\]"):
        KerasModel(path=str(tmp_path)).load(tmp_path, Signature(input_shape=(3, 16, 16)), 0)


_MAKE = """
import sys
import numpy as np
import keras
from keras import layers

keras.utils.set_random_seed(0)
inputs = layers.Input((16, 16, 3))
x = layers.Conv2D(8, 3, padding="same", use_bias=False)(inputs)
x = layers.ReLU()(layers.BatchNormalization()(x))
x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
x = layers.DepthwiseConv2D(3, padding="same", activation="relu6")(x)
model = keras.Model(inputs, layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x)))
model.save(sys.argv[1] + "/m.keras")
model.save(sys.argv[1] + "/m.h5")
model.export(sys.argv[1] + "/saved", verbose=False)
import tensorflow as tf

class Reader(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 16, 16, 3), tf.float32)])
    def __call__(self, x):
        tf.io.write_file(sys.argv[1] + "/stolen", "secret")
        return tf.reduce_mean(x, axis=(1, 2))

reader = Reader()
tf.saved_model.save(reader, sys.argv[1] + "/reader", signatures=reader.__call__.get_concrete_function())
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keras")
    quiet = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    subprocess.run([sys.executable, "-c", _MAKE, str(folder)], check=True, env=quiet, capture_output=True)
    return folder


@NEEDS
@pytest.mark.slow
@pytest.mark.parametrize(("source", "name"), [("keras", "m.keras"), ("keras", "m.h5"), ("tensorflow", "saved")])
def test_a_model_with_channels_last_runs_whole_with_channels_first_and_int8(
    made: Path, tmp_path: Path, source: str, name: str
) -> None:
    argv = ["recipe=ptq", f"model={source}", f"model.path={made / name}", "data=digits", "data.image_size=16"]
    argv += ["~goal", f"store.root={tmp_path}/store", f"hydra.run.dir={tmp_path}/run", "measure.latency_seconds=0.2"]
    assert main(argv) == 0
    found = Metrics.model_validate_json((tmp_path / "run" / "metrics.json").read_text())
    assert found.final is not None
    assert found.final.int8_share.conv == 1.0
    assert found.versus_baseline is not None
    assert found.versus_baseline.agreement is not None and found.versus_baseline.agreement > 0.9
    assert found.passes[0].facts["layout"] == "nhwc"
    graph = onnx.load(tmp_path / "run" / "final" / "model.onnx").graph
    assert not any(node.op_type == "Transpose" for node in graph.node)
    assert [dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim][1:] == [3, 16, 16]
    manifest = json.loads((tmp_path / "run" / "final" / "manifest.json").read_text())
    assert manifest["signature"]["input_shape"] == [3, 16, 16]


@NEEDS
@pytest.mark.slow
def test_a_graph_that_writes_files_is_refused(made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    argv = ["recipe=ptq", "model=tensorflow", f"model.path={made}/reader", "data=digits", "data.image_size=16"]
    assert main([*argv, f"store.root={tmp_path}/store", f"hydra.run.dir={tmp_path}/run"]) == 2
    assert "WriteFile, which reaches beyond the model" in capfd.readouterr().err
    assert not (made / "stolen").exists()
