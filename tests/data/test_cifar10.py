from __future__ import annotations

import hashlib
import importlib.util
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from edgepipe.contract import Split
from edgepipe.data import cifar10
from edgepipe.data.cifar10 import CLASSES, FILES, Cifar10Data
from edgepipe.errors import DataError

RECORDS = 20


def batches() -> list[tuple[np.ndarray, list[int]]]:
    rng = np.random.default_rng(0)
    labels = [row % 10 for row in range(RECORDS)]
    return [(rng.integers(0, 256, (RECORDS, 3072), np.uint8), labels) for _ in FILES]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "RECORDS", RECORDS)


def write_python(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    sums = {}
    for name, (planes, labels) in zip(FILES, batches(), strict=True):
        content = pickle.dumps({"data": planes, "labels": labels}, protocol=2)
        (folder / name).write_bytes(content)
        sums[name] = hashlib.md5(content).hexdigest()
    monkeypatch.setattr(cifar10, "MD5", sums)
    return root


def write_binary(root: Path) -> Path:
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name, (planes, labels) in zip(FILES, batches(), strict=True):
        records = np.concatenate([np.array(labels, np.uint8)[:, None], planes], axis=1)
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    return root


def test_python_and_binary_versions_give_the_same_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = (write_python(tmp_path / "py", monkeypatch), write_binary(tmp_path / "bin"))
    opened = [Cifar10Data(root=root, calibration_size=10).open(tmp_path / "cache") for root in roots]
    for split, count in zip(Split, (100, 10, 20), strict=True):
        assert [source.count(split) for source in opened] == [count, count]
        assert opened[0].digest(split) == opened[1].digest(split)
    assert opened[0].signature.classes == CLASSES
    source = Cifar10Data(root=roots[0], calibration_size=0, image_size=32, mean=(0, 0, 0), std=(1, 1, 1)).open(tmp_path)
    row = int(source.names(Split.EVALUATION)[0].split("[")[1][:-1])  # type: ignore[attr-defined]
    found = np.round(next(source.batches(Split.EVALUATION, 1)).only[0] * 255)
    assert np.array_equal(found, batches()[5][0][row].reshape(3, 32, 32))


def test_the_second_open_reads_no_batch_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Cifar10Data(root=write_binary(tmp_path / "r"), calibration_size=5)
    first = settings.open(tmp_path / "cache").digest(Split.TRAIN)
    monkeypatch.setattr(cifar10, "_read_binary", lambda file: pytest.fail(f"{file} was read again"))
    assert settings.open(tmp_path / "cache").digest(Split.TRAIN) == first


def test_a_changed_batch_is_refused_by_its_md5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_python(tmp_path, monkeypatch)
    with (root / "cifar-10-batches-py" / "data_batch_3").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(DataError, match=r"data_batch_3: MD5 is .* damaged or changed"):
        Cifar10Data(root=root).open(tmp_path / "cache")


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("echo owned > owned",)


def test_a_pickle_that_wants_to_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_python(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps({"data": Evil(), "labels": []})
    (root / "cifar-10-batches-py" / "data_batch_1").write_bytes(content)
    cifar10.MD5["data_batch_1"] = hashlib.md5(content).hexdigest()
    with pytest.raises(DataError, match=r"data_batch_1: not a batch of CIFAR-10 \(it wants to import \w+\.system\)"):
        Cifar10Data(root=root).open(tmp_path / "cache")
    assert not (tmp_path / "owned").exists()


def test_missing_and_cut_copies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no cifar-10-batches-py .* or set data\.download=true"):
        Cifar10Data(root=tmp_path).open(tmp_path)
    folder = write_binary(tmp_path) / "cifar-10-batches-bin"
    cut = (folder / "data_batch_2.bin").read_bytes()[:-1]
    (folder / "data_batch_2.bin").write_bytes(cut)
    with pytest.raises(DataError, match=rf"data_batch_2\.bin: {len(cut)} bytes, not {len(cut) + 1}"):
        Cifar10Data(root=tmp_path).open(tmp_path / "cache")
    (folder / "test_batch.bin").unlink()
    with pytest.raises(DataError, match=r"test_batch\.bin is missing"):
        Cifar10Data(root=tmp_path).open(tmp_path / "cache")


def test_checksums_are_torchvisions() -> None:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        pytest.skip("torchvision is not installed")
    source = (Path(spec.origin).parent / "datasets" / "cifar.py").read_text()
    known = dict(re.findall(r'\["(data_batch_\d|test_batch)", "([0-9a-f]{32})"\]', source))
    assert known == cifar10.MD5
