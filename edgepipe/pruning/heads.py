"""Attention layers lose channels and whole heads' worth of rows: as many in every head."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from edgepipe.pruning.silenced import Heads


def narrow(layer: Any, gone: list[int]) -> Heads:
    """Remove the channels `gone` from an `nn.MultiheadAttention` in place; says what is left, by the old numbers.

    Width and heads share one number in it, so queries, keys and values lose as many rows as there are channels gone:
    in every head the smallest ones. Queries grow by what the shorter heads divide less by.

    Raises:
        ValueError: the layer is of a kind that cannot lose channels so.
    """
    width, heads = layer.embed_dim, layer.num_heads
    left = width - len(gone)
    if left % heads or not layer._qkv_same_embed_dim or layer.bias_k is not None or layer.add_zero_attn:
        raise ValueError("only attention of one width, without keys of its own, can lose channels, and whole heads")
    dropped = set(gone)
    columns = [channel for channel in range(width) if channel not in dropped]
    weight, bias = layer.in_proj_weight.detach(), layer.in_proj_bias
    query, key, value = weight[:, columns].chunk(3)
    queries = _largest(query.norm(dim=1) * key.norm(dim=1), heads, left // heads)
    values = _largest(value.norm(dim=1) * layer.out_proj.weight.detach()[columns].norm(dim=0), heads, left // heads)
    rows = [part * width + row for part, kept in enumerate((queries, queries, values)) for row in kept]
    grown = torch.ones(3 * left, 1)
    grown[:left] = (left / width) ** 0.5
    layer.in_proj_weight = nn.Parameter(weight[rows][:, columns] * grown)
    if bias is not None:
        layer.in_proj_bias = nn.Parameter(bias.detach()[rows] * grown[:, 0])
    out = layer.out_proj
    out.weight = nn.Parameter(out.weight.detach()[columns][:, values].clone())
    if out.bias is not None:
        out.bias = nn.Parameter(out.bias.detach()[columns].clone())
    out.in_features = out.out_features = layer.embed_dim = layer.kdim = layer.vdim = left
    layer.head_dim = left // heads
    return Heads(columns, queries, values)


def _largest(scores: torch.Tensor, heads: int, each: int) -> list[int]:
    """The rows of the largest scores, as many of every head, ascending."""
    chosen = torch.sort(scores.reshape(heads, -1), dim=1, descending=True, stable=True).indices[:, :each]
    return sorted((chosen + torch.arange(heads)[:, None] * (len(scores) // heads)).flatten().tolist())
