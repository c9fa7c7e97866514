"""Graphs as other tools write them: states, If and Loop, bytes, free axes; and the models that packages bring."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.zoo.brought import Arrays, Brought, Network, pictures, signals


class Graph:
    """Nodes and drawn weights, one after the other; saved with a checker's look."""

    def __init__(self, seed: int) -> None:
        self.draw = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def weight(self, *shape: int) -> str:
        """The name of a float32 constant whose rows keep the deviation of what they are multiplied with."""
        fan = int(np.prod(shape[1:])) if len(shape) > 2 else shape[0]
        return self.constant((self.draw.standard_normal(shape) * np.sqrt(2 / fan)).astype(np.float32))

    def constant(self, value: Any) -> str:
        """The name of a constant."""
        self.constants[f"c{len(self.constants)}"] = np.asarray(value)
        return f"c{len(self.constants) - 1}"

    def add(self, kind: str, inputs: list[str], outputs: list[str] | None = None, **more: Any) -> str:
        """The first output of a new node."""
        from onnx import helper

        outputs = outputs or [f"t{len(self.nodes)}"]
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=f"{kind}_{len(self.nodes)}", **more))
        return outputs[0]

    def save(self, path: Path, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        """Of {name: (type, shape)}."""
        import onnx
        from onnx import helper, numpy_helper

        given, answers = (
            [helper.make_tensor_value_info(name, *of) for name, of in side.items()] for side in (inputs, outputs)
        )
        held = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        graph = helper.make_graph(self.nodes, "zoo", given, answers, initializer=held)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, path)


def _of(write: Callable[[Graph, Path], None], examples: Callable[[int, int], Arrays], **more: Any) -> Any:
    def make(folder: Path, seed: int) -> Brought:
        write(Graph(seed), folder / "model.onnx")
        return Brought(["model=onnx", f"model.path={folder / 'model.onnx'}"], examples, **more)

    return make


FLOAT, INT64, UINT8 = 1, 7, 2
_MIDDLE = ("Relu", "GlobalAveragePool", "Flatten")


def _recurrent(kind: str, gates: int) -> Callable[[Graph, Path], None]:
    def write(graph: Graph, path: Path) -> None:
        states = ["h", "c"] if kind == "LSTM" else ["h"]
        into = graph.add("MatMul", ["x", graph.weight(16, 32)])
        steps = graph.add("Transpose", [into], perm=[1, 0, 2])
        given = [steps, graph.weight(1, gates * 24, 32), graph.weight(1, gates * 24, 24), "", "", *states]
        after = [f"{name}n" for name in states]
        graph.add(kind, given, ["all", *after], hidden_size=24)
        flat = graph.add("Squeeze", ["all", graph.constant([0, 1])])
        graph.add("MatMul", [flat, graph.weight(24, 6)], ["y"])
        inputs = {"x": (FLOAT, ("batch", 1, 16))} | dict.fromkeys(states, (FLOAT, (1, "batch", 24)))
        outputs = {"y": (FLOAT, ("batch", 6))} | dict.fromkeys(after, (FLOAT, (1, "batch", 24)))
        graph.save(path, inputs, outputs)

    return write


def _convolved(graph: Graph, name: str, channels: int = 3) -> str:
    for before, after in ((channels, 32), (32, 64)):
        conv = graph.add("Conv", [name, graph.weight(after, before, 3, 3)], strides=[2, 2], pads=[1] * 4)
        name = graph.add("Relu", [conv])
    return name


def _headed(graph: Graph, name: str, path: Path, ends: Any) -> None:
    pooled = graph.add("Flatten", [graph.add("GlobalAveragePool", [name])])
    graph.add("Gemm", [pooled, graph.weight(64, 10)], ["y"])
    graph.save(path, ends, {"y": (FLOAT, ("n", 10))})


def _bytes(graph: Graph, path: Path) -> None:
    cast = graph.add("Cast", ["images"], to=FLOAT)
    last = graph.add("Transpose", [cast], perm=[0, 3, 1, 2])
    scaled = graph.add("Sub", [graph.add("Div", [last, graph.constant(np.float32(64))]), graph.constant(np.float32(2))])
    _headed(graph, _convolved(graph, scaled), path, {"images": (UINT8, ("n", 48, 48, 3))})


def _free(graph: Graph, path: Path) -> None:
    deep = _convolved(graph, "x")
    graph.add("Conv", [deep, graph.weight(4, 64, 1, 1)], ["y"])
    graph.save(path, {"x": (FLOAT, ("n", 3, "height", "width"))}, {"y": (FLOAT, ("n", 4, "h4", "w4"))})


def _branch(graph: Graph, name: str, size: int) -> Any:
    """A graph of one convolution of the outer tensor `name` with a kernel of `size`, its weight inside."""
    from onnx import helper, numpy_helper

    value = graph.draw.standard_normal((32, 32, size, size)) / size / 5
    held = numpy_helper.from_array(value.astype(np.float32), f"w{size}")
    node = helper.make_node("Conv", [name, held.name], [f"b{size}"], pads=[size // 2] * 4)
    out = helper.make_tensor_value_info(f"b{size}", FLOAT, None)
    return helper.make_graph([node], f"branch{size}", [], [out], initializer=[held])


def _if(graph: Graph, path: Path) -> None:
    conv = graph.add("Conv", ["x", graph.weight(32, 3, 3, 3)], strides=[2, 2])
    first = graph.add("Relu", [conv])
    truth = graph.add("Greater", [graph.add("ReduceMax", ["x"], keepdims=0), graph.constant(np.float32(0))])
    branches = {"then_branch": _branch(graph, first, 3), "else_branch": _branch(graph, first, 1)}
    chosen = graph.add("Relu", [graph.add("If", [truth], **branches)])
    deep = graph.add("Relu", [graph.add("Conv", [chosen, graph.weight(64, 32, 3, 3)])])
    _headed(graph, deep, path, {"x": (FLOAT, ("n", 3, 32, 32))})


def _loop(graph: Graph, path: Path) -> None:
    from onnx import helper, numpy_helper

    first = graph.add("MatMul", ["x", graph.weight(16, 64)])
    inner = (graph.draw.standard_normal((64, 64)) / 8).astype(np.float32)
    held = numpy_helper.from_array(inner, "inner")
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["was", "inner"], ["m"]),
            helper.make_node("Tanh", ["m"], ["now"]),
            helper.make_node("Identity", ["go"], ["on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("at", INT64, []),
            helper.make_tensor_value_info("go", 9, []),
            helper.make_tensor_value_info("was", FLOAT, ["n", 64]),
        ],
        [helper.make_tensor_value_info("on", 9, []), helper.make_tensor_value_info("now", FLOAT, ["n", 64])],
        initializer=[held],
    )
    trips = graph.constant(np.array(3))
    looped = graph.add("Loop", [trips, graph.constant(np.array(True)), first], body=body)
    graph.add("MatMul", [looped, graph.weight(64, 6)], ["y"])
    graph.save(path, {"x": (FLOAT, ("n", 16))}, {"y": (FLOAT, ("n", 6))})


def _yolo(graph: Graph, path: Path) -> None:
    """A head of two scales: boxes in pixels beside scores in [0, 1], joined as exporters do."""
    first = _convolved(graph, "images")
    second = graph.add("Relu", [graph.add("Conv", [first, graph.weight(64, 64, 3, 3)], strides=[2, 2], pads=[1] * 4)])
    rows = []
    for name, cells, stride in ((first, 24, 4), (second, 12, 8)):
        flat = graph.constant(np.array([0, 9, -1]))
        maps = graph.add("Reshape", [graph.add("Conv", [name, graph.weight(9, 64, 1, 1)]), flat])
        parts = [f"{name}_{what}" for what in ("at", "size", "scores")]
        graph.add("Split", [maps, graph.constant(np.array([2, 2, 5]))], parts, axis=1)
        steps = np.stack(np.meshgrid(np.arange(cells), np.arange(cells))).reshape(1, 2, -1).astype(np.float32)
        at = graph.add("Add", [graph.add("Sigmoid", [parts[0]]), graph.constant(steps)])
        size = graph.add("Exp", [graph.add("Tanh", [parts[1]])])
        scaled = [graph.add("Mul", [part, graph.constant(np.float32(stride))]) for part in (at, size)]
        rows.append(graph.add("Concat", [*scaled, graph.add("Sigmoid", [parts[2]])], axis=1))
    graph.add("Transpose", [graph.add("Concat", rows, axis=2)], ["y"], perm=[0, 2, 1])
    graph.save(path, {"images": (FLOAT, ("n", 3, 96, 96))}, {"y": (FLOAT, ("n", 720, 9))})


def _bytes_of_pictures(seed: int, count: int) -> Arrays:
    value = pictures(3, 48, 48)(seed, count)["images"].transpose(0, 2, 3, 1)
    return {"images": np.clip(128 + 64 * value, 0, 255).astype(np.uint8)}


def _renamed(examples: Callable[[int, int], Arrays], name: str) -> Callable[[int, int], Arrays]:
    return lambda seed, count: {name: next(iter(examples(seed, count).values()))}


def _file(path: Path, examples: Callable[[int, int], Arrays], **more: Any) -> Any:
    def make(folder: Path, seed: int) -> Brought:
        del folder, seed
        return Brought(["model=onnx", f"model.path={path}"], examples, **more)

    return make


def found_file(package: str, file: str, packages: Path | None) -> Path | None:
    """Where a package's file lies: below the folder that is given, else where it is installed; None: nowhere."""
    if packages is not None:
        return next((path.resolve() for path in sorted(packages.glob(f"**/{package}/{file}"))), None)
    spec = importlib.util.find_spec(package)
    places = [] if spec is None else [Path(place) / file for place in spec.submodule_search_locations or []]
    return next((path for path in places if path.is_file()), None)


def _voice(seed: int, count: int) -> Arrays:
    sound = signals(8 * 576, name="input")(seed, count)["input"].reshape(count, 8, 576)
    return {"input": 0.2 * sound, "state": np.zeros((count, 2, 128), np.float32), "sr": np.full(count, 16000)}


def _files(seed: int, count: int) -> Arrays:
    draw = np.random.default_rng(seed)
    return {"bytes": draw.integers(32, 122, (count, 2048)).astype(np.int32)}


def of_packages(packages: Path | None) -> list[Network]:
    """The models of those that are there."""
    known: list[tuple[str, str, str, Callable[[int, int], Arrays], dict[str, Any]]] = [
        ("PP-OCR direction", "rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx", _text(48, 192), {}),
        ("PP-OCRv4 recognizer", "rapidocr_onnxruntime", "models/ch_PP-OCRv4_rec_infer.onnx", _text(48, 160), {}),
        ("PP-OCRv4 detector", "rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx", _text(128, 160, rows=4), {}),
        (
            "silero-vad",
            "silero_vad",
            "data/silero_vad_16k_op15.onnx",
            _voice,
            {"recipe": "ptq_dynamic", "state": {"state": "stateN"}, "steps": 8},
        ),
        ("basic-pitch", "basic_pitch", "saved_models/icassp_2022/nmp.onnx", _long(), {}),
        ("magika", "magika", "models/standard_v3_3/model.onnx", _files, {"recipe": "ptq_dynamic"}),
    ]
    there = [
        (name, found_file(package, file, packages), examples, more) for name, package, file, examples, more in known
    ]
    return [
        Network(name, "packages", _file(path, examples, **more))
        for name, path, examples, more in there
        if path is not None
    ]


def _x(height: int, width: int) -> Callable[[int, int], Arrays]:
    return _renamed(pictures(3, height, width), "x")


def _text(height: int, width: int, rows: int = 1) -> Callable[[int, int], Arrays]:
    """Words in Pillow's own font, dark on light, in [-1, 1], (count, 3, height, width)."""

    def made(seed: int, count: int) -> Arrays:
        from PIL import Image, ImageDraw, ImageFont

        draw, found = np.random.default_rng(seed), []
        for _ in range(count):
            paper, ink = int(draw.integers(190, 256)), int(draw.integers(0, 90))
            picture = Image.new("RGB", (width, height), (paper, paper, int(draw.integers(190, 256))))
            for row in range(rows):
                word = "".join(draw.choice(list("abcdefghijkmnoprstuvwxyzABDEGHKMNR0123456789"), draw.integers(4, 9)))
                step = height / rows
                place = (int(draw.integers(2, 12)), row * step + 0.1 * step)
                ImageDraw.Draw(picture).text(place, word, (ink,) * 3, ImageFont.load_default(size=0.6 * step))
            found.append(np.asarray(picture, np.float32).transpose(2, 0, 1) / 127.5 - 1)
        return {"x": np.stack(found)}

    return made


def _long() -> Callable[[int, int], Arrays]:
    def made(seed: int, count: int) -> Arrays:
        sound = signals(43844)(seed, count)["inputs"]
        return {"serving_default_input_2:0": 0.3 * sound[..., None]}

    return made


def networks() -> list[Network]:
    """The graphs of this file."""
    x = signals(7, 1, 16, name="x")
    flat = signals(16, name="x")
    both = {"h": "hn", "c": "cn"}
    return [
        Network(
            "LSTM with a state", "recurrent", _of(_recurrent("LSTM", 4), x, recipe="ptq_dynamic", state=both, steps=7)
        ),
        Network(
            "GRU with a state",
            "recurrent",
            _of(_recurrent("GRU", 3), x, recipe="ptq_dynamic", state={"h": "hn"}, steps=7),
        ),
        Network("If around a convolution", "control flow", _of(_if, _x(32, 32))),
        Network("Loop around a product", "control flow", _of(_loop, flat, recipe="ptq_dynamic")),
        Network("pictures as bytes, channels last", "onnx", _of(_bytes, _bytes_of_pictures)),
        Network("free height and width", "onnx", _of(_free, _x(40, 56))),
        Network("YOLO head, boxes and scores in one", "detection", _of(_yolo, pictures(3, 96, 96))),
    ]
