"""The store keeps whole entries only, notices damage, and computes once."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepipe.artifact import Kind, Signature, open_artifact, seal
from edgepipe.errors import StoreError
from edgepipe.store import Entry, Store, key_of

SIGNATURE = Signature(input_shape=(3, 8, 8), classes=("a", "b"))


def put(store: Store, key: str, content: bytes) -> Entry:
    with store.workspace() as space:
        out = space / "artifact"
        out.mkdir()
        (out / "model.onnx").write_bytes(content)
        return store.commit_step(key, space, seal(out, Kind.ONNX, SIGNATURE), {"seconds": 1.5, "facts": {"x": 1}})


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


def test_key_depends_on_values_not_on_order() -> None:
    assert key_of({"a": 1, "b": [1, 2]}) == key_of({"b": [1, 2], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})


def test_root_that_is_a_file_says_where_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(StoreError, match=r"store\.root: .*cannot be written.*store\.root=DIR"):
        Store(path)
