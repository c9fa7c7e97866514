"""Keras and TensorFlow models: what is refused before any of it is loaded, and whole runs with the real libraries."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from edgepipe.__main__ import main
from edgepipe.contract import Signature
from edgepipe.errors import ModelError
from edgepipe.records.metrics import Metrics
from edgepipe.sources.keras.file import KerasModel
from edgepipe.sources.tensorflow.file import TensorFlowModel

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


def test_what_a_model_was_trained_with_is_not_read(tmp_path: Path) -> None:
    config = {"class_name": "Sequential", "module": "keras", "config": {"layers": []}}
    config["compile_config"] = {"loss": {"class_name": "function", "module": "mine", "config": "loss"}}
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as out:
        out.writestr("config.json", json.dumps(config))
    KerasModel(path="m").check(tmp_path / "m.keras")


def test_plain_layers_are_not_refused_and_other_files_are(tmp_path: Path) -> None:
    KerasModel(path="m").check(archive(tmp_path / "m.keras", {"class_name": "Dense", "module": "keras.layers"}))
    (tmp_path / "junk.keras").write_bytes(b"junk")
    with pytest.raises(ModelError, match=r"not a \.keras file"):
        KerasModel(path="m").check(tmp_path / "junk.keras")
    with pytest.raises(ModelError, match=r"not a \.keras or \.h5 file"):
        KerasModel(path="m").check(tmp_path)
    with pytest.raises(ModelError, match=r"no SavedModel"):
        TensorFlowModel(path="m").check(tmp_path)


def _zip(path: Path, text: bytes) -> bytearray:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("config.json", text)
    return bytearray(path.read_bytes())


def _deep(path: Path) -> None:
    _zip(path, b"[" * 100_000 + b"]" * 100_000)


def _spoiled(path: Path) -> None:
    content = _zip(path, b'{"a": "' + b"x" * 3000 + b'"}')
    content[45:60] = b"\xff" * 15  # inside the deflated data
    path.write_bytes(content)


def _encrypted(path: Path) -> None:
    content = _zip(path, b"{}")
    content[6] |= 1  # the flag, in the file's own header and in the directory's
    content[content.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


def _method(path: Path) -> None:
    content = _zip(path, b"{}")
    content[8] = content[content.find(b"PK\x01\x02") + 10] = 97  # WavPack
    path.write_bytes(content)


def _list(path: Path) -> None:
    _zip(path, b"[]")


def _no_config(path: Path) -> None:
    _zip(path, b'{"class_name": "Sequential", "config": [1]}')


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_deep, "nested deeper than any model"),
        (_spoiled, "Error -3 while decompressing"),
        (_encrypted, "encrypted"),
        (_method, "compression method is not supported"),
        (_list, "no object with a class_name"),
        (_no_config, "the Sequential has no config"),
    ],
)
def test_a_damaged_or_hostile_keras_file_is_refused_in_a_sentence(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    make(tmp_path / "m.keras")
    with pytest.raises(ModelError, match=rf"m\.keras: not a \.keras file: .*{said}.*Save it again"):
        KerasModel(path="m").check(tmp_path / "m.keras")


@pytest.mark.parametrize(
    ("config", "said"),
    [(5, "not text"), ("[" * 60_000, "nested deeper than any model"), ("[]", "no object with a class_name")],
)
def test_a_damaged_or_hostile_h5_file_is_refused_in_a_sentence(tmp_path: Path, config: Any, said: str) -> None:
    h5py = pytest.importorskip("h5py", reason="needs the extra keras: pip install 'edgepipe[keras]'")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["model_config"] = config
    with pytest.raises(ModelError, match=rf"m\.h5: not an \.h5 model: .*{said}"):
        KerasModel(path="m").check(tmp_path / "m.h5")


def test_a_missing_framework_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgepipe.contract import Signature

    monkeypatch.setattr(KerasModel, "modules", ("keras", "not_installed_anywhere"))
    with pytest.raises(ModelError, match=r"needs .*not_installed_anywhere.*edgepipe\[keras\]"):
        KerasModel(path=str(tmp_path)).load(tmp_path, Signature(input_shape=(3, 16, 16)), 0)


_MAKE = r"""
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
rows = layers.Input((8,))
gelu = keras.Model(rows, layers.Dense(4)(layers.Dense(16, activation="gelu")(rows)))
gelu.compile(loss=lambda wanted, found: keras.ops.mean(found), optimizer="sgd")
gelu.save(sys.argv[1] + "/gelu.keras")
model.export(sys.argv[1] + "/saved", verbose=False)
import tensorflow as tf

OUT = sys.argv[1]
open(OUT + "/words.txt", "w").write("a\nb\n")
like = tf.TensorSpec((None, 16, 16, 3), tf.float32)
words = tf.lookup.TextFileInitializer(
    OUT + "/words.txt",
    tf.string,
    tf.lookup.TextFileIndex.WHOLE_LINE,
    tf.int64,
    tf.lookup.TextFileIndex.LINE_NUMBER,
)

def write(x):
    tf.io.write_file(OUT + "/stolen", "secret")
    return tf.reduce_mean(x, axis=(1, 2))

def cache(x):
    total = tf.constant(0.0)
    for item in tf.data.Dataset.from_tensors(x).cache(OUT + "/stolen"):
        total += tf.reduce_sum(item)
    return tf.reduce_mean(x, axis=(1, 2)) + total

def read(x):
    for item in tf.data.FixedLengthRecordDataset([OUT + "/words.txt"], 1).take(1):
        tf.print(item)
    return tf.reduce_mean(x, axis=(1, 2))

def say(x):
    tf.print("secret", output_stream="file://" + OUT + "/stolen")
    return tf.reduce_mean(x, axis=(1, 2))

def restore(x):
    weights = tf.raw_ops.RestoreV2(
        prefix=OUT + "/other", tensor_names=["w"], shape_and_slices=[""], dtypes=[tf.float32]
    )
    return tf.reduce_mean(x, axis=(1, 2)) + weights[0]

def branch(x):
    return tf.cond(tf.reduce_sum(x) > 0.0, lambda: write(x), lambda: tf.reduce_mean(x, axis=(1, 2)))

def loop(x):
    step = tf.constant(0)
    while step < 3:
        x, step = tf.nn.silu(x) + tf.random.uniform(tf.shape(x)), step + 1
    tf.debugging.assert_rank(x, 4)
    return tf.map_fn(lambda row: tf.reduce_mean(row, axis=(0, 1)), x)

class Worded(tf.Module):
    def __init__(self):
        super().__init__()
        self.table = tf.lookup.StaticHashTable(words, -1)
        self.other = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([1, 2], [3, 4]), -1)

    def __call__(self, x):
        return tf.reduce_mean(x, axis=(1, 2)) + tf.cast(self.table.lookup(tf.constant("b")), tf.float32)

def save(name, function, module=None):
    module = module or tf.Module()
    module.f = tf.function(function, input_signature=[like])
    tf.saved_model.save(module, OUT + "/" + name, signatures=module.f)

for function in (write, cache, read, say, restore, branch, loop):
    save(function.__name__, function)
worded = Worded()
save("table", worded.__call__, worded)
module = tf.Module()
module.quiet = tf.function(lambda: write(tf.zeros((1, 2, 2, 3))), input_signature=[])
save("quiet", lambda x: tf.reduce_mean(x, axis=(1, 2)), module)

from tensorflow.core.protobuf import saved_model_pb2

def changed(name, source, change):
    import shutil
    shutil.copytree(OUT + "/" + source, OUT + "/" + name)
    saved = saved_model_pb2.SavedModel()
    with open(OUT + "/" + source + "/saved_model.pb", "rb") as file:
        saved.ParseFromString(file.read())
    change(saved)
    with open(OUT + "/" + name + "/saved_model.pb", "wb") as file:
        file.write(saved.SerializeToString())

def rename(saved):
    # Every function gets the name of those that save weights, wherever it is named.
    def walk(message):
        for field, value in message.ListFields():
            for item in value if field.is_repeated else [value]:
                if field.type == field.TYPE_MESSAGE and hasattr(item, "ListFields"):
                    walk(item)
            if field.type == field.TYPE_STRING:
                if field.is_repeated:
                    value[:] = [new.get(item, item) for item in value]
                else:
                    setattr(message, field.name, new.get(value, value))
    graph = saved.meta_graphs[0]
    library = graph.graph_def.library
    new = {item.signature.name: "__inference__traced_save_" + str(n) for n, item in enumerate(library.function)}
    for function in library.function:
        function.signature.name = new[function.signature.name]
        for node in function.node_def:
            for attribute in node.attr.values():
                walk(attribute)
    for node in graph.graph_def.node:
        for attribute in node.attr.values():
            walk(attribute)
    for node in graph.object_graph_def.nodes:
        walk(node)
    concrete = graph.object_graph_def.concrete_functions
    for old in list(concrete):
        kept = concrete[old].SerializeToString()
        del concrete[old]
        concrete[new[old]].ParseFromString(kept)

def outside(saved):
    saved.meta_graphs[0].asset_file_def[0].filename = "../../words.txt"

def fixed(saved):
    # The file that fills the table is named by the graph, not by an asset.
    for function in saved.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            if node.op == "InitializeTableFromTextFileV2":
                path = function.node_def.add(name="path", op="Const")
                path.attr["dtype"].type = tf.string.as_datatype_enum
                path.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(OUT + "/words.txt"))
                node.input[1] = "path:output:0"
                break

def hook(saved):
    # No signature calls this function, but TensorFlow calls what has this name when it restores the weights.
    for node in saved.meta_graphs[0].object_graph_def.nodes:
        for child in node.children:
            if child.local_name == "quiet":
                child.local_name = "_gather_saveables_for_checkpoint"

def old_format(saved):
    saved.meta_graphs[0].ClearField("object_graph_def")

changed("renamed", "write", rename)
changed("outside", "table", outside)
changed("fixed", "table", fixed)
changed("hooked", "quiet", hook)
changed("old_format", "loop", old_format)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keras")
    quiet = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    (folder / "make.py").write_text(_MAKE)  # a file, for TensorFlow reads the source of loops over tensors
    subprocess.run([sys.executable, "make.py", str(folder)], check=True, env=quiet, cwd=folder)
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
def test_gelu_is_converted_and_a_loss_of_ones_own_is_left_unread(made: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    model = KerasModel(path=str(made / "gelu.keras"), tolerance=1e-5)
    found = model.load(tmp_path / "out", Signature(input_shape=(8,)), 0)  # compared with Keras's own answers
    assert "Erf" in {node.op_type for node in onnx.load(found.onnx).graph.node}


@NEEDS
@pytest.mark.slow
def test_a_graph_that_writes_files_is_refused(made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    argv = ["recipe=ptq", "model=tensorflow", f"model.path={made}/renamed", "data=digits", "data.image_size=16"]
    assert main([*argv, f"store.root={tmp_path}/store", f"hydra.run.dir={tmp_path}/run"]) == 2
    assert "WriteFile, which reaches beyond the model" in capfd.readouterr().err
    assert not (made / "stolen").exists()


_CHECK = """
import sys
from pathlib import Path
from tensorflow.core.protobuf import saved_model_pb2
from edgepipe.sources.converter import Refused
from edgepipe.sources.tensorflow.check import check

for name in sys.argv[2:]:
    folder = Path(sys.argv[1]) / name
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    try:
        check(saved, folder)
        print(name, "passes")
    except Refused as error:
        print(name, error)
"""


@NEEDS
@pytest.mark.slow
def test_what_a_graph_may_do_is_told_by_its_operators_wherever_they_are_and_by_no_name(made: Path) -> None:
    """A write in a branch, in a function named like TensorFlow's own or in none of the signatures; files of tables."""
    said = {
        "write": "a WriteFile",
        "renamed": "a WriteFile",
        "branch": "a WriteFile",
        "hooked": "a WriteFile",
        "cache": "Dataset",
        "read": "Dataset",
        "say": "a PrintV2",
        "restore": "a RestoreV2",
        "outside": "asset '../../words.txt' lies outside",
        "fixed": "a InitializeTableFromTextFileV2",
        "old_format": "the format of TensorFlow 1",
        "saved": "passes",
        "loop": "passes",
        "table": "passes",
    }
    done = subprocess.run(
        [sys.executable, "-c", _CHECK, str(made), *said], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    found = dict(line.split(" ", 1) for line in done)
    assert found.keys() == said.keys()
    assert [name for name, words in said.items() if words not in found[name]] == []


OLD = """
import json, h5py, keras, sys
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.keras.optimizer_v2 import adam

layers = keras.layers
model = keras.Sequential([layers.Input((8, 8, 3)), layers.DepthwiseConv2D(3), layers.Flatten(), layers.Dense(3)])
model.save(sys.argv[1] + "/m.h5")
with h5py.File(sys.argv[1] + "/m.h5", "r+") as file:
    config = json.loads(file.attrs["model_config"])
    for layer in config["config"]["layers"]:
        if layer["class_name"] == "DepthwiseConv2D":
            layer["config"]["groups"] = int(sys.argv[2])
    file.attrs["model_config"] = json.dumps(config)

class Trained(tf.Module):
    def __init__(self):
        self.w = tf.Variable(tf.ones((4, 3)))
        self.optimizer = adam.Adam()

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
    def __call__(self, x):
        return {"y": tf.matmul(x, self.w)}

trained = Trained()
with tf.GradientTape() as tape:
    loss = tf.reduce_sum(trained(tf.ones((2, 4)))["y"])
trained.optimizer.apply_gradients([(tape.gradient(loss, trained.w), trained.w)])
tf.saved_model.save(trained, sys.argv[1] + "/sm", signatures=trained.__call__)
saved = saved_model_pb2.SavedModel()
with open(sys.argv[1] + "/sm/saved_model.pb", "rb") as file:
    saved.ParseFromString(file.read())
for node in saved.meta_graphs[0].object_graph_def.nodes:
    if node.slot_variables:
        node.user_object.identifier = "_generic_user_object"  # a class that this TensorFlow does not know
with open(sys.argv[1] + "/sm/saved_model.pb", "wb") as file:
    file.write(saved.SerializeToString())
"""


@NEEDS
@pytest.mark.slow
@pytest.mark.parametrize("groups", [1, 3])
def test_settings_of_keras_2_and_an_optimizer_inside_are_left_out_where_they_mean_nothing(
    tmp_path: Path, groups: int
) -> None:
    subprocess.run([sys.executable, "-c", OLD, str(tmp_path), str(groups)], check=True, capture_output=True)
    (tmp_path / "out").mkdir()
    source = KerasModel(path=str(tmp_path / "m.h5"))
    if groups == 3:
        with pytest.raises(ModelError, match=r"DepthwiseConv2D of Keras 2 with groups=3, which Keras 3 does not have"):
            source.load(tmp_path / "out", Signature(input_shape=(3, 8, 8)), 0)
        return
    source.load(tmp_path / "out", Signature(input_shape=(3, 8, 8)), 0)  # compares with Keras's own answers
    (tmp_path / "other").mkdir()
    TensorFlowModel(path=str(tmp_path / "sm")).load(tmp_path / "other", Signature(input_shape=(4,)), 0)


_STEPS_FIRST = """
import sys
from pathlib import Path
import numpy as np
import tensorflow as tf
from edgepipe.sources.tensorflow.to_onnx import convert

x = np.random.default_rng(0).standard_normal((7, 20, 4)).astype(np.float32)
for batch in (None, 3):
    module = tf.Module()
    module.f = tf.function(
        lambda x: tf.transpose(x * 2, (1, 0, 2)), input_signature=[tf.TensorSpec((batch, 20, 4), tf.float32)]
    )
    folder = Path(sys.argv[1]) / str(batch)
    (folder / "work").mkdir(parents=True)
    tf.saved_model.save(module, str(folder / "sm"), signatures=module.f)
    request = {
        "path": str(folder / "sm"), "signature": "serving_default", "output": None, "pictures": False, "opset": 17
    }
    answers, _ = convert(request, x, folder / "work")
    np.testing.assert_array_equal(answers, 2 * x)
"""


@NEEDS
@pytest.mark.slow
def test_a_saved_model_is_asked_along_the_axis_that_counts_examples(tmp_path: Path) -> None:
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    subprocess.run([sys.executable, "-c", _STEPS_FIRST, str(tmp_path)], check=True, env=quiet)
