"""Recognizers answer (steps, examples, letters), detectors and segmenters in other orders: no axis is assumed."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgepipe.errors import MeasureError
from edgepipe.formats.openvino import OpenVino
from edgepipe.formats.parity import compare
from edgepipe.measure import answers as measuring
from edgepipe.onnx.answers import check_parity, named_answers, session_answers
from edgepipe.onnx.batch_axis import answered, batch_axis
from edgepipe.quant.study.answers import answers
from edgepipe.tasks.embedding import Embedding
from edgepipe.verify.inputs import write_inputs
from edgepipe.verify.places.browser import WEB, _prepare
from edgepipe.verify.processes import Command
from tests.measure.graphs import Arrays

W = np.random.default_rng(3).standard_normal((4, 5)).astype(np.float32)
X = np.random.default_rng(4).standard_normal((7, 20, 4)).astype(np.float32)


def recognizer(path: Path, batch: int | str, perm: tuple[int, ...] = (1, 0, 2), *, written: bool = False) -> Path:
    """(n, 20, 4) to (20, n, 5): 20 steps of 5 letters."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"])]
    nodes += (
        [helper.make_node("Reshape", ["m", "s"], ["r"])] if written else [helper.make_node("Identity", ["m"], ["r"])]
    )
    nodes.append(helper.make_node("Transpose", ["r"], ["y"], perm=perm))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 20, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(W, "w"), numpy_helper.from_array(np.array([1, 20, 5]), "s")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


class Steps(Arrays):
    """Numbers as examples; no labels."""

    def __init__(self, inputs: NDArray[np.float32], task: str = "embedding") -> None:
        super().__init__(inputs, None)
        self.signature = self.signature.model_copy(update={"task": task, "classes": ()})


def values(path: Path) -> NDArray[np.float32]:
    model = measuring.Model.of(path, Steps(X))
    found: NDArray[np.float32] = measuring.answered(model, Steps(X), Embedding()).answers["values"]
    return found


@pytest.mark.parametrize("perm", [(1, 0, 2), (1, 2, 0), (0, 1, 2)])
@pytest.mark.parametrize("batch", ["n", 1, 3, 20])
def test_all_steps_of_an_example_are_its_answer_whatever_axis_counts_examples(
    tmp_path: Path, batch: int | str, perm: tuple[int, ...]
) -> None:
    path = recognizer(tmp_path / "m.onnx", batch, perm)
    expected = np.stack([np.squeeze(np.transpose(x[None] @ W, perm), perm.index(0)) for x in X])
    got = values(path)
    np.testing.assert_allclose(got, expected.reshape(7, -1), atol=1e-5)
    np.testing.assert_allclose(session_answers(path)(X).reshape(7, -1), expected.reshape(7, -1), atol=1e-5)


def test_a_batch_of_one_that_is_written_into_the_graph_is_asked_one_at_a_time(tmp_path: Path) -> None:
    path = recognizer(tmp_path / "m.onnx", "n", written=True)
    np.testing.assert_allclose(values(path), (X @ W).reshape(7, -1), atol=1e-5)


def test_parity_and_sensitivity_take_whole_examples(tmp_path: Path) -> None:
    path = recognizer(tmp_path / "m.onnx", "n")
    np.testing.assert_allclose(answers(onnx.load(path), X), (X @ W).reshape(7, -1), atol=1e-5)

    def steps_first(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        return (inputs @ W).transpose(1, 0, 2)

    found = check_parity(steps_first, path, Steps(X), tolerance=1e-5, examples=7, what="m")
    assert found["examples"] == 7

    def one_bad(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        return steps_first(inputs) * (-1 if (inputs == X[3]).all() else 1)

    source = named_answers(path)

    def other(rows: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        (inputs,) = rows.values()
        return {source.outputs[0]: np.moveaxis(one_bad(inputs), 1, 0)}

    figures = compare(source, other, Steps(X), Embedding(), int8=True, tolerance=1, agreement=-9, examples=7, what="m")
    assert figures["cosine"] == pytest.approx(5 / 7, abs=1e-5)  # one example of seven turned round


@pytest.mark.parametrize("batch", ["n", 1, 20])
def test_another_processor_hands_back_whole_examples(tmp_path: Path, batch: int | str) -> None:
    """Of a batch of 20, two axes have its size: which one counts examples is found here, and told."""
    path = recognizer(tmp_path / "m.onnx", batch)
    write_inputs(tmp_path, path, Steps(X).signature, [{"x": X}], 7)
    found = Command([sys.executable], None, "here").answer(path, tmp_path, 7, tmp_path, lambda _: None, processes=1)
    (together,) = found.outputs.values()
    assert len(together) == 7
    np.testing.assert_allclose(together.reshape(7, -1), (X @ W).reshape(7, -1), atol=1e-5)


def test_an_output_that_counts_no_examples_in_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["x"], ["y"], axes=[0], keepdims=0)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 20, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    with pytest.raises(MeasureError, match="takes 3 examples at once, and no axis of its first output counts them"):
        values(path)


def test_two_axes_that_grow_with_the_batch_count_no_examples() -> None:
    assert batch_axis(lambda rows: rows @ rows.T, X[:2, 0], None) is None
    assert batch_axis(lambda rows: rows @ rows.T, X[:2, 0], 4) is None
    assert batch_axis(lambda rows: np.concatenate([rows, rows]), X[:2, 0], None) is None


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("fixed", "together"), [(None, None), (None, 3), (3, None), (1, None)])
def test_every_row_is_answered_whatever_the_axis_and_the_batch(
    axis: int, fixed: int | None, together: int | None
) -> None:
    def run(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        assert fixed is None or len(rows) == fixed
        return np.moveaxis(rows @ W, 0, axis)

    got = answered(run, X, fixed, batch_axis(run, X[:4], fixed), together)
    np.testing.assert_allclose(got.reshape(7, -1), (X @ W).reshape(7, -1), atol=1e-6)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is missing")
def test_the_browser_s_script_takes_an_example_s_answer_from_any_axis(tmp_path: Path) -> None:
    """A batch of 3 of which 2 are examples, in onnxruntime-web's place an answer that is known."""
    whole = np.moveaxis((X[:3] @ W).astype(np.float32), 0, 1)
    (tmp_path / "raw").write_bytes(np.ascontiguousarray(whole).tobytes())
    script = f"""
        import {{examples}} from {json.dumps((WEB / "answers.mjs").as_uri())};
        import {{readFileSync, writeFileSync}} from "node:fs";
        const raw = new Uint8Array(readFileSync({json.dumps(str(tmp_path / "raw"))}));
        const found = examples(raw, {list(whole.shape)}, {{batch: 3, axis: 1}}, 2);
        writeFileSync({json.dumps(str(tmp_path / "out"))}, Buffer.concat(found.map(one => Buffer.from(one))));
    """
    subprocess.run(["node", "--input-type=module", "-e", script], check=True)
    got = np.frombuffer((tmp_path / "out").read_bytes(), np.float32).reshape(2, 20, 5)
    np.testing.assert_array_equal(got, (X[:2] @ W).astype(np.float32))


def test_the_job_of_the_browser_says_which_axis_counts_examples(tmp_path: Path) -> None:
    for batch, perm, axis in ((3, (1, 0, 2), 1), (3, (0, 1, 2), 0), ("n", (1, 0, 2), None)):
        path = recognizer(tmp_path / "m.onnx", batch, perm)
        write_inputs(tmp_path, path, Steps(X).signature, [{"x": X[:5]}], 5)
        job = json.loads(_prepare(tmp_path, 5, tmp_path, 1).job.read_text())
        assert (job["outputs"], job["batch"]) == ([{"name": "y", "axis": axis}], 3 if batch == 3 else 1)


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="pip install 'edgepipe[openvino]'")
@pytest.mark.parametrize("batch", ["n", 3])
def test_a_file_of_openvino_is_asked_along_the_axis_that_counts_examples(tmp_path: Path, batch: int | str) -> None:
    path = recognizer(tmp_path / "m.onnx", batch)
    source = named_answers(path)
    (found,) = OpenVino().write(path, tmp_path, 0).answers(source.session.named(X)).values()
    np.testing.assert_allclose(found, session_answers(path)(X), atol=1e-5)
