"""Small files that would fill the memory are refused before they are read."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from edgepipe import children, files
from edgepipe.data.npz_file import read_npz
from edgepipe.errors import DataError, ModelError
from edgepipe.models.torch_artifact import read_checkpoint


def test_archives_that_unpack_to_a_multiple_of_their_size_are_refused(tmp_path: Path, monkeypatch) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(4_000_000, np.uint8))
    with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 4_000_000)
    assert read_npz(tmp_path / "a.npz", ("x",))["x"].shape == (4_000_000,)  # small enough whatever its ratio
    monkeypatch.setattr(files, "MOST_UNPACKED", 1_000_000)
    with pytest.raises(DataError, match=r"unpack to 4,000,\d+, as in a decompression bomb"):
        read_npz(tmp_path / "a.npz", ("x",))
    with pytest.raises(ModelError, match=r"unpack to 4,000,000, as in a decompression bomb"):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("kind", ["strides", "sparse"])
def test_a_tensor_that_claims_more_than_its_bytes_is_refused(tmp_path: Path, kind: str) -> None:
    shape = (1_000_000, 1_000_000)
    value = torch.zeros(1).expand(shape) if kind == "strides" else torch.sparse_coo_tensor(size=shape)
    torch.save({"w": value, "b": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"w: \(1000000, 1000000\) out of fewer bytes"):
        read_checkpoint(tmp_path / "w.pth")
    torch.save({"w": torch.zeros(4, 4).T, "b": torch.zeros(3)}, tmp_path / "w.pth")
    assert read_checkpoint(tmp_path / "w.pth")["w"].shape == (4, 4)


@pytest.mark.parametrize(
    ("group", "limits", "expected"),
    [
        ("0::/", {"memory.max": "1000000"}, 1_000_000),  # in a container
        ("0::/jobs/one", {"jobs/memory.max": "2000000", "jobs/one/memory.max": "max"}, 2_000_000),
        ("0::/jobs/one", {"jobs/memory.max": "2000000", "jobs/one/memory.max": "1000000"}, 1_000_000),
        ("9:memory:/docker/a", {"memory/docker/a/memory.limit_in_bytes": "3000000"}, 3_000_000),
        ("9:memory:/not/seen/inside", {"memory/memory.limit_in_bytes": "3000000"}, 3_000_000),
        ("9:cpu,memory:/a\n1:cpu:/b", {"memory/b/memory.limit_in_bytes": "3000000"}, None),
        ("0::/", {"memory.max": "9223372036854771712"}, None),
        ("", {}, None),
    ],
)
def test_the_memory_is_what_the_control_group_leaves(
    tmp_path: Path, group: str, limits: dict[str, str], expected: int | None
) -> None:
    (tmp_path / "own").write_text(group)
    for name, text in limits.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    found = children.memory_bytes(tmp_path, tmp_path / "own")
    nowhere = children.memory_bytes(tmp_path / "no", tmp_path / "no")
    assert found == (nowhere if expected is None else expected)
