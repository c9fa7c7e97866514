"""From an ONNX file and a folder of pictures with VOC's boxes to a bundle that names boxes, by one command."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgepipe.bundle.manifest import read_bundle, seal_bundle
from edgepipe.bundle.verify import damage, edited, problems
from tests.bundle.test_bundle import BROWSER, serving
from tests.bundle.webdriver import Browser
from tests.small import QUICK

DETECTOR = Path(__file__).parents[3] / "examples" / "detector.py"
_spec = importlib.util.spec_from_file_location("detector", DETECTOR)
assert _spec is not None and _spec.loader is not None
detector = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(detector)


def command(home: Path, *more: str, run: str = "run", classes: str = "red,green") -> subprocess.CompletedProcess[str]:
    said = [
        *("recipe=ptq", "model=onnx", f"model.path={home}/d.onnx", "data=voc", f"data.root={home}/pictures"),
        *("data.image_size=64", f"data.classes=[{classes}]", "data.calibration_size=16", "data.workers=0"),
        *("task=detection", "~goal", f"store.root={home}/store", f"hydra.run.dir={home}/{run}", *QUICK, *more),
    ]
    return edgepipe(home, *said)


def edgepipe(home: Path, *said: str) -> subprocess.CompletedProcess[str]:
    where = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    words = [sys.executable, "-m", "edgepipe", *said]
    return subprocess.run(words, cwd=home, capture_output=True, text=True, check=False, env=where)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("detector")
    detector.network(home / "d.onnx")
    detector.folder(home / "pictures")
    ended = command(home)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return home


def test_a_detector_is_measured_by_its_boxes_and_int8_keeps_them(home: Path) -> None:
    metrics = json.loads((home / "run" / "metrics.json").read_text())
    first, last = metrics["passes"][0], metrics["passes"][-1]
    assert metrics["task"]["name"] == "detection"
    assert first["measurements"]["quality"]["map50"]["value"] > 0.95
    assert last["measurements"]["quality"]["map"]["value"] > 0.9
    assert last["versus_baseline"]["quality"]["map"]["ci95"] is not None
    assert set(last["measurements"]["by_class"]) == {"AP", "AP50"}
    assert set(last["measurements"]["by_class"]["AP"]) == {"red", "green"}


def test_the_bundle_is_whole_and_names_boxes_in_pixels_of_any_picture(home: Path) -> None:
    final = home / "run" / "final"
    verified = edgepipe(home, "bundle", "verify", str(final))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    drawn, boxes = detector.picture(77)
    drawn.save(home / "p.png")
    drawn.resize((512, 256), Image.Resampling.NEAREST).save(home / "large.png")
    words = [sys.executable, str(final / "example.py"), "p.png", "large.png"]
    ended = subprocess.run(
        words, cwd=home, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]}
    )
    assert ended.returncode == 0, ended.stderr
    for line, scale in zip(ended.stdout.splitlines(), (1, 4), strict=True):
        said = [part.split() for part in line.partition(": ")[2].rpartition(", ")[0].split("; ")]
        found = sorted((name, *map(int, corners.split(","))) for name, _, corners in said)
        wanted = sorted((("red", "green")[label], *(scale * each for each in box)) for *box, label in boxes)
        assert [one[0] for one in found] == [one[0] for one in wanted]
        assert np.abs(np.array([one[1:] for one in found]) - [one[1:] for one in wanted]).max() <= 2 * scale
        assert all(0.3 <= float(score) <= 1 for _, score, _ in said)


def test_a_changed_head_is_no_whole_bundle(home: Path, tmp_path: Path) -> None:
    final = tmp_path / "final"
    shutil.copytree(home / "run" / "final", final)
    with (final / "heads" / "boxes.py").open("a") as stream:
        stream.write("\n")
    assert problems(final)[1] == ["heads/boxes.py: changed: its content does not match the SHA-256 in bundle.json"]
    seal_bundle(final, read_bundle(final))
    assert damage(final)[1] == [] and edited(final, read_bundle(final)) == ["heads/boxes.py"]
    (final / "heads" / "more.py").write_text("")
    seal_bundle(final, read_bundle(final))
    assert "heads/more.py: a program that edgepipe puts into no bundle" in problems(final)[1][0]


def test_classes_in_another_order_are_spoken_of(home: Path) -> None:
    ended = command(home, "~passes.quantize", run="wrong", classes="green,red")
    metrics = json.loads((home / "wrong" / "metrics.json").read_text())
    told = " ".join(note for step in metrics["passes"] for note in step["findings"])
    assert "it numbers the classes otherwise" in told, ended.stdout + ended.stderr


@pytest.mark.skipif(BROWSER is not None, reason=str(BROWSER))
def test_the_page_draws_the_boxes_that_example_py_names(home: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(home / "run" / "final", tmp_path / "bundle"))
    drawn, _ = detector.picture(77)
    drawn.resize((256, 512), Image.Resampling.NEAREST).save(tmp_path / "tall.png")
    words = [sys.executable, str(bundle / "example.py"), str(tmp_path / "tall.png")]
    said = (
        subprocess.run(words, capture_output=True, text=True, check=True).stdout.partition(": ")[2].rpartition(", ")[0]
    )
    wanted = [(name, score, corners) for name, score, corners in (part.split() for part in said.split("; "))]
    with serving(bundle) as url, Browser() as browser:
        browser.open(url)
        browser.wait_for("return document.body.dataset.state === 'ready'")
        browser.choose_file("#file", tmp_path / "tall.png")
        browser.wait_for("return document.body.dataset.state === 'answered'")
        found = browser.run(
            "return [...document.querySelectorAll('#list li')].map((row) =>"
            "[row.querySelector('span').textContent, row.querySelector('b').textContent, row.title])"
        )
        size = browser.run("const {width, height} = document.getElementById('overlay'); return [width, height]")
        marks = browser.run(
            "const c = document.getElementById('overlay');"
            "const {data} = c.getContext('2d').getImageData(0, 0, c.width, c.height);"
            "return data.filter((value, i) => i % 4 === 3 && value > 0).length"
        )
    assert size == [320, 640]
    assert marks > 1000
    assert sorted(map(tuple, found)) == sorted(wanted)
