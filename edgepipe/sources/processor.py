"""Whether the data prepares pictures as the model's own processor does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgepipe.contract import Preprocessing

_RESAMPLE = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers."""


def differences(wanted: Mapping[str, Any], found: Preprocessing) -> list[str]:
    """What the data does otherwise, each as "data.KEY is X, the model's Y"; empty where it is the same or not said.

    Args:
        wanted: the processor's settings, as in preprocessor_config.json.
    """
    if found.image_size is None:
        return []
    said = [_size(wanted, found), _numbers(wanted, found), *_channels(wanted, found)]
    resample = _RESAMPLE.get(wanted.get("resample", -1))
    if resample is not None and wanted.get("do_resize", True) and resample != found.interpolation:
        said.append(f"data.interpolation is {found.interpolation}, the model's {resample}")
    return [text for text in said if text]


def _size(wanted: Mapping[str, Any], found: Preprocessing) -> str:
    size = wanted.get("crop_size") if wanted.get("do_center_crop") else None
    size = size or wanted.get("size")
    if isinstance(size, int):
        size = {"height": size, "width": size}
    if not isinstance(size, dict) or not wanted.get("do_resize", True):
        return ""
    mine = list(found.image_size or ())
    if {"height", "width"} <= size.keys():
        named = [size["height"], size["width"]]
        return "" if mine == named else f"data.image_size is {mine}, the model's {named}"
    side = size.get("shortest_edge")
    if isinstance(side, int) and "longest_edge" not in size and side not in mine:
        return f"data.image_size is {mine}, the model's shorter side {side}"
    return ""


def _numbers(wanted: Mapping[str, Any], found: Preprocessing) -> str:
    """Whether values have another range than the model's: its rescaling is part of it."""
    if wanted.get("do_rescale", True) is False:
        return ""
    factor = wanted.get("rescale_factor", 1 / 255)
    scale = found.scale
    if isinstance(factor, (int, float)) and abs(factor - scale) > 1e-4 * max(factor, scale):
        return f"pixels are multiplied by {scale:.4g}, the model's by {factor:.4g} (data.scale)"
    return ""


def _channels(wanted: Mapping[str, Any], found: Preprocessing) -> list[str]:
    plain = wanted.get("do_normalize", True) is False
    said = []
    for key, name, none in (("mean", "image_mean", 0.0), ("std", "image_std", 1.0)):
        values = [none] * len(found.mean) if plain else wanted.get(name)
        if not isinstance(values, list) or not values:
            continue
        mine = list(getattr(found, key))
        if len(mine) != len(values) or any(abs(a - b) > 2e-3 for a, b in zip(mine, values, strict=True)):
            said.append(f"data.{key} is {mine}, the model's {values}")
    return said
