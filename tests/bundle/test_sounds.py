"""A recording becomes the same inputs in measuring and in the bundle's example.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

from edgepipe.bundle.build import build
from edgepipe.bundle.manifest import seal_bundle
from edgepipe.bundle.verify import edited, problems
from edgepipe.contract import Split
from edgepipe.data.audio_folder import AudioFolderData
from tests.bundle.loaded import loaded
from tests.bundle.test_bundle import BROWSER, serving
from tests.bundle.webdriver import Browser
from tests.data.drawing import write
from tests.data.recordings import noise, wav
from tests.data.test_audio_folder import EACH, STEPS, recordings
from tests.measure.graphs import save

MEL = {"features": "log_mel", "n_fft": 128, "hop": 50, "mean": -3.0, "std": 2.5, "other_rates": "resample"}


@pytest.mark.parametrize("rate", [8000, 11025])
@pytest.mark.parametrize("length", [300, 800, 1500])
def test_example_py_prepares_recordings_to_the_bit(
    rate: int, length: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {**recordings({"train": 3}), "test/no/a.wav": wav(noise(77, length), rate), "test/yes/b.wav": wav(noise(8))}
    root = write(tmp_path / "sounds", files)
    data = AudioFolderData(root=root, **EACH, **MEL).open(tmp_path)
    row = list(data.names(Split.EVALUATION)).index("test/no/a.wav")  # type: ignore[attr-defined]
    wanted = next(data.batches(Split.EVALUATION, 1, [row])).only[0]
    assert np.array_equal(taken(data, root / "test/no/a.wav", tmp_path, monkeypatch)[""], wanted)


def test_steps_and_constants_come_by_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = b"file,start,end\ntest/a.wav,0,1\n"
    files = {**recordings({"train": 3}), "test/a.wav": wav(noise(50, 800)), "s.csv": table}
    root = write(tmp_path / "sounds", files)
    data = AudioFolderData(root=root, segments="s.csv", **STEPS).open(tmp_path)
    found = taken(data, root / "test/a.wav", tmp_path, monkeypatch)
    assert found["sr"] == 8000
    assert np.array_equal(found["input"], next(data.batches(Split.EVALUATION, 1)).inputs["input"][0])


def test_what_is_no_recording_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = AudioFolderData(root=write(tmp_path / "s", recordings({"train": 3, "test": 1})), **EACH).open(tmp_path)
    (tmp_path / "junk.wav").write_bytes(b"RIFFjunk")
    example = beside(data, tmp_path, monkeypatch)
    for name in ("junk.wav", "missing.wav"):
        with pytest.raises(example.Refused):
            example.read_file(tmp_path / name)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A linear classifier of log-mel features."""
    root = write(tmp_path / "sounds", recordings({"train": 3, "test": 2}))
    data = AudioFolderData(root=root, **EACH, **MEL).open(tmp_path)
    shape = data.signature.input_shape
    weights = np.random.default_rng(0).standard_normal((int(np.prod(shape)), 10)).astype(np.float32)
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
    folder = tmp_path / "final"
    folder.mkdir()
    save(folder / "model.onnx", nodes, [numpy_helper.from_array(weights / 50, "w")], input_shape=("n", *shape))
    build(folder, "sounds", data.signature, data, browser=False)
    return folder


def test_a_bundle_of_recordings_is_whole_and_has_a_page(bundle: Path) -> None:
    found, wrong = problems(bundle)
    assert wrong == []
    assert edited(bundle, found) == []
    assert {"index.html", "sound.mjs", "worklet.mjs", "sound_features.py"} <= set(found.files)
    with (bundle / "sound_features.py").open("a") as file:
        file.write("# more\n")
    assert edited(bundle, seal_bundle(bundle, found)) == ["sound_features.py"]


@pytest.mark.skipif(BROWSER is not None, reason=str(BROWSER))
def test_the_page_answers_a_recording_as_this_machine_does(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(noise(7, 9000), 44100))
    said = subprocess.run(
        [sys.executable, str(bundle / "example.py"), str(tmp_path / "a.wav")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    with serving(bundle) as url, Browser() as browser:
        browser.open(url)
        browser.wait_for("return document.body.dataset.state === 'ready'")
        browser.choose_file("#file", tmp_path / "a.wav")
        browser.wait_for("return document.body.dataset.state === 'answered'")
        title = browser.run("return document.getElementById('answer').textContent")
        share = browser.run("return document.querySelector('.bar b').textContent")
        assert browser.run("return document.getElementById('record').disabled") is False
    assert f": {title.removeprefix('class ')} ({share}), " in said


def beside(data, folder: Path, monkeypatch: pytest.MonkeyPatch):
    for name, content in data.files.items():
        (folder / name).write_bytes(content)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "sound_features", raising=False)
    return loaded(folder, data.signature, monkeypatch)


def taken(data, path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    return beside(data, folder, monkeypatch).read_file(path)
