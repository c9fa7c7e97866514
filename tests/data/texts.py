"""A small tokenizer and tables of texts."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors

WORDS = [
    *("the", "a", "cat", "dog", "sat", "ran", "on", "mat", "far", "good", "bad"),
    *("film", "was", "is", "very", "not", "play", "ing", "walk", "ed"),
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def tokenizer(folder: Path, *, length: int | None = None) -> Path:
    """A WordPiece of 40 pieces with BERT's marks; `length`: cut and filled up to so many, as published ones may say."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = [*SPECIAL, *WORDS, *(f"##{end}" for end in ("ing", "ed", "s")), *"bcdefgh"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    found = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    found.normalizer = normalizers.BertNormalizer()
    found.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    marks = [(mark, vocabulary[mark]) for mark in ("[CLS]", "[SEP]")]
    found.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", marks)
    if length is not None:
        found.enable_truncation(length)
        found.enable_padding(pad_id=0, length=length)
    path = folder / "tokenizer.json"
    found.save(str(path))
    return path


def jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def written_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
    return path


def sentences(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of a text of 2 to 7 words and a label, "good" or "bad"; all texts differ."""
    rows: dict[str, dict[str, Any]] = {}
    number = seed * 7919
    while len(rows) < count:
        number += 1
        words = [WORDS[(number // 20**place + place * number) % len(WORDS)] for place in range(2 + number % 6)]
        text = " ".join(words)
        rows[text] = {"text": text, "label": ("bad", "good")[number % 2]}
    return list(rows.values())


def letters(folder: Path) -> Path:
    """A tokenizer that makes each byte a number: different texts are different numbers."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    found = tokenizers.Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    path = folder / "tokenizer.json"
    found.save(str(path))
    return path
