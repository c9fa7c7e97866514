"""The store keeps whole entries only, notices damage, and computes once."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from queue import SimpleQueue

import pytest

from edgepipe.contract.artifact import Kind, open_artifact, seal
from edgepipe.errors import InputError, StoreError
from edgepipe.store.collection import rooms
from edgepipe.store.store import Store
from tests.store.stored import SIGNATURE, put


def test_stored_step_comes_back_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "k", b"weights")
    entry = store.find("k")
    assert entry is not None
    assert entry.artifact.onnx.read_bytes() == b"weights"
    assert (entry.seconds, entry.facts) == (1.5, {"x": 1})
    assert list((tmp_path / "tmp").iterdir()) == []


def test_unknown_key_is_a_miss(tmp_path: Path) -> None:
    assert Store(tmp_path).find("nothing") is None


def test_state_stays_for_whoever_goes_on_and_an_empty_one_goes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.state("f" * 40):
        raise RuntimeError
    with pytest.raises(RuntimeError), store.state("d" * 40) as folder:
        (folder / "epoch.pt").write_bytes(b"1")
        raise RuntimeError
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["d" * 40]
    assert [room.used > 0 for room in rooms(store.root)] == [True]


def test_failed_step_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.workspace() as space:
        (space / "half").write_bytes(b"x")
        raise RuntimeError
    assert list((tmp_path / "tmp").iterdir()) == []
    assert list((tmp_path / "steps").iterdir()) == []


@pytest.mark.parametrize("victim", ["artifact/model.onnx", "artifact/manifest.json", "record.json"])
def test_flipped_byte_is_reported_set_aside_and_a_miss(tmp_path: Path, victim: str) -> None:
    told: list[str] = []
    store = Store(tmp_path, told.append)
    put(store, "k", b"weights")
    path = tmp_path / "steps" / "k" / victim
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(bytes(content))
    assert store.find("k") is None
    assert len(told) == 1
    assert "computed again" in told[0]
    assert len(list((tmp_path / "damaged").iterdir())) == 1
    assert put(store, "k", b"weights").artifact.onnx.is_file()


def test_equal_files_give_equal_digests_wherever_they_lie(tmp_path: Path) -> None:
    digests = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.onnx").write_bytes(b"same")
        digests.add(seal(tmp_path / name, Kind.ONNX, SIGNATURE).digest)
    assert len(digests) == 1


def test_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    seal(tmp_path, Kind.ONNX, SIGNATURE)
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(StoreError, match=r"model\.onnx: missing"):
        open_artifact(tmp_path)


def test_root_that_is_a_file_says_where_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(InputError, match=r"store\.root: .*file: a file, and no folder. Name a folder"):
        Store(path)


def test_any_flipped_byte_of_a_record_is_damage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "k", b"weights")
    record = tmp_path / "steps" / "k" / "record.json"
    whole = record.read_bytes()
    record.write_bytes(whole.replace(b'"x": 1', b'"x": 9'))
    assert store.find("k") is None
    assert "record.json: damaged" in store.why_missing("k", {"pass": "p"})[0]


def test_an_artifact_that_is_not_the_recorded_one_is_a_miss(tmp_path: Path) -> None:
    told: list[str] = []
    store = Store(tmp_path, told.append)
    put(store, "k", b"new")
    put(store, "old", b"whole, and of before")
    shutil.rmtree(tmp_path / "steps" / "k" / "artifact")
    shutil.copytree(tmp_path / "steps" / "old" / "artifact", tmp_path / "steps" / "k" / "artifact")
    assert store.find("k") is None
    assert "the manifest is not the one that was stored" in told[0]
    assert store.find("old") is not None


def test_a_changed_byte_of_a_measurement_is_a_miss(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.workspace() as space:
        (space / "measured.json").write_text("1")
        folder = store.commit_measurement("m", space, {"artifact": "a"})
    assert store.find_measurement("m") == folder
    (folder / "measured.json").write_text("2")
    assert store.find_measurement("m") is None
    assert "measured.json: damaged" in store.why_not_measured("m", {"artifact": "a"})[0]


def test_one_key_has_one_holder_and_the_other_is_told_what_it_waits_for(tmp_path: Path) -> None:
    said: SimpleQueue[str] = SimpleQueue()

    def wait() -> None:
        with Store(tmp_path, said.put).lock("k", "quantize"):
            said.put("mine")

    other = threading.Thread(target=wait)
    with Store(tmp_path).lock("k", "quantize"):
        other.start()
        assert said.get(timeout=30) == "quantize: another process is computing this; waiting for it"
        assert said.empty()
    assert said.get(timeout=30) == "mine"
    other.join()


def test_the_same_damage_met_by_two_processes_is_set_aside_once(tmp_path: Path) -> None:
    told: list[str] = []
    first, second = Store(tmp_path), Store(tmp_path, told.append)
    put(first, "k", b"weights")
    (tmp_path / "steps" / "k" / "record.json").write_text("{")
    first._set_aside(tmp_path / "steps" / "k", "damaged")
    second._set_aside(tmp_path / "steps" / "k", "damaged")
    assert told == []
    assert second.find("k") is None


def test_a_result_that_another_process_stored_meanwhile_is_the_one_returned(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "k", b"theirs")
    entry = put(store, "k", b"ours")
    assert entry.artifact.onnx.read_bytes() == b"theirs"
    assert open_artifact(entry.artifact.path).digest == entry.artifact.digest
