"""Make a small text encoder: ONNX and .npz for `recipe=text_encoder_int8`, and for `recipe=sentence_encoder_int8` a
folder of transformers, OUT/encoder (config.json, model.safetensors, tokenizer.json).

    python examples/text_encoder.py --out text                  # trained here, on the standard library's docstrings
    python examples/text_encoder.py --out text --weights DIR    # a BERT-like encoder: DIR/model.safetensors, vocab.txt

The encoder takes token numbers, int64 (batch, 32), 0 where the text has ended, and gives one vector of length 1.
Trained: sentences that follow each other are drawn together (contrastive). Source: Gao et al., SimCSE, EMNLP 2021,
arXiv:2104.08821; Devlin et al., BERT, NAACL 2019, arXiv:1810.04805. `--weights` needs the package tokenizers.
"""

from __future__ import annotations

import argparse
import ast
import collections
import itertools
import json
import re
import sysconfig
from pathlib import Path

import numpy as np
import torch
from torch import nn

LENGTH = 32
VOCABULARY = 8192


class Layer(nn.Module):
    """One BERT layer; the names are those of published checkpoints."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        attention, inside, output = nn.Module(), nn.Module(), nn.Module()
        attention.self = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        attention.output = nn.ModuleDict(
            {"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, eps=1e-12)}
        )
        inside.dense = nn.Linear(width, inner)
        output.dense, output.LayerNorm = nn.Linear(inner, width), nn.LayerNorm(width, eps=1e-12)
        self.attention, self.intermediate, self.output, self.heads = attention, inside, output, heads

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        def split(t: torch.Tensor) -> torch.Tensor:
            return t.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        q, k, v = (split(self.attention.self[name](x)) for name in ("query", "key", "value"))
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + mask
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = self.attention.output["LayerNorm"](x + self.attention.output["dense"](mixed))
        inner = nn.functional.gelu(self.intermediate.dense(x))
        return self.output.LayerNorm(x + self.output.dense(inner))


class Encoder(nn.Module):
    """Token numbers, (n, length), to vectors of length 1, (n, width): the mean over the tokens of the text."""

    def __init__(self, vocabulary: int, width: int, layers: int, heads: int, inner: int, positions: int) -> None:
        super().__init__()
        names = {"word": vocabulary, "position": positions, "token_type": 2}
        self.embeddings = nn.ModuleDict({f"{name}_embeddings": nn.Embedding(n, width) for name, n in names.items()})
        self.embeddings["LayerNorm"] = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(Layer(width, heads, inner) for _ in range(layers))

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        there = (input_ids != 0).float()
        mask = (1 - there)[:, None, None, :] * -1e4
        place = self.embeddings["position_embeddings"].weight[: input_ids.shape[1]]
        x = self.embeddings["word_embeddings"](input_ids) + place + self.embeddings["token_type_embeddings"].weight[0]
        x = self.embeddings["LayerNorm"](x)
        for layer in self.encoder.layer:
            x = layer(x, mask)
        mean = (x * there[:, :, None]).sum(1) / there.sum(1, keepdim=True).clamp(min=1)
        return nn.functional.normalize(mean, dim=-1)


def sentence_pairs() -> list[tuple[str, str]]:
    """Neighbouring sentences in the docstrings of Python's standard library, each pair once, sorted."""
    found: set[tuple[str, str]] = set()
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if "site-packages" in path.parts or "test" in path.parts:
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                text = re.sub(r"\s+", " ", ast.get_docstring(node) or "")
                parts = [part for part in re.split(r"(?<=[.:]) ", text) if 5 <= len(part.split()) <= 40]
                found.update(itertools.pairwise(parts))
    return sorted(found)


def words(text: str) -> list[str]:
    """Lower-case words and signs."""
    return re.findall(r"[a-z]+|\d+|[^\w\s]", text.lower())


def train(first: torch.Tensor, second: torch.Tensor, steps: int) -> Encoder:
    """An encoder of 4 layers and 192 units whose vectors tell which sentence follows which."""
    torch.manual_seed(0)
    encoder = Encoder(VOCABULARY, 192, 4, 4, 768, LENGTH)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=5e-4, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-4, total_steps=steps)
    for step in range(steps):
        rows = torch.randint(0, len(first), (64,))
        scores = encoder(first[rows]) @ encoder(second[rows]).T / 0.05
        loss = nn.functional.cross_entropy(scores, torch.arange(64))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == steps - 1:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)
    return encoder.eval()


def published(folder: Path) -> Encoder:
    """A published BERT-like encoder (MiniLM and the like)."""
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    encoder = Encoder(*(config[name] for name in sizes), config["max_position_embeddings"])
    weights = {key.removeprefix("bert."): value for key, value in load_file(folder / "model.safetensors").items()}
    kept = {key: value for key, value in weights.items() if not key.startswith("pooler") and "position_ids" not in key}
    encoder.load_state_dict(kept)
    return encoder.eval()


def save_folder(encoder: Encoder, ranked: list[str], folder: Path) -> None:
    """The encoder as transformers and tokenizers read one; the width of its layers is in its weights."""
    from safetensors.torch import save_file
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {"[PAD]": 0, "[UNK]": 1, **{word: index + 2 for index, word in enumerate(ranked)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[a-z]+|\d+|[^\w\s]"), "removed", invert=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": VOCABULARY,
        "hidden_size": 192,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 768,
        "max_position_embeddings": LENGTH,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    save_file(encoder.state_dict(), folder / "model.safetensors", {"format": "pt"})


def main() -> None:
    """Write encoder.onnx, calibration.npz and evaluation.npz."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--weights", type=Path, help="folder of a published encoder; default: train one")
    parser.add_argument("--steps", type=int, default=400)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    pairs = sentence_pairs()
    order = np.random.default_rng(0).permutation(len(pairs))
    pairs = [pairs[row] for row in order]
    if args.weights:
        from tokenizers import BertWordPieceTokenizer

        tokenizer = BertWordPieceTokenizer(str(args.weights / "vocab.txt"), lowercase=True)
        rows = [[tokenizer.encode(text).ids[:LENGTH] for text in pair] for pair in pairs]
    else:
        counted = collections.Counter(word for pair in pairs for text in pair for word in words(text))
        ranked = sorted(counted, key=lambda word: (-counted[word], word))[: VOCABULARY - 2]
        number = {word: index + 2 for index, word in enumerate(ranked)}  # 0: no token, 1: a rare word
        rows = [[[number.get(word, 1) for word in words(text)[:LENGTH]] for text in pair] for pair in pairs]
    ids = np.zeros((len(rows), 2, LENGTH), np.int64)
    for index, pair in enumerate(rows):
        for side, tokens in enumerate(pair):
            ids[index, side, : len(tokens)] = tokens
    held, rest = ids[:500], ids[500:]
    tensors = torch.from_numpy(rest)
    encoder = published(args.weights) if args.weights else train(tensors[:, 0], tensors[:, 1], args.steps)
    with torch.no_grad():
        one, two = (encoder(torch.from_numpy(held[:, side])) for side in (0, 1))
    if not args.weights:
        save_folder(encoder, ranked, args.out / "encoder")
    hits = (one @ two.T).argmax(1) == torch.arange(len(held))
    print(f"{len(pairs):,} pairs; the next sentence is found among {len(held)}: {hits.float().mean():.3f}")
    evaluation = np.unique(held.reshape(-1, LENGTH), axis=0)
    known = {row.tobytes() for row in evaluation}
    other = np.stack([row for row in rest[:400].reshape(-1, LENGTH) if row.tobytes() not in known])
    np.savez(args.out / "evaluation.npz", inputs=evaluation)
    np.savez(args.out / "calibration.npz", inputs=other)
    torch.onnx.export(
        encoder,
        (torch.from_numpy(evaluation[:2]),),
        args.out / "encoder.onnx",
        dynamo=True,
        external_data=False,
        input_names=["input_ids"],
        output_names=["vector"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        verbose=False,
    )


if __name__ == "__main__":
    main()
