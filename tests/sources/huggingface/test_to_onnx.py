"""What the export asks of a network before it is exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgepipe.sources.converter import Refused
from edgepipe.sources.huggingface import to_onnx
from tests.sources.huggingface.networks import MODELS, saved


def asked(path: Path, **more: Any) -> dict[str, Any]:
    return {"path": str(path), "architecture": None, "pooling": None, "normalized": False, "max_length": None, **more}


def test_vectors_of_tokens_become_one() -> None:
    states, mask = torch.tensor([[[1.0], [3.0], [8.0]]]), torch.tensor([[1, 1, 0]])
    assert to_onnx._pooled(states, mask, "mean").tolist() == [[2.0]]
    assert to_onnx._pooled(states, None, "mean").tolist() == [[4.0]]
    assert to_onnx._pooled(states, mask, "cls").tolist() == [[1.0]]
    assert to_onnx._pooled(states, mask, "none") is states
    assert to_onnx._pooled(torch.ones(2, 5, 3, 3), None, "cls").shape == (2, 5)


def test_a_language_model_is_its_encoder_unless_its_class_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, "masked")
    network, encodes, _ = to_onnx._loaded(asked(path))
    assert (type(network).__name__, encodes) == ("RobertaModel", True)
    network, encodes, _ = to_onnx._loaded(asked(path, architecture="RobertaForMaskedLM"))
    assert (type(network).__name__, encodes) == ("RobertaForMaskedLM", False)
    with pytest.raises(Refused, match=r"lack classifier\..* of RobertaForTokenClassification: what is missing"):
        to_onnx._loaded(asked(path, architecture="RobertaForTokenClassification"))
    with pytest.raises(Refused, match=r"has no class 'Odd': set model\.architecture"):
        to_onnx._loaded(asked(path, architecture="Odd"))
    with pytest.raises(Refused, match="answers in many passes"):
        to_onnx._loaded(asked(path, architecture="RobertaForCausalLM"))


def test_code_in_the_folder_is_not_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "odd.py").write_text(f"open({str(ran)!r}, 'w')")
    (tmp_path / "config.json").write_text(
        '{"model_type": "odd", "architectures": ["Odd"], "auto_map": {"AutoConfig": "odd.Odd", "AutoModel": "odd.Odd"}}'
    )
    with pytest.raises(Refused, match="code from a folder is not run"):
        to_onnx._loaded(asked(tmp_path))
    assert not ran.exists()


def test_inputs_are_matched_by_name_and_an_only_one_is_the_first() -> None:
    text, picture = MODELS["bert"](), MODELS["vit"]()
    assert to_onnx._matched(picture, ["input"], "V") == {"input": "pixel_values"}
    assert to_onnx._matched(text, ["input_ids", "attention_mask"], "B")["attention_mask"] == "attention_mask"
    with pytest.raises(Refused, match=r"B has no input 'mask' \(it has input_ids, attention_mask, token_type_ids"):
        to_onnx._matched(text, ["input_ids", "mask"], "B")
    with pytest.raises(Refused, match=r"ViTForImageClassification does not take the data's examples .*image_size=32"):
        to_onnx._asked_once(picture, {"pixel_values": torch.zeros(1, 3, 48, 48)})
    ids = {"input_ids": torch.ones(1, 4, dtype=torch.long)}
    with pytest.raises(Refused, match=r"does not take 64 tokens, .*it has 40 positions: lower data\.max_length"):
        to_onnx._longest(text, ids, {"max_length": 64})
