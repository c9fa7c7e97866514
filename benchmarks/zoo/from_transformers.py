"""Networks of transformers with small configurations, each saved as a folder that `model=huggingface` reads."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.zoo.brought import Arrays, Brought, Network, numbers, pictures, signals, tokens

WORDS = 1000
SHORT = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "vocab_size": WORDS,
    "max_position_embeddings": 64,
}
VIT = {"hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 192}


def _saved(kind: str, config: dict[str, Any], examples: Callable[[int, int], Arrays], recipe: str) -> Any:
    def make(folder: Path, seed: int) -> Brought:
        import torch

        from benchmarks.zoo.settled import settle

        transformers: Any = importlib.import_module("transformers")
        torch.manual_seed(seed)
        built: Any = getattr(transformers, kind)
        network = built(built.config_class(**config)).eval()
        given = {name: torch.from_numpy(value) for name, value in examples(seed + 10, 8).items()}
        main = network.main_input_name
        settle(network, given if main in given else {main: next(iter(given.values()))})
        network.save_pretrained(folder / "network")
        return Brought(["model=huggingface", f"model.path={folder / 'network'}"], examples, recipe)

    return make


def networks() -> list[Network]:
    """All of this file."""
    plain, both = tokens(WORDS, 24), tokens(WORDS, 24, types=True)
    distil = {"dim": 128, "n_layers": 2, "n_heads": 4, "hidden_dim": 256, "vocab_size": WORDS}
    t5 = {"d_model": 128, "d_kv": 32, "d_ff": 256, "num_layers": 2, "num_heads": 4, "vocab_size": WORDS}
    wave = {
        "conv_dim": (64, 64, 64),
        "conv_stride": (5, 4, 4),
        "conv_kernel": (10, 4, 4),
        "num_feat_extract_layers": 3,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
    }
    texts: list[tuple[str, dict[str, Any], Callable[[int, int], Arrays]]] = [
        ("BertModel", SHORT, both),
        ("BertForSequenceClassification", SHORT | {"num_labels": 5}, both),
        ("BertForTokenClassification", SHORT | {"num_labels": 7}, plain),
        ("DistilBertModel", distil, plain),
        ("RobertaModel", SHORT | {"pad_token_id": 1}, plain),
        ("AlbertModel", SHORT | {"embedding_size": 64}, both),
        ("ElectraModel", SHORT | {"embedding_size": 64}, both),
        ("MPNetModel", SHORT, plain),
        ("DebertaV2Model", SHORT, plain),
        ("MobileBertModel", SHORT | {"embedding_size": 64, "intra_bottleneck_size": 64}, both),
        ("ModernBertModel", SHORT | {"pad_token_id": 1, "global_attn_every_n_layers": 2}, plain),
        ("GPT2Model", {"n_embd": 128, "n_layer": 2, "n_head": 4, "vocab_size": WORDS, "n_positions": 64}, plain),
        ("T5EncoderModel", t5, plain),
    ]
    seen: list[tuple[str, dict[str, Any], Callable[[int, int], Arrays]]] = [
        ("ViTForImageClassification", VIT | {"image_size": 64, "patch_size": 8, "num_labels": 10}, pictures(3, 64, 64)),
        (
            "SwinForImageClassification",
            {
                "image_size": 64,
                "patch_size": 4,
                "embed_dim": 32,
                "depths": [1, 1],
                "num_heads": [2, 4],
                "window_size": 4,
            },
            pictures(3, 64, 64),
        ),
        (
            "SegformerForSemanticSegmentation",
            {"hidden_sizes": [16, 32, 64, 96], "depths": [1, 1, 1, 1], "decoder_hidden_size": 64, "num_labels": 5},
            pictures(3, 64, 64),
        ),
        (
            "ConvNextV2ForImageClassification",
            {"hidden_sizes": [24, 48, 96, 128], "depths": [1, 1, 2, 1], "num_labels": 10},
            pictures(3, 64, 64),
        ),
        (
            "YolosForObjectDetection",
            VIT | {"image_size": [64, 64], "patch_size": 8, "num_detection_tokens": 10, "num_labels": 3},
            pictures(3, 64, 64),
        ),
        ("MobileViTForImageClassification", {"image_size": 64, "num_labels": 10}, pictures(3, 64, 64)),
    ]
    heard: list[tuple[str, dict[str, Any], Callable[[int, int], Arrays]]] = [
        ("Wav2Vec2ForSequenceClassification", VIT | wave | {"num_labels": 4}, signals(4000, name="input_values")),
        (
            "ASTForAudioClassification",
            VIT | {"max_length": 64, "num_mel_bins": 32, "num_labels": 6},
            numbers(input_values=(64, 32)),
        ),
    ]
    return [
        *(Network(kind, "text", _saved(kind, config, data, "ptq_dynamic")) for kind, config, data in texts),
        *(Network(kind, "transformers", _saved(kind, config, data, "ptq")) for kind, config, data in (*seen, *heard)),
    ]
