"""A stored measurement of somebody else's, sealed as edgepipe seals, is set aside and taken again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgepipe.__main__ import main
from edgepipe.measure.stored import load
from edgepipe.search.sensitivity import _read as read_sensitivity
from edgepipe.store.store import Store
from edgepipe.tasks.classification import Classification
from edgepipe.verify.prove import _read as read_proof
from tests.small import arguments

TASK = Classification()


def sealed(folder: Path) -> None:
    """Digests as the store writes them: they say nothing of who wrote the files."""
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    (folder / "record.json").write_text(json.dumps({name: sums[name] for name in sums if name != "record.json"}))


def _top1(folder: Path, value: object) -> None:
    content = json.loads((folder / "measured.json").read_text())
    content["measurements"]["quality"]["top1"]["value"] = value
    (folder / "measured.json").write_text(json.dumps(content))


def _answers(folder: Path, change: Callable) -> None:
    with np.load(folder / "answers.npz") as arrays:
        changed = {name: change(arrays[name]) if name.startswith("answers") else arrays[name] for name in arrays.files}
    np.savez(folder / "answers.npz", **changed)


CHANGES: dict[str, Callable[[Path], object]] = {
    "a list": lambda folder: _top1(folder, []),
    "NaN": lambda folder: _top1(folder, float("nan")),
    "infinite": lambda folder: _top1(folder, 1e308 * 10),
    "too large": lambda folder: (folder / "measured.json").write_text('{"measurements": {"top1": 1e999}}'),
    "nothing": lambda folder: (folder / "measured.json").write_text("{}"),
    "no mapping": lambda folder: (folder / "measured.json").write_text("[]"),
    "deep": lambda folder: (folder / "measured.json").write_text("[" * 100_000),
    "no file": lambda folder: (folder / "measured.json").unlink(),
    "other names": lambda folder: np.savez(folder / "answers.npz", names=np.array(["a"]), neighbours=0, answers0=[1]),
    "no names": lambda folder: np.savez(folder / "answers.npz", names=3, neighbours=0, answers0=[1]),
    "no archive": lambda folder: (folder / "answers.npz").write_text("x"),
    "words": lambda folder: _answers(folder, lambda value: np.full(value.shape, "a")),
    "no numbers": lambda folder: _answers(folder, lambda value: np.full(value.shape, np.nan)),
    "one number": lambda folder: _answers(folder, lambda _: np.float64(3)),
    "fewer": lambda folder: _answers(folder, lambda value: value[1:]),
    "other axes": lambda folder: _answers(folder, lambda value: value[None]),
    "a class that fills the memory": lambda folder: _answers(folder, lambda value: value + 2**40),
}


def test_what_edgepipe_did_not_measure_is_set_aside_and_measured_again(tmp_path: Path, capfd) -> None:
    argv = arguments(tmp_path, f"hydra.run.dir={tmp_path}/r")
    assert main(argv) == 0
    entry = min((tmp_path / "store" / "measurements").iterdir())
    whole = {path.name: path.read_bytes() for path in entry.iterdir()}
    notes: list[str] = []
    store = Store(tmp_path / "store", notes.append)
    count = load(entry, TASK, _count(entry)).answered.count
    for what, change in CHANGES.items():
        entry.mkdir(exist_ok=True)
        for name, content in whole.items():
            (entry / name).write_bytes(content)
        assert store.read_measurement(entry.name, lambda folder: load(folder, TASK, count)) is not None, what
        change(entry)
        sealed(entry)
        assert store.find_measurement(entry.name) == entry, what  # its digests are right
        assert store.read_measurement(entry.name, lambda folder: load(folder, TASK, count)) is None, what
        assert "it does not hold what edgepipe measures" in notes.pop(), what
        assert not entry.exists(), what
    entry.mkdir()
    for name, content in whole.items():
        (entry / name).write_bytes(content)
    _top1(entry, [])
    sealed(entry)
    capfd.readouterr()
    assert main(argv) == 0
    assert "it does not hold what edgepipe measures" in capfd.readouterr().err
    assert load(entry, TASK, count).measurements.top1 is not None


def _count(entry: Path) -> int:
    with np.load(entry / "answers.npz") as arrays:
        return len(arrays["answers0"])


@pytest.mark.parametrize("read", [read_sensitivity, read_proof])
@pytest.mark.parametrize("text", ["{}", "[" * 100_000, '{"layers": NaN}', "x"])
def test_a_stored_proof_or_sensitivity_that_is_none_is_set_aside(read: Callable, text: str, tmp_path: Path) -> None:
    notes: list[str] = []
    store = Store(tmp_path / "store", notes.append)
    entry = store.root / "measurements" / ("0" * 40)
    entry.mkdir()
    (entry / ("sensitivity.json" if read is read_sensitivity else "proof.json")).write_text(text)
    sealed(entry)
    assert store.read_measurement(entry.name, read) is None
    assert "does not hold what edgepipe measures" in notes[0]
