"""Any number of inputs and outputs, of any type, batches anywhere and states: alike here and elsewhere."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgepipe.contract import Signature, Tensor
from edgepipe.errors import ModelError, VerifyError
from edgepipe.onnx.answers import NamedAnswers
from edgepipe.onnx.sequences import opened
from edgepipe.onnx.session_options import asking
from edgepipe.verify.inputs import INPUTS_FILE, write_inputs
from edgepipe.verify.places.browser import WEB, _answers, _prepare
from edgepipe.verify.processes import Command
from tests.onnx import networks

DRAW = np.random.default_rng(0)
Arrays = Mapping[str, NDArray[Any]]
TOKENS = {name: DRAW.integers(0, 2, (7, 5)) for name in ("ids", "mask", "types")}
MIXED = {
    "whole": DRAW.integers(0, 9, (7, 3)).astype(np.int32),
    "which": DRAW.random((7, 3)) > 0.5,
    "half": DRAW.random((7, 3)).astype(np.float16),
}
CASES: dict[str, tuple[Any, Arrays, dict[str, Any]]] = {
    "three inputs": (lambda path: networks.encoder(path), TOKENS, {}),
    "a fixed batch": (lambda path: networks.encoder(path, 3, 5), TOKENS, {}),
    "three types": (networks.mixed_types, MIXED, {}),
    "five outputs": (networks.five_outputs, {"x": DRAW.standard_normal((7, 4)).astype(np.float32)}, {}),
    "a free picture": (networks.free_picture, {"x": DRAW.random((7, 3, 6, 8)).astype(np.float32)}, {}),
    "a state": (
        networks.recurrent,
        {"x": DRAW.standard_normal((7, 3, 2, 4)).astype(np.float32)},
        {"state": {"h": "hn", "c": "cn"}, "steps": 3},
    ),
    "a state in a fixed batch": (
        lambda path: networks.recurrent(path, 2),
        {"x": DRAW.standard_normal((7, 3, 2, 4)).astype(np.float32)},
        {"state": {"h": "hn", "c": "cn"}, "steps": 3},
    ),
}


def prepared(folder: Path, case: str) -> tuple[Path, Arrays]:
    """The model, its inputs written, and what it is to answer."""
    make, rows, more = CASES[case]
    model = make(folder / "m.onnx")
    tensors = tuple(Tensor(name=name, dtype=value.dtype.name, shape=value.shape[1:]) for name, value in rows.items())
    signature = Signature(inputs=tensors, task="agreement", **more)
    (folder / "inputs").mkdir()
    halves = [{name: value[part] for name, value in rows.items()} for part in (slice(0, 4), slice(4, 7))]
    write_inputs(folder / "inputs", model, signature, halves, 7)
    return model, NamedAnswers(opened(model, signature, asking()))(rows)


def same(found: Arrays, wanted: Arrays) -> None:
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_allclose(found[name].reshape(value.shape), value, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_a_worker_answers_every_output_as_a_session_does(tmp_path: Path, case: str) -> None:
    model, wanted = prepared(tmp_path, case)
    counts: list[int] = []
    command = Command([sys.executable], None, "here")
    found = command.answer(model, tmp_path / "inputs", 7, tmp_path, counts.append, processes=2)
    same(found.outputs, wanted)
    assert max(counts) == 7


_NODE = """
import {answers} from MODULE;
import {readFileSync, writeFileSync} from "node:fs";
const job = JSON.parse(readFileSync(JOB)), raw = readFileSync(RAW), fed = [];
class Tensor { constructor(type, data, dims) { Object.assign(this, {type, data, dims}); } }
const session = {run: async (feed) => { fed.push(Object.fromEntries(Object.entries(feed).map(([name, tensor]) =>
  [name, {type: tensor.type, dims: tensor.dims, data: Array.from(tensor.data, Number)}]))); return feed; }};
const ort = {Tensor, env: {wasm: {}}, InferenceSession: {create: async () => session}};
const read = async (first, last) => raw.subarray(first * job.bytes, last * job.bytes);
const found = await answers(ort, null, job, 1, read, async () => {});
writeFileSync(OUT, found.bytes);
console.log(JSON.stringify({said: found.said, fed}));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is missing")
@pytest.mark.parametrize("case", ["three inputs", "a fixed batch", "three types", "a state in a fixed batch"])
def test_the_browser_s_script_feeds_and_hands_back_what_the_worker_does(tmp_path: Path, case: str) -> None:
    """With a runtime that hands back what it is fed: outputs are the inputs."""
    prepared(tmp_path, case)
    plan = json.loads((tmp_path / "inputs" / INPUTS_FILE).read_text())
    plan["outputs"] = [{"name": item["name"], "axis": item["axis"]} for item in plan["inputs"]]
    plan["state"] = {name: name for name in plan["state"]}
    (tmp_path / "inputs" / INPUTS_FILE).write_text(json.dumps(plan))
    given = _prepare(tmp_path / "inputs", 7, tmp_path, 1)
    words = {
        "MODULE": (WEB / "answers.mjs").as_uri(),
        "JOB": str(given.job),
        "RAW": str(given.raw),
        "OUT": str(tmp_path / "out"),
    }
    script = _NODE
    for word, value in words.items():
        script = script.replace(word, json.dumps(value))
    ended = subprocess.run(["node", "--input-type=module", "-e", script], check=True, capture_output=True, text=True)
    said = json.loads(ended.stdout)
    found = _answers((tmp_path / "out").read_bytes(), said["said"], 7, "node").outputs
    for item in plan["inputs"]:
        value = np.load(tmp_path / "inputs" / item["file"])
        if plan["state"] and not item["stepped"]:
            value = np.repeat(value[:, None], plan["steps"], axis=1)
        np.testing.assert_array_equal(found[item["name"]].reshape(value.shape), value)
    first = said["fed"][0]
    for item in plan["inputs"]:
        assert (
            len(first[item["name"]]["dims"]) == len(np.load(tmp_path / "inputs" / item["file"]).shape) - item["stepped"]
        )


def test_names_that_fit_no_input_and_examples_of_different_shape_are_refused(tmp_path: Path) -> None:
    model, signature = networks.free_picture(tmp_path / "m.onnx"), Signature(input_shape=(3, 6, 8))
    rows = [{"x": np.zeros((1, 3, 6, 8), np.float32)}, {"x": np.zeros((1, 3, 6, 9), np.float32)}]
    with pytest.raises(VerifyError, match=r"input 'x' has examples of shape \(3, 6, 8\) and \(3, 6, 9\)"):
        write_inputs(tmp_path, model, signature, rows, 2)
    encoder = networks.encoder(tmp_path / "e.onnx")
    with pytest.raises(ModelError, match="its input 'types' is given nothing"):
        write_inputs(tmp_path, encoder, signature, [{"ids": TOKENS["ids"], "mask": TOKENS["mask"]}], 7)
