"""A run's final/ is a bundle: sealed, with golden answers, an example for a device and a page that works."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgepipe.__main__ import main
from edgepipe.bundle.manifest import Bundle, read_bundle, seal_bundle, seal_more
from edgepipe.verify.places.browser import BrowserWasm
from tests.bundle.digits import digits_run
from tests.bundle.webdriver import Browser
from tests.small import arguments

BROWSER = BrowserWasm().lacking() or (
    None if shutil.which("chromedriver") else "chromedriver is missing: apt-get install chromium-driver"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_run(tmp_path_factory.mktemp("digits"))


@pytest.fixture
def bundle(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run / "final", tmp_path / "bundle"))


def test_a_bundle_names_labels_preprocessing_versions_and_every_file(run: Path) -> None:
    found = Bundle.model_validate_json((run / "final" / "bundle.json").read_text())
    assert found.signature.classes == tuple("0123456789")
    assert found.signature.preprocessing.image_size == (16, 16)
    assert found.bit_identical
    assert "onnxruntime" in found.versions
    on_disk = {path.relative_to(run / "final").as_posix() for path in (run / "final").rglob("*") if path.is_file()}
    assert on_disk == {*found.files, "bundle.json"}
    assert {"model.onnx", "golden.npz", "README.md", "example.py", "index.html", "pictures/0.png"} <= on_disk


def test_a_whole_bundle_verifies_and_a_damaged_one_says_what(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "verify", str(bundle)]) == 0
    assert "golden outputs met bit for bit" in capfd.readouterr().out
    page = bundle / "index.html"
    page.write_text(page.read_text() + " ")
    (bundle / "golden.npz").unlink()
    (bundle / "stray.txt").write_text("")
    assert main(["bundle", "verify", str(bundle)]) == 1
    said = capfd.readouterr().err
    assert "index.html: changed" in said
    assert "golden.npz: missing" in said
    assert "stray.txt: not named in bundle.json" in said
    assert main(["bundle", "verify", str(bundle / "pictures")]) == 2


@contextmanager
def serving(bundle: Path) -> Iterator[str]:
    """`edgepipe bundle serve`: the address that it prints."""
    command = [sys.executable, "-m", "edgepipe", "bundle", "serve", str(bundle), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
            server.terminate()
            assert server.stdout.read() == "", "no child keeps serving"  # would wait for one
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)


def test_serving_runs_no_code_of_the_bundle(bundle: Path) -> None:
    ran = bundle.parent / "ran"
    (bundle / "serve.py").write_text(f"open({str(ran)!r}, 'w').close()")
    (bundle / "ort").mkdir(exist_ok=True)
    (bundle / "ort" / "ort.wasm.min.mjs").write_text("")
    seal_bundle(bundle, read_bundle(bundle))  # whoever made it sealed it like that
    with serving(bundle) as url, urllib.request.urlopen(f"{url}index.html", timeout=30) as answer:
        assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert answer.read() == (bundle / "index.html").read_bytes()
    assert not ran.exists()


def test_a_damaged_bundle_is_not_served_and_stays_damaged(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = read_bundle(bundle)
    (bundle / "README.md").write_text("altered")
    assert main(["bundle", "serve", str(bundle), "--port", "0"]) == 1
    assert "README.md: changed" in capfd.readouterr().err
    (bundle / "ort").mkdir(exist_ok=True)
    (bundle / "ort" / "more.mjs").write_text("")
    more = seal_more(bundle, whole, "ort")
    assert set(more.files) - set(whole.files) == {"ort/more.mjs"}
    assert main(["bundle", "verify", str(bundle)]) == 1
    said = capfd.readouterr().err
    assert "README.md: changed" in said
    assert "more.mjs" not in said


def test_a_port_that_is_none_or_taken_is_refused_in_a_sentence(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (bundle / "ort").mkdir(exist_ok=True)
    (bundle / "ort" / "ort.wasm.min.mjs").write_text("")
    seal_bundle(bundle, read_bundle(bundle))
    for port in ("99999999", "-1"):
        assert main(["bundle", "serve", str(bundle), "--port", port]) == 2
        assert f"--port must be in 0 to 65535, found {port}" in capfd.readouterr().err
        ended = subprocess.run([sys.executable, str(bundle / "serve.py"), "--port", port], check=False)
        assert ended.returncode == 2
        assert f"must be in 0 to 65535, found {port}" in capfd.readouterr().err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["bundle", "serve", str(bundle), "--port", port]) == 1
        said = capfd.readouterr().err
        assert said == f"error: port {port}: Address already in use. Choose another: --port 0 takes any that is free\n"


def test_another_answer_than_the_golden_one_is_found(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with np.load(bundle / "golden.npz") as golden:
        arrays = dict(golden)
    arrays["outputs"] = np.nextafter(arrays["outputs"], np.float32(np.inf))  # one bit
    np.savez(bundle / "golden.npz", **arrays)
    seal_bundle(bundle, read_bundle(bundle))
    assert main(["bundle", "verify", str(bundle)]) == 1
    assert "an int8 graph must meet them bit for bit" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"outputs": None}, "golden.npz: has no `inputs` and `outputs`, only inputs"),
        ({"inputs": np.zeros((0, 3, 16, 16), np.float32)}, "golden.npz: holds no examples"),
        ({"inputs": np.float32(1)}, "golden.npz: holds no examples"),
        ({"inputs": np.array([{}, 1])}, "golden.npz: cannot be read: it holds Python objects"),
        ({"inputs": np.array(["a"] * 8)}, "golden.npz: `inputs` holds no numbers, but <U1"),
        (b"xx", "golden.npz: not an .npz file"),
        (b"PK\x05\x06" + bytes(18), "golden.npz: has no `inputs` and `outputs`, only neither"),
    ],
)
def test_golden_outputs_that_cannot_be_read_are_named(
    bundle: Path, capfd: pytest.CaptureFixture[str], change: dict[str, Any] | bytes, said: str
) -> None:
    with np.load(bundle / "golden.npz") as golden:
        arrays = dict(golden)
    if isinstance(change, bytes):
        (bundle / "golden.npz").write_bytes(change)
    else:
        kept = {name: value for name, value in {**arrays, **change}.items() if value is not None}
        np.savez(bundle / "golden.npz", allow_pickle=True, **kept)
    seal_bundle(bundle, read_bundle(bundle))
    assert main(["bundle", "verify", str(bundle)]) == 1
    assert f"error: {bundle}: {said}" in capfd.readouterr().err


def test_a_link_out_of_the_bundle_is_refused(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (bundle / "folder").symlink_to(bundle.parent)
    (bundle / "circle").symlink_to("circle")
    os.mkfifo(bundle / "pipe")
    content = json.loads((bundle / "bundle.json").read_text())
    content["files"]["n" * 300] = content["files"]["a\0b"] = content["files"]["model.onnx"]
    (bundle / "bundle.json").write_text(json.dumps(content))
    assert main(["bundle", "verify", str(bundle)]) == 1
    said = capfd.readouterr().err
    assert "folder: a link that leads outside the bundle" in said
    assert "circle: " in said
    assert "pipe: neither a file nor a folder" in said
    assert "n: cannot be read: " in said
    assert "b: cannot be read: " in said
    assert main(["bundle", "serve", str(bundle)]) == 1


def test_a_manifest_that_points_outside_is_refused(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = json.loads((bundle / "bundle.json").read_text())
    content["files"]["../secret"] = content["files"]["model.onnx"]
    (bundle / "bundle.json").write_text(json.dumps(content))
    assert main(["bundle", "verify", str(bundle)]) == 1
    assert "../secret: lies outside the bundle" in capfd.readouterr().err


def example(bundle: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """The bundle's own program, where there is no edgepipe."""
    command = [sys.executable, str(bundle / "example.py"), *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]})


def test_the_example_answers_pictures_and_checks_the_golden_outputs(bundle: Path) -> None:
    with np.load(bundle / "golden.npz") as golden:
        answers = golden["outputs"].argmax(axis=1)
    ended = example(bundle, *[str(bundle / "pictures" / f"{row}.png") for row in range(4)])
    assert [int(value) for value in re.findall(r"\.png: (\d) \(", ended.stdout)] == answers[:4].tolist()
    said = json.loads(example(bundle, "--json", "--runs", "5").stdout)
    assert (said["golden"], said["identical"], said["runs"]) == ("ok", True, 5)
    assert said["latency_p50_ms"] > 0


@pytest.fixture(scope="module")
def softmax_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs that are probabilities already, of a file that wants four pictures at once."""
    return digits_run(tmp_path_factory.mktemp("softmax"), "passes.export.batch=4", softmax=True)


def test_probabilities_are_printed_as_they_are_and_values_as_values(run: Path, softmax_run: Path, bundle: Path) -> None:
    final = softmax_run / "final"
    assert read_bundle(final).probabilities
    assert not read_bundle(run / "final").probabilities
    with np.load(final / "golden.npz") as golden:
        best = golden["outputs"][0]
    said = example(final, str(final / "pictures" / "0.png")).stdout
    assert f"0.png: {best.argmax()} ({best.max():.1%}), " in said

    content = json.loads((bundle / "bundle.json").read_text())
    content["signature"] |= {"task": "regression", "classes": []}
    (bundle / "bundle.json").write_text(json.dumps(content))
    with np.load(bundle / "golden.npz") as golden:
        values = golden["outputs"][0]
    said = example(bundle, str(bundle / "pictures" / "0.png")).stdout
    assert f"0.png: {', '.join(f'{value:.6g}' for value in values[:8].astype(np.float64))} ... (10 values), " in said


def test_arrays_that_are_no_pictures_have_golden_outputs_and_no_page(tmp_path: Path) -> None:
    assert main(arguments(tmp_path, "measure.latency_seconds=0.1", f"hydra.run.dir={tmp_path}/run")) == 0
    assert not (tmp_path / "run" / "final" / "index.html").exists()
    assert main(["bundle", "verify", str(tmp_path / "run")]) == 0
    assert main(["bundle", "serve", str(tmp_path / "run")]) == 2


@pytest.mark.skipif(BROWSER is not None, reason=str(BROWSER))
def test_a_picture_given_to_the_page_is_answered_as_on_this_machine(bundle: Path, tmp_path: Path) -> None:
    with np.load(bundle / "golden.npz") as golden:
        outputs, labels = golden["outputs"], golden["labels"]
    from edgepipe.bundle.build import add_runtime

    assert add_runtime(bundle) is None
    serve = [sys.executable, str(bundle / "serve.py"), "--port", "0"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            with Browser() as browser:
                browser.open(url)
                browser.wait_for("return document.body.dataset.state === 'ready'")
                assert browser.run("return crossOriginIsolated") is True
                browser.choose_file("#file", bundle / "pictures" / "0.png")
                browser.wait_for("return document.body.dataset.state === 'answered'")
                logits = browser.run("return JSON.parse(document.body.dataset.logits)")
                assert np.float32(logits).tobytes() == outputs[0].tobytes()  # bit for bit, from the PNG on
                assert browser.run("return document.getElementById('answer').textContent") == str(outputs[0].argmax())
                assert browser.run("return document.querySelectorAll('.bar').length") == 5
                assert re.fullmatch(r"[\d.]+ ms", browser.run("return document.getElementById('time').textContent"))
                browser.run("document.querySelectorAll('#examples button')[1].click()")
                browser.wait_for("return document.body.dataset.state === 'answered'")
                assert browser.run("return document.querySelectorAll('#examples img').length") == len(labels)
                shots = Path(os.environ.get("EDGEPIPE_SCREENSHOTS", tmp_path))
                browser.screenshot(shots / "page.png")
                assert Image.open(shots / "page.png").size[0] >= 900
        finally:
            server.terminate()


@pytest.mark.skipif(BROWSER is not None, reason=str(BROWSER))
def test_the_page_fills_a_fixed_batch_and_shows_probabilities_as_they_are(softmax_run: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(softmax_run / "final", tmp_path / "bundle"))
    with np.load(bundle / "golden.npz") as golden:
        best = golden["outputs"][0]
    with serving(bundle) as url, Browser() as browser:  # the runtime comes beside the page on the way
        browser.open(url)
        browser.wait_for("return document.body.dataset.state === 'ready'")
        browser.choose_file("#file", bundle / "pictures" / "0.png")
        browser.wait_for("return document.body.dataset.state === 'answered'")
        shown = browser.run("return JSON.parse(document.body.dataset.logits)")
        assert np.allclose(shown, best, atol=1e-4)
        assert browser.run("return document.querySelector('.bar b').textContent") == f"{100 * best.max():.1f}%"
    assert main(["bundle", "verify", str(bundle)]) == 0
