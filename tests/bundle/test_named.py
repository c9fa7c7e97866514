"""A bundle of any model: named inputs and outputs of any type, and a state, checked here and by its example."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgepipe.bundle.build import build
from edgepipe.bundle.manifest import BUNDLE_FILE, Bundle, read_bundle, seal_bundle
from edgepipe.bundle.page import FILES
from edgepipe.bundle.verify import judged, problems
from edgepipe.contract import Signature
from tests.passes.test_export import Named
from tests.verify.test_inputs import CASES


def bundled(folder: Path, case: str) -> tuple[Bundle, Mapping[str, NDArray[Any]]]:
    """A bundle over seven examples, and what they are."""
    make, rows, more = CASES[case]
    make(folder / "model.onnx")
    twelve = {name: np.concatenate([value, value])[:12] for name, value in rows.items()}
    data = Named(twelve, **more)
    return build(folder, "toy", data.signature, data, browser=False), twelve  # type: ignore[arg-type]


def example(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "example.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("case", CASES)
def test_every_golden_output_is_met_here_and_by_the_example(tmp_path: Path, case: str) -> None:
    bundle, rows = bundled(tmp_path, case)
    assert problems(tmp_path)[1] == []
    said = example(tmp_path, "--json", "--runs", "2")
    assert said.returncode == 0, said.stdout + said.stderr
    assert json.loads(said.stdout)["golden"] == "ok"
    assert bundle.feed is not None
    given = [item["name"] for item in bundle.feed.inputs if item["name"] not in bundle.feed.state]
    assert given == list(rows)


def test_the_manifest_says_types_axes_steps_and_state(tmp_path: Path) -> None:
    bundle, _ = bundled(tmp_path, "a state")
    assert bundle.feed is not None
    assert (bundle.feed.steps, bundle.feed.state) == (3, {"h": "hn", "c": "cn"})
    x, h, _ = bundle.feed.inputs
    assert x == {"name": "x", "type": "float32", "axis": 0, "stepped": True, "shape": [3, 2, 4]}
    assert h == {"name": "h", "type": "float32", "axis": 1, "stepped": False, "shape": [1, 3]}
    with np.load(tmp_path / "golden.npz") as golden:
        assert golden["inputs"].shape == (8, 3, 2, 4)
        assert golden["outputs/y"].shape == (8, 3, 2, 3)


def test_the_example_answers_arrays_of_an_npz_and_of_folders(tmp_path: Path) -> None:
    _, rows = bundled(tmp_path, "three inputs")
    np.savez(tmp_path / "two.npz", **{name: value[:2] for name, value in rows.items()})
    (tmp_path / "one").mkdir()
    for name, value in rows.items():
        np.save(tmp_path / "one" / f"{name}.npy", value[0])
    said = example(tmp_path, str(tmp_path / "two.npz"), str(tmp_path / "one"))
    lines = said.stdout.splitlines()
    assert (said.returncode, len(lines)) == (0, 3), said.stderr
    assert all("states [5, 6]: " in line and "; pooled [6]: " in line for line in lines)
    (tmp_path / "data").mkdir()
    for row in (1, 0):  # examples of different shape lie in such a folder, one a file
        np.savez(tmp_path / "data" / f"{row}.npz", **{name: value[row] for name, value in rows.items()}, labels=3)
    said = example(tmp_path, str(tmp_path / "data"))
    same = [line.partition(": ")[2].rpartition(", ")[0] for line in said.stdout.splitlines()]
    assert same == [line.partition(": ")[2].rpartition(", ")[0] for line in lines[:2]]
    (tmp_path / "one" / "ids.npy").unlink()
    said = example(tmp_path, str(tmp_path / "one"))
    assert said.returncode == 2
    assert "the inputs are ids, mask, types: 'ids' is missing" in said.stderr


def test_another_output_than_the_golden_one_is_named(tmp_path: Path) -> None:
    bundle, _ = bundled(tmp_path, "five outputs")
    golden = dict(np.load(tmp_path / "golden.npz"))
    golden["outputs/c"] = golden["outputs/c"] + 1
    np.savez(tmp_path / "golden.npz", **golden)
    seal_bundle(tmp_path, bundle)
    assert problems(tmp_path)[1] == ["answers differ from the golden outputs of output 'c' by 1"]
    assert json.loads(example(tmp_path, "--json", "--runs", "1").stdout)["golden"] == "failed"


def test_a_bundle_of_the_version_before_is_still_verified_and_run_on_devices(tmp_path: Path) -> None:
    bundle, rows = bundled(tmp_path, "a free picture")
    old = {**bundle.model_dump(mode="json"), "schema_version": 1, "signature": {"input_shape": [3, 6, 8]}}
    del old["feed"]
    (tmp_path / BUNDLE_FILE).write_text(json.dumps(old))
    found, wrong = problems(tmp_path)
    assert wrong == []
    assert found.feed is None
    (tmp_path / BUNDLE_FILE).write_text(judged(tmp_path, read_bundle(tmp_path)).model_dump_json())
    (tmp_path / "example.py").write_bytes((FILES / "example.py").read_bytes())
    said = json.loads(example(tmp_path, "--json", "--runs", "1").stdout)
    assert (said["golden"], said["runs"]) == ("ok", 1)
    assert Signature(input_shape=rows["x"].shape[1:]).input_shape == (3, 6, 8)


def test_of_outputs_as_long_as_each_example_has_them_one_example_is_golden(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("NonZero", ["r"], ["found"])]
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 16))]
    outs = [helper.make_tensor_value_info("found", TensorProto.INT64, (2, "count"))]
    graph = helper.make_graph(nodes, "main", ends, outs)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "model.onnx"
    )
    data = Named({"x": np.random.default_rng(0).standard_normal((12, 16)).astype(np.float32)})
    build(tmp_path, "toy", data.signature, data, browser=False)  # type: ignore[arg-type]
    with np.load(tmp_path / "golden.npz") as golden:
        assert len(golden["inputs"]) == len(golden["outputs"]) == 1
        assert golden["outputs"].shape[2] == int((golden["inputs"] > 0).sum())
    assert problems(tmp_path)[1] == []
    said = example(tmp_path, "--json", "--runs", "2")
    assert json.loads(said.stdout)["golden"] == "ok", said.stderr


def test_an_input_that_holds_nothing_yet_is_one_of_examples(tmp_path: Path) -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", name, 3]) for name in ("past", "x", "y")]
    graph = helper.make_graph([helper.make_node("Concat", ["past", "x"], ["y"], axis=1)], "grows", ends[:2], [ends[2]])
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(network, tmp_path / "model.onnx")
    rows = {"past": np.zeros((9, 0, 3), np.float32), "x": np.ones((9, 2, 3), np.float32)}
    data = Named(rows)
    build(tmp_path, "toy", data.signature, data, browser=False)  # type: ignore[arg-type]
    assert problems(tmp_path)[1] == []
    assert example(tmp_path, "--json", "--runs", "1").returncode == 0
