"""Weights in files beside an ONNX file: every tensor's place is checked; links as the hub's caches have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, NodeProto, SparseTensorProto, TensorProto, helper, numpy_helper

from edgepipe.contract import Signature
from edgepipe.errors import ModelError
from edgepipe.onnx import external_data
from edgepipe.onnx.answers import session_answers
from edgepipe.sources.onnx_file import OnnxModel

WEIGHT = np.arange(40, dtype=np.float32).reshape(4, 10) / 40


def elsewhere(tensor: TensorProto, location: str, **more: int) -> TensorProto:
    """The tensor with its bytes in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
    return tensor


def model(*nodes: NodeProto, stored: list[TensorProto]) -> onnx.ModelProto:
    shapes = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name, size in (("x", 4), ("y", 10))
    ]
    given = nodes or (helper.make_node("MatMul", ["x", "w"], ["y"]),)
    graph = helper.make_graph(list(given), "g", shapes[:1], shapes[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def weight(location: str, **more: int) -> TensorProto:
    return elsewhere(numpy_helper.from_array(WEIGHT, "w"), location, **more)


def load(path: Path, out: Path) -> np.ndarray:
    """What the loaded model answers to the unit vectors: its weight."""
    out.mkdir()
    artifact = OnnxModel(path=str(path)).load(out, Signature(input_shape=(4,)), 0)
    return session_answers(artifact.onnx)(np.eye(4, dtype=np.float32))


def _sparse(of: SparseTensorProto, part: str) -> None:
    of.values.CopyFrom(numpy_helper.from_array(np.ones(2, np.float32), "s"))
    of.indices.CopyFrom(numpy_helper.from_array(np.array([0, 3]), "i"))
    of.dims.extend([4, 10])
    elsewhere(getattr(of, part), "../outside.bin")


def _attribute(network: onnx.ModelProto, kind: str) -> AttributeProto:
    network.graph.node.append(helper.make_node("Constant", [], ["c"]))
    attribute = network.graph.node[-1].attribute.add()
    attribute.name, attribute.type = "value", getattr(AttributeProto, kind)
    return attribute


def _in_an_attribute(network: onnx.ModelProto) -> None:
    _attribute(network, "TENSOR").t.CopyFrom(weight("../outside.bin"))


def _in_a_list(network: onnx.ModelProto) -> None:
    _attribute(network, "TENSORS").tensors.append(weight("../outside.bin"))


def _in_a_sparse_attribute(network: onnx.ModelProto) -> None:
    _sparse(_attribute(network, "SPARSE_TENSOR").sparse_tensor, "values")


def _in_a_list_of_sparse(network: onnx.ModelProto) -> None:
    _sparse(_attribute(network, "SPARSE_TENSORS").sparse_tensors.add(), "indices")


def _in_a_sparse_initializer(network: onnx.ModelProto) -> None:
    _sparse(network.graph.sparse_initializer.add(), "indices")


def _in_a_subgraph(network: onnx.ModelProto) -> None:
    _attribute(network, "GRAPH").g.initializer.append(weight("../outside.bin"))


def _in_a_function(network: onnx.ModelProto) -> None:
    function = network.functions.add()
    function.node.append(helper.make_node("Constant", [], ["c"], value=weight("../outside.bin")))


def _in_a_default(network: onnx.ModelProto) -> None:
    attribute = network.functions.add().attribute_proto.add()
    attribute.t.CopyFrom(weight("../outside.bin"))


def _in_training(network: onnx.ModelProto) -> None:
    network.training_info.add().algorithm.initializer.append(weight("../outside.bin"))


@pytest.mark.parametrize(
    "put",
    [
        _in_an_attribute,
        _in_a_list,
        _in_a_sparse_attribute,
        _in_a_list_of_sparse,
        _in_a_sparse_initializer,
        _in_a_subgraph,
        _in_a_function,
        _in_a_default,
        _in_training,
    ],
)
def test_no_tensor_anywhere_points_out_of_the_folder(put, tmp_path: Path) -> None:
    (tmp_path / "outside.bin").write_bytes(WEIGHT.tobytes())
    (tmp_path / "in").mkdir()
    network = model(stored=[numpy_helper.from_array(WEIGHT, "w")])
    put(network)
    onnx.save(network, tmp_path / "in" / "m.onnx")
    settings = OnnxModel(path=str(tmp_path / "in" / "m.onnx"))
    for asked in (settings.digests, lambda: settings.load(tmp_path, Signature(input_shape=(4,)), 0)):
        with pytest.raises(ModelError, match=r"points outside the model's folder: '\.\./outside\.bin'"):
            asked()


@pytest.mark.parametrize(
    "location", ["", "C:\\w.bin", "\\w.bin", "a\\..\\..\\w.bin", "a/../w.bin", "/w.bin", "w\0.bin"]
)
def test_a_location_is_a_relative_name(location: str, tmp_path: Path) -> None:
    onnx.save(model(stored=[weight(location)]), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="points outside the model's folder"):
        OnnxModel(path=str(tmp_path / "m.onnx")).digests()


@pytest.mark.parametrize("entry", [{"offset": -8}, {"length": -160}, {"offset": 8}, {"length": 8}, {"offset": "some"}])
def test_a_place_that_the_file_does_not_have(entry: dict, tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHT.tobytes())
    onnx.save(model(stored=[weight("w.bin", **entry)]), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"external data: tensor 'w' (reaches past|takes 160 bytes|has no readable)"):
        OnnxModel(path=str(tmp_path / "m.onnx")).digests()


def cached(home: Path, network: onnx.ModelProto, content: bytes) -> Path:
    """A snapshot of the hub's cache: links to blobs; the path of the model in it."""
    (home / "blobs").mkdir(parents=True)
    (home / "snapshots" / "f00" / "onnx").mkdir(parents=True)
    onnx.save(network, home / "blobs" / "aa.onnx")
    (home / "blobs" / "aa.onnx").rename(home / "blobs" / "aa")
    (home / "blobs" / "bb").write_bytes(content)
    for name, blob in (("model.onnx", "aa"), ("model.onnx_data", "bb")):
        (home / "snapshots" / "f00" / "onnx" / name).symlink_to(Path("../../../blobs") / blob)
    return home / "snapshots" / "f00" / "onnx" / "model.onnx"


def test_links_as_the_hubs_cache_has_them(tmp_path: Path) -> None:
    constant = helper.make_node("Constant", [], ["c"], value=weight("model.onnx_data", offset=16, length=160))
    nodes = [constant, helper.make_node("MatMul", ["x", "c"], ["h"]), helper.make_node("Add", ["h", "b"], ["y"])]
    bias = elsewhere(numpy_helper.from_array(np.zeros(4, np.float32)[:1], "b"), "model.onnx_data")
    path = cached(tmp_path / "hub", model(*nodes, stored=[bias]), bytes(16) + WEIGHT.tobytes())
    assert np.allclose(load(path, tmp_path / "one"), WEIGHT)
    (tmp_path / "shortcut.onnx").symlink_to(path)  # a link to the link
    assert np.allclose(load(tmp_path / "shortcut.onnx", tmp_path / "two"), WEIGHT)
    (tmp_path / "folder").symlink_to(path.parent)
    assert np.allclose(load(tmp_path / "folder" / "model.onnx", tmp_path / "three"), WEIGHT)
    before = OnnxModel(path=str(path)).digests()
    assert set(before) == {"model", "model.onnx_data"}
    (tmp_path / "hub" / "blobs" / "bb").write_bytes(bytes(16) + (-WEIGHT).tobytes())
    assert OnnxModel(path=str(path)).digests()["model.onnx_data"] != before["model.onnx_data"]


def test_a_link_out_of_a_downloaded_folder_is_refused_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "down").mkdir()
    onnx.save(model(stored=[weight("w.bin")]), tmp_path / "down" / "m.onnx")
    (tmp_path / "down" / "w.bin").symlink_to("/etc/passwd")
    with pytest.raises(ModelError, match=r"'w\.bin' is a link to /etc/passwd"):
        OnnxModel(path=str(tmp_path / "down" / "m.onnx")).digests()
    path = cached(tmp_path / "hub", model(stored=[weight("model.onnx_data")]), WEIGHT.tobytes())
    path.with_name("model.onnx_data").unlink()
    path.with_name("model.onnx_data").symlink_to("/etc/passwd")
    with pytest.raises(ModelError, match=r"'model\.onnx_data' is a link to /etc/passwd"):
        OnnxModel(path=str(path)).digests()


def test_a_weight_named_model_does_not_hide_the_model_from_the_digest(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(WEIGHT.tobytes())
    onnx.save(model(stored=[weight("model")]), tmp_path / "m.onnx")
    assert len(OnnxModel(path=str(tmp_path / "m.onnx")).digests()) == 2


def test_more_than_one_file_holds_is_said_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHT.tobytes())
    onnx.save(model(stored=[weight("w.bin")]), tmp_path / "m.onnx")
    monkeypatch.setattr(external_data, "LARGEST_BYTES", 100)
    with pytest.raises(ModelError, match=r"its weights take 0\.0 GB; an ONNX file .* holds"):
        load(tmp_path / "m.onnx", tmp_path / "out")
