"""Folders of transformers become ONNX, and answer as PyTorch does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import transformers

from edgepipe.contract import Dataset, Job, Preprocessing, Signature, Split, Tensor
from edgepipe.data.text import TextData
from edgepipe.errors import ModelError
from edgepipe.sources.huggingface.file import HuggingFaceModel
from edgepipe.testing import check_source
from tests.data.texts import jsonl, sentences
from tests.sources.huggingface.networks import MODELS, saved

TEXTS = ("bert", "masked", "distilbert classifier", "tagger")
SOUNDS = ("wav2vec2", "ctc")


def texts(folder: Path, **more: Any) -> Dataset:
    path = jsonl(folder / "e.jsonl", sentences(8))
    return TextData(tokenizer=folder, evaluation=path, max_length=30, **more).open(folder)


def loaded(folder: Path, signature: Signature, data: Dataset | None, **settings: Any) -> tuple[Any, Job]:
    out = folder / "out"
    out.mkdir()
    job = Job(out=out, state=folder, data=data, seed=0, label="load")  # type: ignore[arg-type]
    return HuggingFaceModel(path=str(folder), **settings).load(out, signature, 0, job), job


def test_an_encoder_takes_texts_of_any_length_and_gives_one_vector(tmp_path: Path) -> None:
    saved(tmp_path, "bert", max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    data = texts(tmp_path)
    artifact, job = loaded(tmp_path, data.signature, data)
    assert [(item.name, item.shape) for item in artifact.signature.inputs] == [
        ("input_ids", ("length",)),
        ("attention_mask", ("length",)),
    ]
    assert [(item.name, item.shape) for item in artifact.signature.outputs] == [("sentence_embedding", (32,))]
    assert job.facts["parity"]["largest_difference"] < 1e-4  # type: ignore[index,call-overload]
    network = transformers.BertModel.from_pretrained(tmp_path).eval()
    session = onnxruntime.InferenceSession(artifact.onnx)
    lengths = set()
    for batch in data.batches(Split.EVALUATION, 4):
        with torch.no_grad():
            states = network(**{name: torch.from_numpy(value) for name, value in batch.inputs.items()})
        found = session.run(None, dict(batch.inputs))[0]
        lengths.add(batch.inputs["input_ids"].shape[1])
        assert np.abs(found - states.last_hidden_state.mean(1).numpy()).max() < 1e-5
    assert len(lengths) > 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in MODELS if kind != "bert"])
def test_every_kind_is_exported_and_answers_as_pytorch_does(tmp_path: Path, kind: str) -> None:
    saved(tmp_path, kind)
    data = texts(tmp_path) if kind in TEXTS else None
    shape: tuple[int | str, ...] = (4000,) if kind in SOUNDS else (3, 32, 32)
    signature = data.signature if data else Signature(inputs=(Tensor(name="input", shape=shape),))
    out = tmp_path / "out"
    out.mkdir()
    job = None if data is None else Job(out=out, state=tmp_path, data=data, seed=0, label="load")
    artifact = HuggingFaceModel(path=str(tmp_path)).load(out, signature, 0, job)
    names = {"masked": ["sentence_embedding"], "resnet": ["pooled_embedding"]}
    names |= {name: ["logits", "pred_boxes"] for name in ("yolos", "detr")}
    assert [item.name for item in artifact.signature.outputs] == names.get(kind, ["logits"])


@pytest.mark.slow
def test_the_source_keeps_its_contract(tmp_path: Path) -> None:
    data = texts(saved(tmp_path, "bert"))
    check_source(HuggingFaceModel(path=str(tmp_path)), signature=data.signature, data=data)


def test_another_models_tokenizer_and_another_order_of_classes_are_refused(tmp_path: Path) -> None:
    saved(tmp_path, "distilbert classifier", max_shard_size="1GB")
    model = HuggingFaceModel(path=str(tmp_path))
    signature = texts(tmp_path).signature
    assert signature.text is not None
    other = signature.model_copy(update={"text": signature.text.model_copy(update={"vocabulary": 41})})
    with pytest.raises(ModelError, match=r"knows 40 tokens, and data\.tokenizer gives numbers up to 40: it is another"):
        model.load(tmp_path, other, 0)
    config = tmp_path / "config.json"
    said = config.read_text().replace("LABEL_0", "c").replace("LABEL_1", "a").replace("LABEL_2", "b")
    config.write_text(said)
    with pytest.raises(ModelError, match=r"in another order\. Set data\.classes=\[c,a,b\]"):
        model.load(tmp_path, signature.model_copy(update={"classes": ("a", "b", "c")}), 0)


def test_pictures_prepared_otherwise_are_told(tmp_path: Path) -> None:
    from edgepipe.sources.huggingface.file import _notes
    from edgepipe.sources.huggingface.folder import read_folder

    saved(tmp_path, "vit")
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    prepared = Preprocessing(image_size=(32, 32), channels=3, interpolation="bilinear", mean=mean, std=std)
    signature = Signature(inputs=(Tensor(name="input", shape=(3, 32, 32)),), preprocessing=prepared)
    told = _notes(read_folder(tmp_path), signature, {"notes": [], "classifies": True})
    assert len(told) == 1 and "data.mean is [0.485, 0.456, 0.406], the model's [0.5, 0.5, 0.5]" in told[0]
