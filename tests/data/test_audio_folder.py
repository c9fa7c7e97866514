"""Recordings in class folders, and with a table of what is heard when."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from edgepipe.contract import Split
from edgepipe.data.audio_folder import AudioFolderData
from edgepipe.errors import DataError
from tests.data.drawing import pack, write
from tests.data.recordings import noise, wav

EACH = {"sample_rate": 8000, "samples": 800, "calibration_size": 2}
STEPS = {**EACH, "step": 200, "context": 50, "state": {"h": "hn"}, "constants": {"sr": 8000}}


def recordings(splits: dict[str, int], classes: tuple[str, ...] = ("no", "yes")) -> dict[str, bytes]:
    places = [(split, name, number) for split, count in splits.items() for name in classes for number in range(count)]
    return {
        "/".join(part for part in (split, name, f"{number}.wav") if part): wav(noise(seed))
        for seed, (split, name, number) in enumerate(places)
    }


@pytest.mark.parametrize("packed", [False, True])
def test_folders_say_splits_and_classes(packed: bool, tmp_path: Path) -> None:
    files = recordings({"train": 4, "test": 2})
    root = pack(tmp_path / "sounds.zip", files) if packed else write(tmp_path / "sounds", files)
    data = AudioFolderData(root=root, **EACH).open(tmp_path)
    assert [data.count(split) for split in Split] == [8, 2, 4]
    assert (data.signature.classes, data.signature.task) == (("no", "yes"), "classification")
    for batch in data.batches(Split.EVALUATION, 3):
        assert batch.only.shape[1:] == (800,) and batch.labels is not None
    name, label = data.names(Split.EVALUATION)[1], data.labels(Split.EVALUATION)[1]  # type: ignore[attr-defined, index]
    assert label == (name.split("/")[1] == "yes")
    one = next(data.batches(Split.EVALUATION, 1, [1])).only[0]
    order = list(files)
    np.testing.assert_allclose(one, noise(order.index(name)), atol=1e-4)


def test_without_splits_some_of_each_class_are_held_out(tmp_path: Path) -> None:
    root = write(tmp_path / "sounds", recordings({"": 10}))
    data = AudioFolderData(root=root, evaluation_share=0.3, **EACH).open(tmp_path)
    assert [data.count(split) for split in Split] == [14, 2, 6]
    assert sorted(data.labels(Split.EVALUATION).tolist()) == [0, 0, 0, 1, 1, 1]  # type: ignore[union-attr]


def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("no/0.wav", wav(np.zeros(6_000_000)))
    with pytest.raises(DataError, match="as in a decompression bomb"):
        AudioFolderData(root=tmp_path / "b.zip", **EACH).open(tmp_path)


def test_another_rate_is_refused_or_resampled(tmp_path: Path) -> None:
    files = recordings({"train": 3, "test": 2})
    files["test/yes/0.wav"] = wav(noise(1, 1600), rate=16000)
    root = write(tmp_path / "sounds", files)
    with pytest.raises(DataError, match=r"test/yes/0\.wav has 16000 samples a second.*data\.other_rates=resample"):
        AudioFolderData(root=root, **EACH).open(tmp_path)
    data = AudioFolderData(root=root, other_rates="resample", **EACH).open(tmp_path)
    assert data.count(Split.EVALUATION) == 4


def test_a_table_says_what_is_heard_in_each_step(tmp_path: Path) -> None:
    files = {f"train/{number}.wav": wav(noise(number, 1600)) for number in range(3)}
    files |= {"test/a.wav": wav(noise(10, 1900)), "test/b.wav": wav(noise(11, 300))}
    heard = ("test/a.wav,0.03,0.1,speech", "test/a.wav,0.16,0.2,speech", "train/0.wav,0,1,speech")
    files["heard.csv"] = "\n".join(["file,start,end,label", *heard]).encode()
    data = AudioFolderData(root=write(tmp_path / "s", files), segments="heard.csv", **STEPS).open(tmp_path)
    assert (data.signature.task, data.signature.steps, data.signature.state) == ("scores", 4, {"h": "hn"})
    assert [(item.name, item.shape) for item in data.signature.inputs] == [("input", (4, 250)), ("sr", ())]
    found = dict(zip(data.names(Split.EVALUATION), data.labels(Split.EVALUATION).tolist(), strict=True))  # type: ignore[attr-defined, union-attr]
    # Of 1900 samples two examples are whole and 300 are left, less than half of one; steps last 0.025 s.
    assert found == {"test/a.wav[0]": [0, 1, 1, 1], "test/a.wav[1]": [0, 0, 1, 1], "test/b.wav[0]": [0, 0, 0, 0]}
    (batch,) = data.batches(Split.EVALUATION, 9)
    assert batch.inputs["input"].shape == (3, 4, 250) and batch.inputs["sr"].tolist() == [8000] * 3
    row = list(found).index("test/a.wav[1]")
    np.testing.assert_allclose(batch.inputs["input"][row, 1], noise(10, 1900)[950:1200], atol=1e-4)


def test_windows_of_several_labels_are_classes_with_nothing(tmp_path: Path) -> None:
    files = {f"{number}.wav": wav(noise(number, 800)) for number in range(10)}
    lines = [f"{number}.wav\t0\t0.09\t{('dog', 'cat')[number % 2]}\n" for number in range(6)]
    files["s.tsv"] = ("file\tstart\tend\tlabel\n" + "".join(lines)).encode()
    root = write(tmp_path / "s", files)
    data = AudioFolderData(root=root, segments="s.tsv", evaluation_share=0.5, **EACH).open(tmp_path)
    assert (data.signature.classes, data.signature.task) == (("none", "cat", "dog"), "classification")
    assert data.count(Split.TRAIN) + data.count(Split.EVALUATION) == 10
    with pytest.raises(DataError, match=r"2 labels \(cat, dog\), and steps are judged by one"):
        AudioFolderData(root=root, segments="s.tsv", **STEPS).open(tmp_path)


def test_a_recording_in_both_splits_and_a_broken_one_are_refused(tmp_path: Path) -> None:
    files = recordings({"train": 3, "test": 2})
    files["test/no/9.wav"] = files["train/no/0.wav"]
    root = write(tmp_path / "a", files)
    with pytest.raises(DataError, match=r"in evaluation too .* train/no/0\.wav = test/no/9\.wav"):
        AudioFolderData(root=root, **EACH).open(tmp_path)
    root = write(tmp_path / "b", {**recordings({"train": 3, "test": 2}), "test/no/0.wav": b"RIFF"})
    with pytest.raises(DataError, match=r"data\.root=.*test/no/0\.wav: "):
        AudioFolderData(root=root, **EACH).open(tmp_path)
    with pytest.raises(DataError, match=r"3\.wav lies in no folder of a class"):
        AudioFolderData(root=write(tmp_path / "c", {"3.wav": wav(noise(1))}), **EACH).open(tmp_path)
    with pytest.raises(DataError, match="no recordings in it"):
        AudioFolderData(root=write(tmp_path / "d", {"a/x.txt": b""}), **EACH).open(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step": 100}, "step and state belong together"),
        ({"context": 10}, "context is put in front of a step"),
        ({**STEPS, "step": 300}, "a multiple of step"),
        (STEPS, "set segments too"),
        ({"features": "log_mel", "samples": 100}, "n_fft is 512"),
        ({"features": "log_mel", "fmax": 9000}, "fmax <= 8000"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AudioFolderData(root="x", **settings)
