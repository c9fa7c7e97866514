"""A picture becomes the same pixels in training, in the bundle's example.py and on its page."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgepipe.bundle.build import _pictures
from edgepipe.bundle.files.serve import Handler
from edgepipe.bundle.page import FILES
from edgepipe.contract import Preprocessing, Signature
from edgepipe.data.decode import Work, decode, upright
from edgepipe.data.geometry import Frame, placement
from edgepipe.data.lines import prepared as line_of
from edgepipe.data.pictures import frame_of
from edgepipe.data.scaling import normalized
from edgepipe.verify.places.chromium import chromium
from tests.bundle.loaded import loaded
from tests.bundle.webdriver import Browser
from tests.data.files import HEIGHT, RGB, TURNS, WIDTH, readable, refused, turned
from tests.measure.graphs import save

NODE = None if shutil.which("node") else "node is missing: apt-get install nodejs"
BROWSER = None if chromium() and shutil.which("chromedriver") else "apt-get install chromium chromium-driver"
SIZE, MEAN, STD = (16, 20), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
WAYS = [
    {"fit": "letterbox"},
    {"fit": "letterbox_corner", "fill": 0, "order": "bgr", "scale": 1.0},
    {"fit": "crop", "interpolation": "bicubic", "scale": 1 / 127.5},
    {"fit": "crop", "crop_share": 1.0, "interpolation": "nearest", "order": "bgr"},
]
SIZES = [(WIDTH, HEIGHT), (SIZE[1], SIZE[0]), (7, 90), (91, 8), (33, 31), (2 * SIZE[1], 2 * SIZE[0]), (41, 33)]


def prepared(how: dict[str, Any]) -> Preprocessing:
    return Preprocessing.model_validate(
        {"image_size": SIZE, "channels": 3, "interpolation": "bilinear", "mean": MEAN, "std": STD, **how}
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """example.py with a network that hands out what it is given."""
    from onnx import helper

    folder = tmp_path_factory.mktemp("bundle")
    save(folder / "model.onnx", [helper.make_node("Flatten", ["x"], ["y"])], [], input_shape=("n", 3, *SIZE))
    how = {"image_size": SIZE, "channels": 3, "interpolation": "bilinear", "mean": MEAN, "std": STD}
    about = {"task": "regression", "classes": [], "preprocessing": how}
    (folder / "bundle.json").write_text(json.dumps({"model": "model.onnx", "probabilities": False, "signature": about}))
    shutil.copyfile(FILES / "example.py", folder / "example.py")
    return folder


def written(folder: Path, files: dict[str, bytes]) -> list[str]:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [str(folder / name) for name in files]


def alone(bundle: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Python where there is no edgepipe."""
    command = [sys.executable, *argv]
    return subprocess.run(
        command, cwd=bundle, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]}
    )


def test_the_example_reads_every_file_as_training_does(bundle: Path, tmp_path: Path) -> None:
    paths = written(tmp_path / "p", readable())
    script = "import sys, numpy, example; numpy.save(sys.argv[1], [example.read_picture(p) for p in sys.argv[2:]])"
    ended = alone(bundle, "-c", script, str(tmp_path / "found.npy"), *paths)
    assert ended.returncode == 0, ended.stderr
    expected = decode(Work(paths, [Path(path).read_bytes() for path in paths], Frame(*SIZE, 3, "bilinear")))
    pixels = expected.astype(np.float32) / np.float32(255)
    wanted = ((pixels - np.float32(MEAN)) / np.float32(STD)).transpose(0, 3, 1, 2)
    for path, one, other in zip(paths, np.load(tmp_path / "found.npy"), wanted, strict=True):
        assert np.array_equal(one, other), path


@pytest.mark.parametrize("how", WAYS)
def test_the_example_places_and_scales_as_training_does(how: dict[str, Any], bundle: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    files = {}
    for width, height in SIZES:
        stream = io.BytesIO()
        Image.fromarray(draw.integers(0, 256, (height, width, 3), np.uint8)).save(stream, "PNG")
        files[f"{width}x{height}.png"] = stream.getvalue()
    paths = written(tmp_path / "p", files)
    about = prepared(how)
    script = (
        "import sys, json, numpy, example; example.BUNDLE['signature']['preprocessing'] = json.loads(sys.argv[1]);"
        "numpy.save(sys.argv[2], [example.read_picture(p) for p in sys.argv[3:]])"
    )
    ended = alone(bundle, "-c", script, about.model_dump_json(), str(tmp_path / "found.npy"), *paths)
    assert ended.returncode == 0, ended.stderr
    wanted = normalized(decode(Work(paths, list(files.values()), frame_of(about))), about)
    assert len({one.tobytes() for one in wanted}) == len(SIZES)
    assert np.array_equal(np.load(tmp_path / "found.npy"), wanted)


@pytest.mark.skipif(NODE is not None, reason=str(NODE))
@pytest.mark.parametrize("how", WAYS)
def test_the_page_places_and_scales_as_training_does(how: dict[str, Any]) -> None:
    draw, about = np.random.default_rng(0), prepared(how)
    pictures = [draw.integers(0, 256, (height, width, 3), dtype=np.uint8) for width, height in SIZES]
    given = [[picture.ravel().tolist(), picture.shape[1], picture.shape[0]] for picture in pictures]
    found = in_node(
        f"const how = {about.model_dump_json()}, out = [];"
        f"for (const [flat, width, height] of {json.dumps(given)})"
        "out.push(Array.from(pixels.normalized(pixels.framed(new Uint8Array(flat), width, height, 3, how), 3, how)));"
        "console.log(JSON.stringify(out));"
    )
    wanted = normalized(decode(Work([""] * len(SIZES), pictures, frame_of(about))), about)
    assert np.array_equal(np.array(found, np.float32).reshape(wanted.shape), wanted)


@pytest.mark.skipif(NODE is not None, reason=str(NODE))
def test_the_page_places_pictures_of_any_size_as_training_does() -> None:
    draw = np.random.default_rng(1)
    sizes = [*draw.integers(1, 300, (300, 2)).tolist(), *draw.integers(300, 20_000, (300, 2)).tolist()]
    ways = [{**how, "image_size": size} for how in WAYS for size in ((224, 224), (641, 480), (7, 5))]
    found = in_node(
        f"const out = []; for (const how of {json.dumps([prepared(way).model_dump(mode='json') for way in ways])})"
        f"for (const [width, height] of {json.dumps(sizes)}) out.push(pixels.placement(width, height, how));"
        "console.log(JSON.stringify(out));"
    )
    wanted = [list(placement(*size, frame_of(prepared(way)))[:4]) for way in ways for size in sizes]
    assert found == wanted


@pytest.mark.parametrize("how", WAYS)
def test_the_golden_pictures_become_the_golden_inputs(how: dict[str, Any], tmp_path: Path) -> None:
    about = prepared(how)
    signature = Signature(input_shape=(3, *SIZE), preprocessing=about)
    pixels = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), np.uint8)
    names = _pictures(tmp_path, normalized(pixels, about), signature)
    raws = [(tmp_path / name).read_bytes() for name in names]
    assert np.array_equal(decode(Work(names, raws, frame_of(about))), pixels)
    shown = np.asarray(Image.open(tmp_path / names[0]))
    assert np.array_equal(shown, pixels[0] if about.order == "rgb" else pixels[0][..., ::-1])


def test_the_example_says_a_sentence_on_what_it_cannot_read(bundle: Path, tmp_path: Path) -> None:
    files = {name: content for name, (content, _) in refused().items()}
    paths = written(tmp_path / "p", {"fine.png": readable()["grey.png"], **files})
    (tmp_path / "p" / "folder.png").mkdir()
    others = [str(tmp_path / "p" / name) for name in ("folder.png", "nowhere.png", "bad\x1b[31m\nname.png")]
    ended = alone(bundle, "-W", "ignore", "example.py", *paths, *others)
    assert ended.returncode == 2
    assert ended.stdout.count("fine.png: ") == ended.stdout.count("\n") == 1
    lines = ended.stderr.splitlines()
    assert len(lines) == len(files) + len(others)
    for line, path, (_, message) in zip(lines, paths[1:], refused().values(), strict=False):
        assert line.startswith(f"error: {path}: ") and message in line
    assert [line.rpartition(": ")[2] for line in lines[-3:-1]] == ["Is a directory", "No such file or directory"]
    assert "bad\\x1b[31m\\x0aname.png: No such file" in lines[-1]


@pytest.mark.skipif(NODE is not None, reason=str(NODE))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_page_finds_the_orientation_and_turns_as_defined(kind: str, tmp_path: Path) -> None:
    files = {f"{kind}_{value}": turned(kind, value) for value in range(1, 9)}
    paths = written(tmp_path / "p", files)
    found = in_node(
        "const {inspect, upright} = pixels; import {readFileSync} from 'fs';"
        f"const given = new Uint8Array({RGB.ravel().tolist()}); const out = [];"
        f"for (const path of {json.dumps(paths)}) {{ const {{orientation}} = inspect(readFileSync(path));"
        f"const [flat, width, height] = upright(given, {WIDTH}, {HEIGHT}, 3, orientation);"
        "out.push([orientation, width, height, Array.from(flat)]); } console.log(JSON.stringify(out));"
    )
    assert [one[0] for one in found] == list(range(1, 9))
    for orientation, width, height, flat in found:
        expected = TURNS.get(orientation, lambda pixels: pixels)(RGB)
        assert np.array_equal(np.array(flat, np.uint8).reshape(height, width, 3), expected)


@pytest.mark.skipif(NODE is not None, reason=str(NODE))
def test_the_page_finds_the_orientation_that_pillow_finds(tmp_path: Path) -> None:
    files = {name: raw for name, raw in readable().items() if "exif" in name or name == "xmp.jpg"}
    found = in_node(
        "import {readFileSync} from 'fs';"
        f"console.log(JSON.stringify({json.dumps(written(tmp_path / 'p', files))}.map("
        "(path) => pixels.inspect(readFileSync(path)).orientation)))"
    )
    for name, raw, one in zip(files, files.values(), found, strict=True):
        height, width = decoded_size(raw)
        assert (one >= 5) == ((height, width) == (WIDTH, HEIGHT)), name


def decoded_size(raw: bytes) -> tuple[int, int]:
    turned_picture = upright(Image.open(io.BytesIO(raw)))
    return turned_picture.height, turned_picture.width


@pytest.mark.skipif(NODE is not None, reason=str(NODE))
def test_the_page_says_why_it_does_not_read_a_file(tmp_path: Path) -> None:
    here = {name: content for name, (content, _) in refused().items() if name not in ("cut.jpg", "huge.png")}
    tried = {**here, **{name: readable()[name] for name in ("rgb.tiff", "rgb.ppm", "rgb.dib", "cmyk.jpg")}}
    said = in_node(
        "import {readFileSync} from 'fs'; const out = [];"
        f"for (const path of {json.dumps(written(tmp_path / 'p', tried))})"
        "try { pixels.inspect(readFileSync(path)); out.push(''); } catch (error) { out.push(error.message); }"
        "console.log(JSON.stringify(out));"
    )
    for name, message in zip(tried, said, strict=True):
        special = {"cmyk.jpg": "Browsers turn the CMYK", "grey_16.png": "hold more than 8 bits"}
        assert message.startswith(special.get(name, "This is no JPEG, PNG,")) or special.get(name, "-") in message, name


def in_node(script: str) -> Any:
    code = f"import * as pixels from '{(FILES / 'pixels.mjs').as_uri()}'; {script}"
    node = ["node", "--input-type=module", "-e", code]
    return json.loads(subprocess.run(node, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(NODE is not None, reason=str(NODE))
@pytest.mark.parametrize("how", ["bilinear", "bicubic", "nearest"])
def test_the_page_resizes_as_pillow_does(how: str) -> None:
    draw = np.random.default_rng(0)
    for width, height, to_width, to_height in ((50, 31, 16, 24), (7, 9, 20, 13), (16, 16, 16, 8), (38, 68, 30, 42)):
        pixels = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
        resample = getattr(Image.Resampling, how.upper())
        expected = np.asarray(Image.fromarray(pixels).resize((to_width, to_height), resample))
        found = in_node(
            f"const out = pixels.resize(new Uint8Array({pixels.ravel().tolist()}), {width}, {height}, 3, {to_width},"
            f" {to_height}, '{how}'); console.log(JSON.stringify(Array.from(out)));"
        )
        assert np.array_equal(np.array(found, np.uint8).reshape(expected.shape), expected)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    written(tmp_path, readable())
    (tmp_path / "index.html").write_text("<body></body>")
    shutil.copyfile(FILES / "pixels.mjs", tmp_path / "pixels.mjs")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@pytest.mark.skipif(BROWSER is not None, reason=str(BROWSER))
def test_the_page_reads_in_a_browser_what_training_reads(site: str) -> None:
    unread = {name for name in readable() if name.lower().partition("_")[0] == "tiff" or name.endswith(".tiff")}
    unread |= {"rgb.ppm", "grey.pgm", "one_bit.pbm", "rgb.dib", "cmyk.jpg", "seen_through.gif"}
    script = (
        "window.found = null; import('./pixels.mjs').then(async (pixels) => { const out = {};"
        f"for (const name of {json.dumps(list(readable()))}) for (const channels of [1, 3]) {{ try {{"
        "const blob = await (await fetch(name)).blob(), [flat, width, height] = await pixels.pixelsOf(blob, channels);"
        "out[name + channels] = [width, height, Array.from(flat)]; } catch (error) { out[name + channels] = null; } }"
        "window.found = out; });"
    )
    with Browser() as browser:
        browser.open(site)
        browser.run(script)
        found = browser.wait_for("return window.found")
    for name, raw in readable().items():
        for channels in (1, 3):
            if name in unread:
                assert found[f"{name}{channels}"] is None, name
                continue
            width, height, flat = found[f"{name}{channels}"]
            expected = decode(Work([name], [raw], Frame(height, width, channels, "nearest")))[0]
            assert np.array_equal(np.array(flat, np.uint8).reshape(expected.shape), expected), name


@pytest.mark.parametrize("fit", ["line", "line_free"])
@pytest.mark.parametrize("width", [1, 10, 20, 33, 90, 700])
def test_example_py_prepares_lines_as_the_data_does(
    fit: str, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = prepared({"fit": fit, "order": "bgr"})
    pixels = np.random.default_rng(width).integers(0, 256, (24, width, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "line.png")
    signature = Signature(input_shape=(3, *SIZE), preprocessing=how)
    example = loaded(tmp_path, signature, monkeypatch)
    wanted = line_of(decode(Work(["line"], [pixels], frame_of(how))), how)[0]
    assert np.array_equal(example.read_picture(tmp_path / "line.png"), wanted)
    (name,) = _pictures(tmp_path, wanted[None], signature)
    assert np.array_equal(example.read_picture(tmp_path / name), wanted)  # golden pictures become golden inputs
    if NODE is None:
        (tmp_path / "raw").write_bytes(pixels.tobytes())
        flat, dims = in_node(
            f"import {{readFileSync}} from 'fs'; const raw = new Uint8Array(readFileSync('{tmp_path}/raw'));"
            f"const {{data, dims}} = pixels.prepared(raw, {width}, 24, 3, {how.model_dump_json()});"
            "console.log(JSON.stringify([Array.from(data), dims]));"
        )
        assert np.array_equal(np.array(flat, np.float32).reshape(dims), wanted)
