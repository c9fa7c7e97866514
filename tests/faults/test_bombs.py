"""Small files that would fill the memory are refused before they are read."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from edgepipe.__main__ import main
from edgepipe.base import children, files
from edgepipe.data.arrays import open_arrays
from edgepipe.data.npz_file import read_npz
from edgepipe.errors import DataError, ModelError
from edgepipe.sources.keras import hdf5_check
from edgepipe.sources.keras.file import KerasModel
from edgepipe.sources.sklearn.file import SklearnModel
from edgepipe.torch import checkpoint
from edgepipe.torch.artifact import read_checkpoint
from tests.faults.test_untrusted import refused


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


def pickled(path: Path, body: bytes) -> Path:
    """A checkpoint whose pickle is `body`."""
    torch.save({"a": torch.zeros(3)}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, body if name.endswith("data.pkl") else content)
    return path


A_GIBIBYTE = b"c__builtin__\nbytearray\nJ\xff\xff\xff\x3f\x85R"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"\x80\x02]" + 4 * (A_GIBIBYTE + b"a") + b".", r"reading it took more than 1\.0 GB of memory"),
        (b"\x80\x02ccollections\nCounter\n" + A_GIBIBYTE + b"\x85R.", r"reading it took longer than 0\.15 minutes"),
    ],
    ids=["bytes", "counting"],
)
def test_a_checkpoint_that_grows_while_it_is_read_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes, complaint: str
) -> None:
    usual, most = checkpoint.bound_of, 1.0 if "memory" in complaint else 8.0
    monkeypatch.setattr(checkpoint, "bound_of", lambda size: usual(size, 0.15, most))
    path = pickled(tmp_path / "w.pth", body)
    with pytest.raises(ModelError, match=f"model.weights: {path}: {complaint} and was ended. Save the state dict"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "body",
    [
        b"\x80\x02(" + b"]" * 600_000 + b"l.",
        b"\x80\x02" + b"]0" * 200_000 + b"ccollections\nOrderedDict\nq\0" + b"h\0)R0" * 2000 + b"].",
        b"\x80\x02c_codecs\nencode\n0].",
        b"\x80\x04\x8c\x0bcollections\x8c\x07Counter\x930].",
        b"not a pickle",
    ],
    ids=["many", "copies", "texts", "by-stack", "none"],
)
def test_a_pickle_that_could_grow_is_known_by_its_steps(tmp_path: Path, body: bytes) -> None:
    assert not checkpoint.is_plain(pickled(tmp_path / "w.pth", body))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_usual_checkpoint_costs_no_process(tmp_path: Path, zipped: bool) -> None:
    from torchvision.models import densenet121

    state = densenet121().state_dict()
    state["classifier.weight"] = torch.nn.Parameter(state["classifier.weight"])
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    assert checkpoint.is_plain(tmp_path / "w.pth")


def test_an_unusual_checkpoint_is_read_all_the_same(tmp_path: Path) -> None:
    shared = torch.arange(6.0).reshape(2, 3)
    content = {"state_dict": {"a": shared.T, "b": shared, "n": torch.tensor(3)}, "seen": {1, 2}, "raw": b"abc"}
    torch.save(content, tmp_path / "w.pth")
    assert not checkpoint.is_plain(tmp_path / "w.pth")
    found = read_checkpoint(tmp_path / "w.pth")
    assert set(found) == {"a", "b", "n"}
    assert all(torch.equal(found[key], value) for key, value in content["state_dict"].items())


def test_archives_of_data_and_estimators_are_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((4, 1_000_000), np.float32))
    assert open_arrays("data.evaluation", tmp_path / "a.npz", tmp_path / "cache", True).tensors[0].shape == (1_000_000,)
    for name in ("a.skops", "a.keras"):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("config.json", b" " * 4_000_000)
    monkeypatch.setattr(files, "MOST_UNPACKED", 1_000_000)
    with pytest.raises(DataError, match=r"data\.evaluation=.*a\.npz: .* as in a decompression bomb: refused"):
        open_arrays("data.evaluation", tmp_path / "a.npz", tmp_path / "cache", True)
    for kind, name in ((SklearnModel, "a.skops"), (KerasModel, "a.keras")):
        with pytest.raises(ModelError, match=rf"model.path: .*{name}: .* as in a decompression bomb: refused"):
            kind(path="m").check(tmp_path / name)


@pytest.mark.parametrize("kind", ["link", "external", "virtual", "zeros", "many", "circle", "good"])
@pytest.mark.parametrize("packed", [False, True], ids=["h5", "keras"])
def test_an_hdf5_file_reads_no_other_and_unpacks_to_no_multiple(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, packed: bool
) -> None:
    h5py = pytest.importorskip("h5py", reason="needs the extra keras: pip install 'edgepipe[keras]'")
    monkeypatch.setattr(hdf5_check, "MOST_UNPACKED", 1_000_000)
    monkeypatch.setattr(hdf5_check, "_MOST_OBJECTS", 50)
    config = json.dumps({"class_name": "Sequential", "module": "keras", "config": {"layers": []}})
    path = tmp_path / "m.h5"
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["w"] = np.zeros(4, np.float32)
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = config
        group = file.create_group("model_weights/dense")
        group["bias"] = np.zeros(4, np.float32)
        if kind == "link":
            group["w"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/w")
        elif kind == "external":
            group.create_dataset("w", (4,), "u1", external=[("/etc/hostname", 0, 4)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((4,), "f4")
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "w", (4,))
            group.create_virtual_dataset("w", layout)
        elif kind == "zeros":
            group.create_dataset("w", (10_000_000,), "f4", chunks=(1_000_000,), compression="gzip")[:] = 0
        elif kind == "many":
            for number in range(60):
                group.create_group(str(number))
        elif kind == "circle":
            group["again"] = file["model_weights"]
    if packed:
        with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
            archive.writestr("config.json", config)
            archive.write(path, "model.weights.h5")
        path = tmp_path / "m.keras"
    said = {
        "link": "/model_weights/dense/w: a link to another file",
        "external": "/model_weights/dense/w: its bytes lie in other files",
        "virtual": "/model_weights/dense/w: its bytes lie in other files",
        "zeros": "unpack to 40,000,016, as in a decompression bomb",
        "many": "holds more than 50 groups and arrays",
    }.get(kind)
    if said is None:
        KerasModel(path="m").check(path)
        return
    with pytest.raises(ModelError, match=f"model.path: {path}: .*{said}"):
        KerasModel(path="m").check(path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"passes":[' + "{}," * 400_000 + "{}]}", "more than 300,000 values"),
        ("[" * 100_000 + "]" * 100_000, "recursion limit exceeded"),
        (" " * (8 << 20) + "{}", "8,388,610 bytes, and 8,388,608 are the most"),
    ],
    ids=["many", "deep", "long"],
)
def test_a_record_of_gigantic_size_is_refused(tmp_path: Path, text: str, complaint: str, capfd) -> None:
    (tmp_path / "metrics.json").write_text(text)
    baseline = ["--baseline", str(tmp_path / "metrics.json")]
    for argv in (["report", str(tmp_path)], ["explain", str(tmp_path)], ["accept", str(tmp_path), *baseline]):
        assert complaint in refused(argv, capfd)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    "text",
    [f"{BOMB}description: *a11\n", "description: " + "[" * 5000 + "]" * 5000, f"description: {'x' * (1 << 20)}\n"],
    ids=["aliases", "deep", "long"],
)
def test_a_recipe_that_is_only_looked_at_is_kept_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, capfd
) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "bomb.yaml").write_text(text)
    (tmp_path / "recipe.yaml").write_text(text)
    (tmp_path / "model.onnx").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert main(["list", "recipes"]) == 0
    assert "not a recipe" in capfd.readouterr().out
    assert f"{tmp_path}/recipe.yaml: " in refused(["verify", str(tmp_path)], capfd)


def test_json_that_is_nested_too_deep_is_a_damaged_file_and_no_defect(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="nested too deep"):
        files.read_json(tmp_path / "a.json")
