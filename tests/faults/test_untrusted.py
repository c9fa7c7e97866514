"""Recipes, models and data from strangers: refused or harmless."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from edgepipe.__main__ import main
from edgepipe.records.metrics import read_metrics
from tests.data.drawing import png
from tests.small import arguments

ERROR_LINES = 12


def refused(argv: list[str], capfd: pytest.CaptureFixture[str], code: int = 2) -> str:
    capfd.readouterr()
    assert main(argv) == code
    err = capfd.readouterr().err
    assert "Traceback" not in err
    assert "internal error" not in err
    assert 1 <= len(err.strip().splitlines()) <= ERROR_LINES
    return err


def external(folder: Path, location: str, length: int | None = None) -> None:
    """Make the first weight of m.onnx an external one at `location`."""
    model = onnx.load(folder / "m.onnx")
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **({"length": str(length)} if length else {})}.items():
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    onnx.save(model, folder / "m.onnx")


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "sub/../../secret.bin"])
def test_external_data_outside_the_models_folder(tmp_path: Path, location: str, capfd) -> None:
    argv = arguments(tmp_path / "in", f"hydra.run.dir={tmp_path}/run")
    (tmp_path / "secret.bin").write_bytes(b"\0" * 10_000)
    (tmp_path / "in" / "sub").mkdir()
    external(tmp_path / "in", location)
    assert "external" in refused(argv, capfd)


def test_external_data_through_a_link(tmp_path: Path, capfd) -> None:
    argv = arguments(tmp_path / "in", f"hydra.run.dir={tmp_path}/run")
    (tmp_path / "secret.bin").write_bytes(b"\0" * 10_000)
    (tmp_path / "in" / "w.bin").symlink_to(tmp_path / "secret.bin")
    external(tmp_path / "in", "w.bin")
    assert "external" in refused(argv, capfd)


@pytest.mark.parametrize("size", [10, 100_000])
def test_external_data_of_another_size_than_the_shape(tmp_path: Path, size: int, capfd) -> None:
    argv = arguments(tmp_path, f"hydra.run.dir={tmp_path}/run")
    (tmp_path / "w.bin").write_bytes(b"\0" * size)
    external(tmp_path, "w.bin", size)
    refused(argv, capfd)


def test_nan_weights(tmp_path: Path, capfd) -> None:
    argv = arguments(tmp_path, f"hydra.run.dir={tmp_path}/run")
    model = onnx.load(tmp_path / "m.onnx")
    weight = model.graph.initializer[0]
    array = numpy_helper.to_array(weight).copy()
    array.flat[0] = np.nan
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    onnx.save(model, tmp_path / "m.onnx")
    capfd.readouterr()
    assert main(argv) in (1, 2)
    err = capfd.readouterr().err
    assert "NaN" in err
    assert "Traceback" not in err


def folder_arguments(folder: Path, root: Path) -> list[str]:
    argv = [item for item in arguments(folder, f"hydra.run.dir={folder}/run") if not item.startswith("data")]
    return [*argv, "data=image_folder", f"data.root={root}", "data.image_size=16", "data.calibration_size=2"]


@pytest.mark.parametrize("name", ["../../out.png", "/tmp/out.png", "train/a/../../../out.png"])
def test_a_zip_that_wants_out_writes_nothing_outside(tmp_path: Path, name: str, capfd) -> None:
    box = tmp_path / "deep" / "box"
    box.mkdir(parents=True)
    path = box / "z.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for split, label, number in [(s, c, n) for s in ("train", "test") for c in "ab" for n in range(4)]:
            archive.writestr(f"{split}/{label}/{number}.png", png(hash((split, label, number)) % 10_000))
        archive.writestr(name, png(1))
    before = set(tmp_path.rglob("*"))
    capfd.readouterr()
    code = main(folder_arguments(box, path))
    assert code in (0, 2)
    assert "Traceback" not in capfd.readouterr().err
    assert not [item for item in set(tmp_path.rglob("*")) - before if box not in item.parents]
    assert not Path("/tmp/out.png").exists()


def huge_png(side: int) -> bytes:
    """A PNG that claims side x side pixels in a few bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("bomb", ["picture", "zip", "text"])
def test_bombs_and_files_that_are_no_pictures(tmp_path: Path, bomb: str, capfd) -> None:
    path = tmp_path / "z.zip"
    content = {"picture": huge_png(60_000), "zip": b"\0" * 600_000_000, "text": b"not a picture"}[bomb]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for split, label, number in [(s, c, n) for s in ("train", "test") for c in "ab" for n in range(4)]:
            archive.writestr(f"{split}/{label}/{number}.png", png(hash((split, label, number)) % 10_000))
        archive.writestr("test/a/bomb.png", content)
    assert "bomb.png" in refused(folder_arguments(tmp_path, path), capfd)


def test_a_class_without_pictures(tmp_path: Path, capfd) -> None:
    for place in ("train/a/1.png", "train/b/2.png", "test/a/3.png"):
        path = tmp_path / "p" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(len(place) + ord(place[-5])))
    (tmp_path / "p" / "test" / "b").mkdir()
    text = refused(folder_arguments(tmp_path, tmp_path / "p"), capfd)
    assert "b" in text


@pytest.mark.parametrize(
    "text",
    [
        "model: !!python/object/apply:os.system ['touch BOOM']",
        "model: !!python/name:os.system",
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)),
        "passes: &p {x: *p}",
        "passes: {quantize: {pass: '${oc.env:HOME}'}}",
        "passes: {quantize: ${nowhere}}",
    ],
)
def test_yaml_that_runs_code_explodes_or_refers_to_itself(tmp_path: Path, text: str, capfd, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(
        f"# @package _global_\ndefaults:\n  - /model: resnet18\n  - /data: digits\n  - _self_\n{text}\n"
    )
    refused([f"recipe={tmp_path}/bad.yaml"], capfd)
    assert not (tmp_path / "BOOM").exists()


def test_html_in_class_names_is_text_in_every_page(tmp_path: Path) -> None:
    evil = "<script>alert(1)<"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for split in ("train", "test"):
            for label in (evil, "<img src=x onerror=alert(1)>"):
                for number in range(6):
                    archive.writestr(f"{split}/{label}/{number}.png", png(hash((split, label, number)) % 100_000))
    (tmp_path / "z.zip").write_bytes(buffer.getvalue())
    argv = folder_arguments(tmp_path, tmp_path / "z.zip")
    sweep = [item for item in argv if not item.startswith("hydra.run.dir")]
    assert main(["-m", *sweep, "passes.quantize.observer=mse,min_max", f"hydra.sweep.dir={tmp_path}/s"]) == 0
    for page in [*tmp_path.rglob("report.html"), *tmp_path.rglob("sweep.html")]:
        content = page.read_text()
        assert "<script>alert" not in content
        assert "<img src=x" not in content
    assert read_metrics(tmp_path / "s" / "0").status == "ok"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("bad", "hydra: {callbacks: {x: {_target_: pwn.Touch}}}", "hydra.callbacks"),
        (
            "bad",
            "hydra: {job_logging: {handlers: {x: {class: pwn.Touch}}}}",
            "hydra.job_logging",
        ),
        ("bad", "hydra: {hydra_logging: {handlers: {x: {(): pwn.Touch}}}}", "hydra.hydra_logging"),
        ("bad", "hydra: {job: {env_set: {LD_PRELOAD: x.so}}}", "hydra.job.env_set"),
        ("bad", "hydra: ${sneaky}\nsneaky: {callbacks: {x: {_target_: pwn.Touch}}}", "hydra"),
        ("bad", "hydra: {sweeper: {sampler: {_target_: pwn.Touch}}}", "hydra.sweeper.sampler"),
        ("bad", "trust_code: true", "trust_code"),
        ("model/bad", "# @package hydra\ncallbacks: {x: {_target_: pwn.Touch}}", "hydra.callbacks"),
        ("hydra/callbacks/bad", "x: {_target_: pwn.Touch}", "hydra/callbacks"),
    ],
)
def test_a_recipe_reaches_nothing_of_hydra_that_runs_code(tmp_path: Path, name, text, said, capfd, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "pwn.py").write_text(
        "import logging, pathlib\npathlib.Path('BOOM').touch()\nclass Touch(logging.Handler): pass\n"
    )
    main_text = "# @package _global_\ndefaults:\n  - /model: resnet18\n  - /data: digits\n  - _self_\npasses: {}\n"
    group, _, _ = name.rpartition("/")
    if group == "model":
        main_text = main_text.replace("/model: resnet18", "/model: bad")
    elif group:
        main_text = main_text.replace("  - _self_", "  - override /hydra/callbacks: bad\n  - _self_")
    file = tmp_path / "recipes" / f"{name}.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text if group else main_text + text + "\n")
    if group:
        (tmp_path / "recipes" / "bad.yaml").write_text(main_text)
    for argv in (["recipe=bad", "model.weights=none.pth"], ["-m", "recipe=bad", "seed=1,2"], ["plan", "recipe=bad"]):
        assert said in refused(argv, capfd)
    assert not (tmp_path / "BOOM").exists()


def test_default_list_cannot_put_a_group_into_hydra(tmp_path: Path, capfd, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(
        "# @package _global_\ndefaults:\n  - /model: resnet18\n  - /data: digits\n"
        "  - /target@hydra.callbacks.x: host\n  - _self_\n"
    )
    assert "hydra.callbacks.x" in refused(["recipe=bad.yaml"], capfd)
