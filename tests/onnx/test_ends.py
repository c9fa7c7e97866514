"""What an ONNX graph takes and gives: layouts of pictures, and ends that the file declares wrongly or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edgepipe.contract import Job, Preprocessing, Signature, Tensor
from edgepipe.data.npz import NpzData
from edgepipe.errors import ModelError
from edgepipe.onnx.answers import session_answers
from edgepipe.passes.export import Export
from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.sources.onnx_file import OnnxModel
from tests.onnx import networks

node = helper.make_node
SIZE = (6, 8)


def stored(name: str, *shape: int) -> TensorProto:
    value = np.random.default_rng(len(name)).standard_normal(shape) / 4
    return numpy_helper.from_array(value.astype(np.float32), name)


def value(name: str, *shape: int | str | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def last(channels: int = 3, *sizes: int | str | None, direct: bool = False, front: bool = False) -> onnx.ModelProto:
    """Takes pictures with channels last; `direct`: a layer reads them so, else a transpose comes first.

    Args:
        front: the mean of each channel is subtracted before the transpose.
    """
    nodes: list[NodeProto] = []
    read = "x"
    if front:
        nodes.append(node("Sub", ["x", "mean"], ["x0"]))
        read = "x0"
    if direct:
        nodes += [node("MatMul", [read, "pointwise"], ["h"]), node("ReduceMean", ["h"], ["q"], axes=[1, 2], keepdims=0)]
    else:
        nodes += [
            node("Transpose", [read], ["t"], perm=[0, 3, 1, 2]),
            node("Conv", ["t", "w"], ["h"]),
            node("ReduceMean", ["h"], ["q"], axes=[2, 3], keepdims=0),
        ]
    nodes.append(node("Gemm", ["q", "fc"], ["y"]))
    weights = [
        stored("w", 16, channels, 3, 3),
        stored("pointwise", channels, 16),
        stored("fc", 16, 10),
        stored("mean", channels),
    ]
    read_ones = {name for item in nodes for name in item.input}
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", *(sizes or ("n", *SIZE, channels)))],
        [value("y", None, 10)],
        [item for item in weights if item.name in read_ones],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


def pictures(channels: int = 3) -> Signature:
    return Signature(
        input_shape=(channels, *SIZE),
        preprocessing=Preprocessing(image_size=SIZE, channels=channels, mean=(0.5,) * channels, std=(0.2,) * channels),
    )


def load(network: onnx.ModelProto, folder: Path, signature: Signature | None = None):
    onnx.save(network, folder / "m.onnx")
    (folder / "out").mkdir()
    job = Job(folder / "out", folder, None, 0, "load")  # type: ignore[arg-type]
    settings = OnnxModel(path=str(folder / "m.onnx"))
    return settings.load(job.out, signature or pictures(), 0, job), job.facts.get("notes", [])


KINDS = {
    "a transpose": last(),
    "a fixed batch": last(3, 1, *SIZE, 3),
    "free sizes": last(3, "n", None, None, 3),
    "a height only": last(3, "n", 6, None, None),
    "nothing declared": last(3, "n", None, None, None),
    "no transpose": last(direct=True),
    "something before the transpose": last(front=True),
    "grey": last(1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_given_with_channels_last_where_the_graph_takes_them_so(kind: str, tmp_path: Path) -> None:
    channels = 1 if kind == "grey" else 3
    artifact, notes = load(KINDS[kind], tmp_path, pictures(channels))
    x = np.random.default_rng(2).standard_normal((1, channels, *SIZE)).astype(np.float32)
    given = ort.InferenceSession(KINDS[kind].SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = given.run(None, {"x": np.ascontiguousarray(x.transpose(0, 2, 3, 1))})[0]
    assert np.allclose(session_answers(artifact.onnx)(x), wanted, atol=1e-5)
    assert "channels last" in notes[0]
    graph = onnx.load(artifact.onnx).graph
    assert [item.name for item in graph.input] == ["x"]
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_value == (1 if kind == "a fixed batch" else 0)
    if kind in ("a transpose", "a fixed batch", "grey"):
        assert graph.node[0].op_type == "Conv", "a transpose that only undoes the one in front goes with it"


def test_grey_pictures_are_given_as_a_row_where_the_graph_takes_them_so(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [node("MatMul", ["x", "w"], ["y"])], "g", [value("x", 1, 48)], [value("y", 1, 10)], [stored("w", 48, 10)]
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    artifact, notes = load(network, tmp_path, pictures(1))
    x = np.random.default_rng(2).standard_normal((1, 1, *SIZE)).astype(np.float32)
    wanted = x.reshape(1, 48) @ numpy_helper.to_array(graph.initializer[0])
    assert np.allclose(session_answers(artifact.onnx)(x), wanted, atol=1e-5)
    assert "as one row of features, [48]" in notes[0]


def test_channels_first_is_what_it_was(tmp_path: Path) -> None:
    nodes = [node("Conv", ["x", "w"], ["h"]), node("ReduceMean", ["h"], ["y"], axes=[2, 3], keepdims=0)]
    for number, sizes in enumerate([(3, *SIZE), (None, None, None), (3, None, None)]):
        graph = helper.make_graph(
            nodes, "g", [value("x", "n", *sizes)], [value("y", None, 16)], [stored("w", 16, 3, 3, 3)]
        )
        (tmp_path / str(number)).mkdir()
        network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
        artifact, notes = load(network, tmp_path / str(number))
        assert notes == []
        assert onnx.load(artifact.onnx).graph == network.graph


def test_shapes_that_may_be_either_are_refused_with_both(tmp_path: Path) -> None:
    nodes = [node("Flatten", ["x"], ["f"]), node("MatMul", ["f", "w"], ["y"])]
    graph = helper.make_graph(
        nodes, "g", [value("x", "n", None, 6, None)], [value("y", None, 10)], [stored("w", 108, 10)]
    )
    either = Signature(
        input_shape=(3, 6, 6), preprocessing=Preprocessing(image_size=(6, 6), channels=3, mean=(0,) * 3, std=(1,) * 3)
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    with pytest.raises(ModelError, match=r"channels first, \[3, 6, 6\], and last, \[6, 6, 3\]"):
        load(network, tmp_path, either)


def test_arrays_are_not_turned_and_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"\[6, 8, 3\] per example, the data gives \[3, 6, 8\].*arrays with channels last"
    ):
        load(last(), tmp_path, Signature(input_shape=(3, *SIZE)))


def _no_shape(network: onnx.ModelProto) -> None:
    network.graph.output[0].type.tensor_type.ClearField("shape")


def _no_type(network: onnx.ModelProto) -> None:
    network.graph.output[0].ClearField("type")


def _a_number(network: onnx.ModelProto) -> None:
    del network.graph.output[0].type.tensor_type.shape.dim[:]


def _three_axes(network: onnx.ModelProto) -> None:
    network.graph.output[0].type.tensor_type.shape.dim.add()


def _another_size(network: onnx.ModelProto) -> None:
    network.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 7


def _input_without_shape(network: onnx.ModelProto) -> None:
    network.graph.input[0].type.tensor_type.ClearField("shape")


@pytest.mark.parametrize(
    "wrong",
    [_no_shape, _no_type, _a_number, _three_axes, _another_size, _input_without_shape],
    ids=lambda f: f.__name__,
)
def test_ends_are_declared_as_they_are(wrong, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    network = last()
    wrong(network)
    artifact, _ = load(network, tmp_path, pictures())
    graph = onnx.load(artifact.onnx).graph
    shapes = [[dim.dim_value for dim in item.type.tensor_type.shape.dim] for item in (*graph.input, *graph.output)]
    assert shapes == [[0, 3, *SIZE], [0, 10]]
    assert "MergeShapeInfo" not in capfd.readouterr().err
    for seed, name in enumerate("ec"):
        inputs = np.random.default_rng(seed).standard_normal((9, 3, *SIZE)).astype("f")
        np.savez(tmp_path / f"{name}.npz", images=inputs)
    opened = NpzData(evaluation=tmp_path / "e.npz", calibration=tmp_path / "c.npz").open(tmp_path / "cache")
    for number, one in enumerate((QuantizeStatic(keep_float="never"), Export(batch="dynamic", tolerance=0.1))):
        (tmp_path / f"p{number}").mkdir()
        artifact = one.apply(artifact, Job(tmp_path / f"p{number}", tmp_path, opened, 0, "it"))


@pytest.mark.parametrize("kind", ["fails", "answers once"])
def test_a_graph_that_takes_one_example_is_declared_so_whatever_it_says(kind: str, tmp_path: Path) -> None:
    shrinks = node("Resize", ["h", "", "", "sizes"], ["r"], mode="nearest")
    nodes = [
        node("Conv", ["x", "w"], ["h"]),
        shrinks if kind == "answers once" else node("Reshape", ["h", "sizes"], ["r"]),
        node("ReduceMean", ["r"], ["y"], axes=[2, 3], keepdims=0),
    ]
    sizes = numpy_helper.from_array(np.array([1, 16, *SIZE] if kind == "answers once" else [1, 16, 4, 6]), "sizes")
    graph = helper.make_graph(
        nodes, "g", [value("x", "n", 3, *SIZE)], [value("y", "n", 16)], [stored("w", 16, 3, 3, 3), sizes]
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    artifact, notes = load(network, tmp_path)
    assert "came in with a batch of 1" in notes[0]
    assert onnx.load(artifact.onnx).graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1


ODD = {
    "a list": (node("SplitToSequence", ["y"], ["odd"], axis=1), "is a list, no tensor"),
    "an optional": (node("Optional", ["y"], ["odd"]), "is optional(tensor(float)), of which there are no arrays"),
    "four bits": (
        node("Cast", ["y"], ["odd"], to=TensorProto.INT4),
        "is tensor(int4), of which there are no arrays",
    ),
    "a float of eight bits": (
        node("Cast", ["y"], ["odd"], to=TensorProto.FLOAT8E4M3FN),
        "is tensor(float8e4m3fn), of which there are no arrays",
    ),
}


def _with_odd(kind: str) -> onnx.ModelProto:
    """Two outputs, `y` and `odd`."""
    made, _ = ODD[kind]
    whole, few = value("odd", "n", 10), made.attribute[0].i if made.op_type == "Cast" else TensorProto.FLOAT
    whole.type.tensor_type.elem_type = few
    ends = {
        "a list": helper.make_tensor_sequence_value_info("odd", TensorProto.FLOAT, None),
        "an optional": helper.make_value_info("odd", helper.make_optional_type_proto(value("y", "n", 10).type)),
    }
    graph = helper.make_graph(
        [node("Gemm", ["x", "fc"], ["y"]), made],
        "g",
        [value("x", "n", 16)],
        [value("y", "n", 10), ends.get(kind, whole)],
        [stored("fc", 16, 10)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("kind", ODD)
def test_an_output_of_which_there_are_no_arrays_is_left_out_or_refused(kind: str, tmp_path: Path) -> None:
    network = _with_odd(kind)
    row = Signature(inputs=(Tensor(name="x", shape=(16,)),))
    artifact, notes = load(network, tmp_path, row)
    assert notes == [f"its output 'odd' {ODD[kind][1]}: it was left out"]
    assert [item.name for item in artifact.signature.outputs] == ["y"]
    assert session_answers(artifact.onnx)(np.ones((2, 16), np.float32)).shape == (2, 10)
    del network.graph.output[0]
    (tmp_path / "alone").mkdir()
    with pytest.raises(ModelError, match=r"its output 'odd' is .*Take what makes it"):
        load(network, tmp_path / "alone", row)


def test_an_input_that_is_no_tensor_is_refused_with_its_name(tmp_path: Path) -> None:
    parts = helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None)
    graph = helper.make_graph([node("ConcatFromSequence", ["parts"], ["y"], axis=1)], "g", [parts], [value("y", "n")])
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    with pytest.raises(ModelError, match=r"its input 'parts' is no tensor \(sequence_type\)"):
        load(network, tmp_path)


@pytest.mark.parametrize("odd", ["a list", "the input"])
def test_an_output_that_is_no_answer_in_numbers_is_left_out_beside_others(odd: str, tmp_path: Path) -> None:
    network = last()
    if odd == "a list":
        network.graph.node.append(node("SplitToSequence", ["y"], ["odd"], axis=1))
        network.graph.output.append(helper.make_tensor_sequence_value_info("odd", TensorProto.FLOAT, None))
        said = "its output 'odd' is a list, no tensor: it was left out"
    else:
        network.graph.output.append(network.graph.input[0])
        said = f"its output '{network.graph.input[0].name}' is its input: it was left out"
    artifact, notes = load(network, tmp_path)
    assert said in notes
    assert [item.name for item in onnx.load(artifact.onnx).graph.output] == ["y"]
    assert [item.name for item in artifact.signature.outputs] == ["y"]


def test_an_output_that_is_no_tensor_is_refused_with_its_name(tmp_path: Path) -> None:
    network = last()
    network.graph.node.append(node("SplitToSequence", ["y"], ["parts"], axis=1))
    network.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None))
    with pytest.raises(ModelError, match="its output 'parts' is a list, no tensor"):
        load(network, tmp_path)


TOKENS = tuple(Tensor(name=name, dtype="int64", shape=(5,)) for name in ("mask", "ids", "types"))


def loaded(path: Path, folder: Path, signature: Signature, data=None):
    (folder / "out").mkdir()
    job = Job(folder / "out", folder, data, 0, "load")
    return OnnxModel(path=str(path)).load(job.out, signature, 0, job), job.facts.get("notes", [])


@pytest.mark.parametrize("batch", ["batch", 1, 4])
def test_several_inputs_and_outputs_are_told_as_the_graph_declares_them(tmp_path: Path, batch: int | str) -> None:
    artifact, notes = loaded(networks.encoder(tmp_path / "m.onnx", batch), tmp_path, Signature(inputs=TOKENS))
    assert notes == []
    found = artifact.signature
    assert [(item.name, item.dtype, item.shape) for item in found.inputs] == [
        ("ids", "int64", (5,)),
        ("mask", "int64", (5,)),
        ("types", "int64", (5,)),
    ]
    assert [(item.name, item.dtype, item.shape) for item in found.outputs] == [
        ("states", "float32", ("length", 6)),
        ("pooled", "float32", (6,)),
    ]


def test_five_outputs_keep_their_types_and_lose_the_axis_that_counts(tmp_path: Path) -> None:
    given = Signature(input_shape=(4,))
    artifact, _ = loaded(networks.five_outputs(tmp_path / "m.onnx"), tmp_path, given)
    assert [(item.name, item.dtype, item.shape) for item in artifact.signature.outputs] == [
        ("a", "float32", (4,)),
        ("b", "float32", (4,)),
        ("c", "int64", ()),
        ("d", "bool", (4,)),
        ("e", "float32", (1,)),  # a graph of another float type came in as float32
    ]
    assert artifact.signature.inputs[0].name == "x"


def test_a_state_is_no_input_of_the_data_and_its_outputs_have_steps(tmp_path: Path) -> None:
    given = Signature(inputs=(Tensor(name="x", shape=(6, 1, 4)),), state={"h": "hn", "c": "cn"}, steps=6)
    artifact, _ = loaded(networks.recurrent(tmp_path / "m.onnx"), tmp_path, given)
    assert [(item.name, item.shape) for item in artifact.signature.inputs] == [("x", (6, 1, 4))]
    assert [item.shape for item in artifact.signature.outputs] == [(6, "length", 3), (6, 1, 3), (6, 1, 3)]


def test_names_and_shapes_that_do_not_fit_are_told_with_those_of_the_graph(tmp_path: Path) -> None:
    path = networks.encoder(tmp_path / "m.onnx", length=7)
    with pytest.raises(
        ModelError, match=r"has no input 'kinds'; its input 'types' is given nothing\. Its inputs are ids"
    ):
        loaded(path, tmp_path, Signature(inputs=(*TOKENS[:2], Tensor(name="kinds", shape=(5,)))))
    (tmp_path / "out").rmdir()
    with pytest.raises(ModelError, match=r"its input 'ids' is \['batch', 7\], the data gives \[5\] per example"):
        loaded(path, tmp_path, Signature(inputs=TOKENS))
