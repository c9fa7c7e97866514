from __future__ import annotations

import itertools

import numpy as np

from tests.tasks.detection.heads.layouts import check
from tests.tasks.detection.scenes import centres, logit, placed


def test_distances_as_softmax_over_bins_map_by_map() -> None:
    boxes, scores = placed()
    middles, steps = centres()
    corners = np.concatenate([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)
    sides = np.concatenate([middles - corners[..., :2], corners[..., 2:] - middles], -1) / steps[:, None]
    low = np.floor(np.clip(sides, 0, 6.999)).astype(int)
    bins = np.full((*sides.shape, 8), 1e-9)
    for side in range(4):  # a mean between two bins
        part = np.clip(sides[..., side], 0, 7) - low[..., side]
        np.put_along_axis(bins[..., side, :], low[..., side, None], (1 - part)[..., None] + 1e-9, -1)
        np.put_along_axis(bins[..., side, :], low[..., side, None] + 1, part[..., None] + 1e-9, -1)
    distances = np.log(bins).reshape(2, len(middles), 32)
    ends = [0, 192, 240, 252]
    maps = [slice(a, b) for a, b in itertools.pairwise(ends)]
    outputs = {f"scores{i}": scores[:, part] for i, part in enumerate(maps)}
    outputs |= {f"distances{i}": distances[:, part] for i, part in enumerate(maps)}
    check("picodet", outputs)
    check("picodet", {name: logit(v) if "scores" in name else v for name, v in outputs.items()}, scores="logits")
