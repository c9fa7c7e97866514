"""Broken recipes, checkpoints and data: a one-screen error with the remedy, the right exit code, no traceback."""

from __future__ import annotations

import io
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgepipe.__main__ import main

HEADER = "# @package _global_\n"
GROUPS = "defaults:\n  - /model: resnet18\n  - /data: digits\n  - _self_\n"


def pictures(root: Path, classes: tuple[str, ...] = ("cat", "dog"), each: int = 6) -> Path:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in classes:
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(each):
                noise = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(noise).save(folder / f"{number}.png")
    return root


def recipe(tmp: Path, text: str) -> list[str]:
    (tmp / "broken.yaml").write_text(HEADER + text, encoding="utf-8")
    return [f"recipe={tmp / 'broken.yaml'}"]


def folder_run(tmp: Path, root: Path, *more: str) -> list[str]:
    return [
        "recipe=ptq",
        "model=resnet18",
        "data=image_folder",
        f"data.root={root}",
        "data.image_size=32",
        "data.calibration_size=4",
        f"hydra.run.dir={tmp}/run",
        f"store.root={tmp}/store",
        *more,
    ]


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("a pickle ran",))


def pickle_bomb(tmp: Path) -> list[str]:
    (tmp / "bomb.pth").write_bytes(pickle.dumps(Bomb()))
    return folder_run(tmp, pictures(tmp / "p"), f"model.weights={tmp}/bomb.pth")


def truncated_checkpoint(tmp: Path) -> list[str]:
    (tmp / "w.safetensors").write_bytes(b'\x40\x00\x00\x00\x00\x00\x00\x00{"conv1')
    return folder_run(tmp, pictures(tmp / "p"), f"model.weights={tmp}/w.safetensors")


def misfit_checkpoint(tmp: Path) -> list[str]:
    from safetensors.numpy import save_file

    save_file({"conv1.weight": np.zeros((64, 1, 7, 7), np.float32)}, tmp / "w.safetensors")
    return folder_run(tmp, pictures(tmp / "p"), f"model.weights={tmp}/w.safetensors")


def no_picture(tmp: Path) -> list[str]:
    root = pictures(tmp / "p")
    (root / "test" / "cat" / "0.png").write_bytes(b"this is no picture")
    return folder_run(tmp, root)


def empty_class(tmp: Path) -> list[str]:
    root = pictures(tmp / "p")
    shutil.rmtree(root / "train" / "dog")
    (root / "train" / "dog").mkdir()
    return folder_run(tmp, root)


def leaking_split(tmp: Path) -> list[str]:
    root = pictures(tmp / "p")
    shutil.copy(root / "train" / "cat" / "0.png", root / "test" / "cat" / "0.png")
    return folder_run(tmp, root, "data.on_overlap=error")


def evil_zip(tmp: Path) -> list[str]:
    with zipfile.ZipFile(tmp / "evil.zip", "w") as archive:
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, "png")
        archive.writestr("../../train/cat/0.png", buffer.getvalue())
    return folder_run(tmp, tmp / "evil.zip")


def no_zip(tmp: Path) -> list[str]:
    (tmp / "a.zip").write_bytes(b"PK but not really")
    return folder_run(tmp, tmp / "a.zip")


def nan_pictures(tmp: Path) -> list[str]:
    images = np.zeros((8, 3, 8, 8), np.float32)
    images[3] = np.nan
    np.savez(tmp / "e.npz", images=images, labels=np.zeros(8, np.int64))
    return [
        "recipe=ptq",
        "model=resnet18",
        "data=npz",
        f"data.evaluation={tmp}/e.npz",
        f"data.calibration={tmp}/e.npz",
        f"hydra.run.dir={tmp}/run",
        f"store.root={tmp}/store",
    ]


def garbage_onnx(tmp: Path) -> list[str]:
    (tmp / "m.onnx").write_bytes(b"not a protobuf at all" * 9)
    pictures(tmp / "p")
    return [
        "recipe=ptq",
        "model=onnx",
        f"model.path={tmp}/m.onnx",
        "data=image_folder",
        f"data.root={tmp}/p",
        "data.image_size=32",
        "data.calibration_size=4",
        f"hydra.run.dir={tmp}/run",
        f"store.root={tmp}/store",
    ]


CASES: list[tuple[str, Callable[[Path], list[str]], int, str]] = [
    ("no recipe", lambda _: ["seed=1"], 2, "no recipe: say which"),
    ("unknown recipe", lambda _: ["recipe=resnet81_int8"], 2, "there is no recipe"),
    ("unknown verb", lambda _: ["chekc"], 2, "Did you mean 'check'?"),
    ("missing recipe file", lambda tmp: [f"recipe={tmp}/nowhere.yaml"], 2, "there is no file"),
    ("list of passes", lambda tmp: recipe(tmp, GROUPS + "passes: [train]\n"), 2, "passes: "),
    ("unknown pass", lambda tmp: recipe(tmp, GROUPS + "passes: {a: {pass: shrnik}}\n"), 2, "unknown pass 'shrnik'"),
    ("step without a pass", lambda tmp: recipe(tmp, GROUPS + "passes: {a: {ratio: 1}}\n"), 2, "every step names its"),
    ("unknown setting", lambda _: ["recipe=resnet18_int8", "passes.prune.ratoi=1"], 2, "Did you mean 'ratio'?"),
    ("ratio out of range", lambda _: ["recipe=resnet18_int8", "passes.prune.ratio=1.5"], 2, "passes.prune.ratio"),
    ("unknown group option", lambda _: ["recipe=resnet18_int8", "data=digts"], 2, "Did you mean 'digits'?"),
    ("yaml that does not close", lambda tmp: recipe(tmp, "passes: {a: "), 2, "not readable as YAML"),
    ("baseline that is no step", lambda _: ["recipe=resnet18_int8", "baseline=trian"], 2, "Did you mean 'train'?"),
    (
        "order that cannot work",
        lambda tmp: recipe(
            tmp, GROUPS + "passes: {a: {pass: quantize_static}, b: {pass: prune_channels, ratio: 0.5}}\n"
        ),
        2,
        "reads torch",
    ),
    (
        "own code without trust",
        lambda tmp: [
            "recipe=ptq",
            "model=python",
            "model.factory=os:getcwd",
            "data=digits",
            f"hydra.run.dir={tmp}/r",
            f"store.root={tmp}/s",
        ],
        2,
        "trust_code=true",
    ),
    (
        "unknown torchvision model",
        lambda tmp: [
            "recipe=ptq",
            "model=torchvision",
            "model.name=resnet19",
            "data=digits",
            f"hydra.run.dir={tmp}/r",
            f"store.root={tmp}/s",
        ],
        2,
        "resnet1",
    ),
    ("pickle bomb", pickle_bomb, 2, "bomb.pth"),
    ("truncated checkpoint", truncated_checkpoint, 2, "w.safetensors"),
    ("checkpoint that does not fit", misfit_checkpoint, 2, "conv1.weight"),
    ("no data folder", lambda tmp: folder_run(tmp, tmp / "nowhere"), 2, "nowhere"),
    ("picture that is none", no_picture, 2, "0.png"),
    ("class without pictures", empty_class, 2, "dog"),
    ("evaluation picture in train", leaking_split, 2, "0.png"),
    ("zip that escapes", evil_zip, 2, "evil.zip"),
    ("zip that is none", no_zip, 2, "a.zip"),
    ("NaN pictures", nan_pictures, 2, "e.npz"),
    ("garbage ONNX", garbage_onnx, 2, "m.onnx"),
]


@pytest.mark.parametrize(("make", "code", "said"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_broken_input(
    make: Callable[[Path], list[str]],
    code: int,
    said: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(make(tmp_path)) == code
    output = capfd.readouterr()
    text = output.out + output.err
    assert said in text
    assert "Traceback" not in text
    assert "a pickle ran" not in text
    assert len([line for line in output.err.splitlines() if line.strip()]) <= 24
