"""A detector to try things with: `python examples/detector.py --out detector`.

Writes detector.onnx, a small network with YOLOX's head whose weights were thought out (it finds red and green squares),
and pictures/ of such squares with PASCAL VOC's boxes. It needs numpy, onnx and Pillow.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

SIDE = 64
CLASSES = ("red", "green")


def network(path: Path) -> Path:
    """Layers of 3x3 that carry what is red and what is green along beside noise, and a head for each of three strides.

    The output is YOLOX's as it is exported: (n, 84, 7), x and y as offsets, w and h as logarithms, then probabilities.
    """
    draw = np.random.default_rng(0)
    weights: list[onnx.TensorProto] = []

    def weight(name: str, values: np.ndarray) -> str:
        weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def convolved(x: str, name: str, kernel: np.ndarray, bias: np.ndarray, stride: int, pads: list[int]) -> str:
        names = [x, weight(f"{name}_w", kernel), weight(f"{name}_b", bias)]
        size = list(kernel.shape[2:])
        nodes.append(helper.make_node("Conv", names, [name], kernel_shape=size, strides=[stride] * 2, pads=pads))
        return name

    nodes: list[onnx.NodeProto] = []
    first = 0.05 * draw.standard_normal((16, 3, 3, 3))
    first[:2] = 0
    first[0, :, 1, 1], first[1, :, 1, 1] = [1, -1, 0], [-1, 1, 0]  # what is red, what is green
    x = convolved("x", "first", first, np.zeros(16), 1, [1] * 4)
    nodes.append(helper.make_node("Relu", [x], ["seen"]))
    second = 0.1 * draw.standard_normal((16, 16, 3, 3))
    second[:2] = 0
    second[0, 0, 1, 1] = second[1, 1, 1, 1] = 1
    x = convolved("seen", "second", second, np.zeros(16), 1, [1] * 4)
    nodes.append(helper.make_node("Relu", [x], ["known"]))
    maps = []
    for stride in (8, 16, 32):
        size, pads = (16, [8, 8, 0, 0]) if stride == 8 else (stride, [0] * 4)
        boxes, scores = np.zeros((4, 16, size, size)), np.zeros((3, 16, size, size))
        scores[0, :2] = 40 / size**2
        scores[1, 0] = scores[2, 1] = 30 / size**2
        biases = np.array([-25, -6, -6]) if stride == 8 else np.array([-60, -6, -6])
        convolved("known", f"boxes{stride}", boxes, np.array([0, 0, np.log(2), np.log(2)]), stride, pads)
        convolved("known", f"raw{stride}", scores, biases, stride, pads)
        nodes.append(helper.make_node("Sigmoid", [f"raw{stride}"], [f"scores{stride}"]))
        nodes.append(helper.make_node("Concat", [f"boxes{stride}", f"scores{stride}"], [f"map{stride}"], axis=1))
        shape = numpy_helper.from_array(np.array([0, 7, -1]), f"shape{stride}")
        weights.append(shape)
        nodes.append(helper.make_node("Reshape", [f"map{stride}", shape.name], [f"flat{stride}"]))
        maps.append(f"flat{stride}")
    nodes.append(helper.make_node("Concat", maps, ["all"], axis=2))
    nodes.append(helper.make_node("Transpose", ["all"], ["output"], perm=[0, 2, 1]))
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 84, 7])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def picture(seed: int) -> tuple[Image.Image, list[tuple[int, int, int, int, int]]]:
    """One to three squares on noise, 128x64 pixels, and x1, y1, x2, y2, class of each."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(90, 160, (64, 128, 3), np.uint8)
    pixels[..., :2] = draw.integers(90, 160, (64, 128, 1), np.uint8)  # red as much as green
    boxes: list[tuple[int, int, int, int, int]] = []
    for place in draw.permutation(3)[: int(draw.integers(1, 4))].tolist():
        label, x, y = int(draw.integers(0, 2)), 48 * place, 16 * int(draw.integers(0, 3))
        pixels[y : y + 32, x : x + 32] = [(230, 20, 60), (20, 230, 60)][label]
        boxes.append((x, y, x + 32, y + 32, label))
    return Image.fromarray(pixels), boxes


def folder(root: Path, train: int = 24, test: int = 12) -> Path:
    """`root/{train,test}/{images,annotations}`."""
    for split, count, first in (("train", train, 0), ("test", test, 1000)):
        for part in ("images", "annotations"):
            (root / split / part).mkdir(parents=True, exist_ok=True)
        for row in range(count):
            drawn, boxes = picture(first + row)
            drawn.save(root / split / "images" / f"{row:03}.png")
            objects = "".join(
                f"<object><name>{CLASSES[label]}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax>"
                f"<ymax>{y2}</ymax></bndbox></object>"
                for x1, y1, x2, y2, label in boxes
            )
            size = "<size><width>128</width><height>64</height></size>"
            file = root / split / "annotations" / f"{row:03}.xml"
            file.write_text(f"<annotation>{size}{objects}</annotation>", encoding="utf-8")
    return root


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    network(out / "detector.onnx")
    folder(out / "pictures")
    print(f"{out}/detector.onnx and {out}/pictures are written")


if __name__ == "__main__":
    main()
