"""A bundle of a model of texts answers a text as it was answered when it was measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgepipe.bundle.build import answers, build
from edgepipe.contract import Split
from edgepipe.data.task import with_task
from edgepipe.data.text import TextData
from tests.data.texts import jsonl, tokenizer
from tests.onnx.networks import save

TEXTS = ("the cat sat", "a dog ran on the mat", "walking")


def network(path: Path) -> None:
    """Ids, mask and types, (n, length), to the mean of vectors of 4, and a sum that types have a say in."""
    vectors = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["vectors", "input_ids"], ["e"]),
        helper.make_node("Add", ["attention_mask", "token_type_ids"], ["s"]),
        helper.make_node("Cast", ["s"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["m", "last"], ["column"]),
        helper.make_node("Mul", ["e", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["y"], keepdims=0),
    ]
    ends = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), (TensorProto.INT64, ("n", "length")))
    constants = {"vectors": vectors, "last": np.array([2]), "middle": np.array([1])}
    save(path, nodes, ends, {"y": TensorProto.FLOAT}, constants)


@pytest.mark.parametrize("padding", ["dynamic", "fixed"])
@pytest.mark.parametrize("words", [False, True])
def test_the_example_takes_texts(tmp_path: Path, padding: str, words: bool) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    network(folder / "model.onnx")
    rows = [
        {"text": text.split() if words else text, "pair": ["not", "good"] if words else "not good"} for text in TEXTS
    ]
    read = TextData(
        tokenizer=tokenizer(tmp_path),
        evaluation=jsonl(tmp_path / "e.jsonl", rows),
        pair="pair",
        max_length=9,
        padding=padding,
    ).open(tmp_path)
    data = with_task(read, "embedding")
    build(folder, "toy", data.signature, data, browser=False)
    assert (folder / "tokenizer.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()
    given = [item for text in TEXTS for item in ("--text", text, "--pair", "not good")]
    said = subprocess.run([sys.executable, folder / "example.py", *given], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    for row, line in enumerate(lines):
        example = next(data.batches(Split.EVALUATION, 1, [row])).inputs
        found = answers(folder / "model.onnx", example, data.signature)["y"]
        assert line.startswith(f"{TEXTS[row]}: " + ", ".join(f"{value:.6g}" for value in found[0].astype(float)))
    assert len(lines) == 3


def test_the_example_names_the_class_of_each_word(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    table = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["y"])]
    save(
        folder / "model.onnx",
        nodes,
        {"input_ids": (TensorProto.INT64, ("n", "length"))},
        {"y": TensorProto.FLOAT},
        {"table": table},
    )
    rows = [{"text": text.split(), "tags": ["O"] * len(text.split())} for text in TEXTS]
    file = jsonl(tmp_path / "e.jsonl", rows)
    classes = ("O", "B-PER", "I-PER")
    read = TextData(
        tokenizer=tokenizer(tmp_path),
        evaluation=file,
        inputs=("input_ids",),
        tags="tags",
        classes=classes,
        max_length=9,
    )
    data = read.open(tmp_path)
    assert data.signature.task == "tokens"
    build(folder, "toy", data.signature, data, browser=False)
    given = [item for text in TEXTS for item in ("--text", text)]
    said = subprocess.run([sys.executable, folder / "example.py", *given], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    for row, (text, line) in enumerate(zip(TEXTS, said.stdout.splitlines(), strict=True)):
        batch = next(data.batches(Split.EVALUATION, 1, [row]))
        assert batch.labels is not None
        ids = batch.inputs["input_ids"][0]
        first = [classes[table[number].argmax()] for number in ids[batch.labels[0][: len(ids)] != -100]]
        words = " ".join(f"{word}/{tag}" for word, tag in zip(text.split(), first, strict=True))
        assert line.startswith(f"{text}: {words}, ")
