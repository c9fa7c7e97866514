"""Files, folders and names are known by what they are; what nobody knows is refused with what there is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepipe.contract import Tensor
from edgepipe.errors import DataError, ModelError
from edgepipe.start.look import data_at, model_at
from tests.start import bright


def test_an_onnx_file_and_a_network_by_name_are_known(tmp_path: Path) -> None:
    bright.network(tmp_path / "m.onnx")
    seen = model_at(str(tmp_path / "m.onnx"))
    assert (seen.source, seen.guess.settings) == ("onnx", {"path": str(tmp_path / "m.onnx")})
    assert model_at("mobilenet_v2").guess.settings == {"name": "mobilenet_v2"}


def test_a_network_of_timm_and_a_folder_of_transformers_are_known(tmp_path: Path) -> None:
    pytest.importorskip("timm", reason="needs the extra timm")
    assert model_at("tf_efficientnet_lite0").source == "timm"
    (tmp_path / "bert").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "bert" / name).write_bytes(b"{}")
    assert model_at(str(tmp_path / "bert")).source == "huggingface"


def test_a_checkpoint_is_told_that_it_is_no_network(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"name the network.*edgepipe new resnet18 model\.weights="):
        model_at(str(tmp_path / "w.safetensors"))


def test_a_mistyped_network_is_told_what_may_be_meant() -> None:
    with pytest.raises(ModelError, match="mobilenet_v2"):
        model_at("mobilnet_v2")


def test_pictures_in_class_folders_and_arrays_are_known(tmp_path: Path) -> None:
    bright.pictures(tmp_path / "p", each=2)
    seen = data_at(str(tmp_path / "p"), ())
    assert (seen.source, seen.guess.why) == ("image_folder", "4 pictures in 2 folders")
    for name in ("cal", "test"):
        np.savez(tmp_path / f"{name}.npz", images=np.zeros((2, 3), np.float32))
    (tmp_path / "arrays").mkdir()
    for name in ("calib", "test"):
        np.savez(tmp_path / "arrays" / f"{name}.npz", images=np.zeros((2, 3), np.float32))
    arrays = data_at(str(tmp_path / "arrays"), ())
    assert arrays.source == "npz"
    assert arrays.guess.settings == {
        "evaluation": str(tmp_path / "arrays" / "test.npz"),
        "calibration": str(tmp_path / "arrays" / "calib.npz"),
    }


def test_what_no_source_reads_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.docx").write_bytes(b"x")
    with pytest.raises(DataError, match=r"holds 1 \.docx: none of .*image_folder"):
        data_at(str(tmp_path / "d"), ())
    with pytest.raises(DataError, match="nothing is there"):
        data_at(str(tmp_path / "nowhere"), ())


LAYOUTS = {
    "voc": ("train/images/a.jpg", "train/annotations/a.xml", "test/images/b.jpg", "test/annotations/b.xml"),
    "coco": ("train2017/a.jpg", "val2017/b.jpg", "annotations/instances_train2017.json"),
    "yolo": ("images/train/a.jpg", "labels/train/a.txt", "data.yaml"),
    "mask_folder": ("train/images/a.png", "train/masks/a.png", "test/images/b.png", "test/masks/b.png"),
    "text_lines": ("a.png", "b.png", "rec_gt.txt"),
    "audio_folder": ("train/yes/a.wav", "train/no/b.flac", "test/yes/c.wav"),
}


@pytest.mark.parametrize("source", LAYOUTS)
def test_the_layouts_that_annotators_write_are_told_apart(source: str, tmp_path: Path) -> None:
    for name in LAYOUTS[source]:
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / name).write_bytes(b"")
    seen = data_at(str(tmp_path / "d"), (Tensor(name="x", shape=(3, 320, 416)),))
    assert seen.source == source
    assert seen.guess.settings["root"] == str(tmp_path / "d")
    if source not in ("text_lines", "audio_folder"):
        assert seen.guess.settings["image_size"] == [320, 416]


def test_a_table_of_texts_is_known_where_the_model_takes_tokens(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("train.jsonl", "test.jsonl", "tokenizer.json"):
        (tmp_path / "d" / name).write_text("")
    tokens = tuple(Tensor(name=name, dtype="int64", shape=("length",)) for name in ("input_ids", "attention_mask"))
    seen = data_at(str(tmp_path / "d"), tokens)
    assert (seen.source, seen.guess.settings["inputs"]) == ("text", ["input_ids", "attention_mask"])
    assert seen.guess.settings["tokenizer"] == str(tmp_path / "d" / "tokenizer.json")
