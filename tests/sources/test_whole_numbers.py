"""A graph that takes bytes gets the pixels that pictures are, in every step, in the bundle's example and page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgepipe.__main__ import main
from edgepipe.data.settings import PIXEL
from edgepipe.recipe.schema import Recipe, with_pixels
from edgepipe.records.metrics import read_metrics
from edgepipe.sources.onnx_file import OnnxModel
from tests.bundle.test_pictures import NODE, in_node

node = helper.make_node


def test_every_byte_comes_back_from_its_scaled_pixel() -> None:
    pixels = np.arange(256, dtype=np.float32)
    given = (pixels / np.float32(255) - np.float32(0)) / np.float32(PIXEL)
    assert (given.astype(np.uint8) == pixels).all(), "cut, as a cast does"
    assert (np.rint(given) == pixels).all()
    assert np.abs(given - pixels).max() < 1e-3


@pytest.mark.skipif(NODE is not None, reason=str(NODE))
def test_the_page_gives_each_type_the_same_bytes() -> None:
    said = in_node(
        f"const given = Float32Array.from({{length: 256}}, (_, i) => Math.fround(Math.fround(i / 255) / {PIXEL}));"
        "const types = ['uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64', 'float32'];"
        "const out = types.map((type) => pixels.typed(given, type));"
        "console.log(JSON.stringify(out.map((one) => [one.constructor.name, Array.from(one, Number)])))"
    )
    assert [name for name, _ in said] == [
        *("Uint8Array", "Int16Array", "Uint16Array", "Int32Array", "Uint32Array"),
        *("BigInt64Array", "BigUint64Array", "Float32Array"),
    ]
    assert all(values == list(range(256)) for _, values in said[:-1])


def pictures(root: Path, size: int) -> None:
    """Dark ones and light ones, which differ by a grey value only."""
    drawn = np.random.default_rng(0)
    for split in ("train", "test"):
        for name, grey in (("dark", 100), ("light", 150)):
            (root / split / name).mkdir(parents=True)
            for number in range(20):
                pixels = np.clip(drawn.normal(grey, 30, (size, size, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")


def classifier(file: Path, kind: int, size: int) -> None:
    """Channels last, its own normalization inside: right on every picture, of bytes only."""
    stored = {
        "mean": np.float32(125),
        "std": np.float32(60),
        "w": np.full((16, 3, 3, 3), 0.1, np.float32),
        "fc": np.stack([-np.ones(16), np.ones(16)]).astype(np.float32),
    }
    nodes = [
        node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        node("Sub", ["f", "mean"], ["c"]),
        node("Div", ["c", "std"], ["n"]),
        node("Transpose", ["n"], ["t"], perm=[0, 3, 1, 2]),
        node("Conv", ["t", "w"], ["a"]),
        node("GlobalAveragePool", ["a"], ["p"]),
        node("Flatten", ["p"], ["q"]),
        node("Gemm", ["q", "fc"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, ["n", size, size, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)


def test_pictures_are_given_as_pixels_to_a_graph_of_whole_numbers(tmp_path: Path) -> None:
    pictures(tmp_path / "pics", 12)
    classifier(tmp_path / "m.onnx", TensorProto.UINT8, 12)
    argv = [
        "recipe=ptq",
        "model=onnx",
        f"model.path={tmp_path}/m.onnx",
        "data=image_folder",
        f"data.root={tmp_path}/pics",
        "data.image_size=12",
        "data.calibration_size=20",
        "data.workers=0",
        "passes.quantize.keep_float=never",
        "measure.latency_seconds=0.2",
        "~goal",
        f"hydra.run.dir={tmp_path}/run",
        f"store.root={tmp_path}/store",
    ]
    assert main(argv) == 0
    metrics = read_metrics(tmp_path / "run")
    assert [step.measurements.top1 for step in metrics.passes] == [1.0] * 3
    assert any("pictures are given as their pixels" in text for text in metrics.passes[0].findings)
    how = json.loads((tmp_path / "run/final/bundle.json").read_text())["signature"]["preprocessing"]
    assert (how["mean"], how["std"]) == ([0.0] * 3, [PIXEL] * 3)
    given = np.load(tmp_path / "run/final/golden.npz")["inputs"].astype(np.uint8)
    saved = [np.asarray(Image.open(tmp_path / f"run/final/pictures/{row}.png")) for row in range(len(given))]
    assert (given == np.stack(saved).transpose(0, 3, 1, 2)).all()
    shown = [str(tmp_path / "pics" / "test" / name / "3.png") for name in ("dark", "light")]
    said = subprocess.run(
        [sys.executable, "example.py", *shown], cwd=tmp_path / "run/final", capture_output=True, text=True
    )
    assert [line.split(": ")[1].split()[0] for line in said.stdout.splitlines()] == ["dark", "light"], said.stderr


@pytest.mark.parametrize(
    ("kind", "takes"),
    [
        (TensorProto.UINT8, True),
        (TensorProto.UINT16, True),
        (TensorProto.INT32, True),
        (TensorProto.INT64, True),
        (TensorProto.INT8, False),
        (TensorProto.FLOAT, False),
    ],
)
def test_which_graphs_take_pixels(kind: int, takes: bool, tmp_path: Path) -> None:
    classifier(tmp_path / "m.onnx", kind, 12)
    settings = OnnxModel(path=str(tmp_path / "m.onnx"))
    assert settings.takes_pixels() is takes
    recipe = Recipe(
        name="r",
        model={"source": "onnx", "path": settings.path},
        data={"source": "image_folder", "root": str(tmp_path), "channels": 1},
    )
    given = with_pixels(recipe).data.settings
    assert (given.preprocessing.std == (PIXEL,)) is takes
    assert (given is recipe.data.settings) is not takes


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.onnx")
    assert not OnnxModel(path=str(tmp_path / "m.onnx")).takes_pixels()
