"""Small random networks of transformers, saved as people save them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as T

from tests.data.texts import tokenizer

SMALL: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
}
VISION: dict[str, Any] = {
    name: SMALL[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
}
STAGES: dict[str, Any] = {
    "num_encoder_blocks": 2,
    "depths": [1, 1],
    "sr_ratios": [2, 1],
    "hidden_sizes": [8, 16],
    "patch_sizes": [3, 3],
    "strides": [2, 2],
    "num_attention_heads": [1, 2],
    "mlp_ratios": [2, 2],
    "decoder_hidden_size": 16,
}
SOUND: dict[str, Any] = {
    **VISION,
    "conv_dim": [8, 8],
    "conv_stride": [5, 2],
    "conv_kernel": [10, 3],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}


def _detr() -> Any:
    backbone = T.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], out_features=["stage2"])
    sizes = {f"{side}_{name}": 2 for side in ("encoder", "decoder") for name in ("layers", "attention_heads")}
    config = T.DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        d_model=16,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=5,
        **sizes,
    )
    return T.DetrForObjectDetection(config)


MODELS: dict[str, Callable[[], Any]] = {
    "bert": lambda: T.BertModel(T.BertConfig(**SMALL)),
    "masked": lambda: T.RobertaForMaskedLM(T.RobertaConfig(**SMALL)),
    "distilbert classifier": lambda: T.DistilBertForSequenceClassification(
        T.DistilBertConfig(
            vocab_size=40, dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=40, num_labels=3
        )
    ),
    "tagger": lambda: T.BertForTokenClassification(T.BertConfig(**SMALL, num_labels=3)),
    "vit": lambda: T.ViTForImageClassification(T.ViTConfig(**VISION, image_size=32, patch_size=8, num_labels=4)),
    "resnet": lambda: T.ResNetModel(T.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])),
    "segformer": lambda: T.SegformerForSemanticSegmentation(T.SegformerConfig(**STAGES, num_labels=5)),
    "yolos": lambda: T.YolosForObjectDetection(
        T.YolosConfig(**VISION, image_size=[32, 32], patch_size=8, num_detection_tokens=6)
    ),
    "detr": _detr,
    "wav2vec2": lambda: T.Wav2Vec2ForSequenceClassification(T.Wav2Vec2Config(**SOUND)),
    "ctc": lambda: T.Wav2Vec2ForCTC(T.Wav2Vec2Config(**SOUND, vocab_size=12)),
}


def saved(folder: Path, kind: str, **how: Any) -> Path:
    """A folder as save_pretrained writes it, with a tokenizer of texts in it."""
    torch.manual_seed(0)
    MODELS[kind]().save_pretrained(folder, **how)
    tokenizer(folder)
    return folder
