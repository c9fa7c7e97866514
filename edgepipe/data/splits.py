"""Draws and splits that depend on content and seed alone: not on file names, platform or numpy's generator."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgepipe.errors import DataError

Rows = NDArray[np.intp]


def stratified_order(hashes: Sequence[str], labels: NDArray[np.int64] | None, seed: int) -> Rows:
    """All rows, shuffled by seed and content so that every prefix holds the classes in proportion."""
    prefix = hashlib.sha256(str(seed).encode())
    keys = []
    for text in hashes:
        key = prefix.copy()
        key.update(text.encode())
        keys.append(key.digest())
    shuffled = np.array(sorted(range(len(keys)), key=keys.__getitem__), np.intp)
    if labels is None or not len(shuffled):
        return shuffled
    mine = labels[shuffled]
    by_class = np.argsort(mine, kind="stable")
    _, starts, sizes = np.unique(mine[by_class], return_index=True, return_counts=True)
    share = np.empty(len(mine))
    share[by_class] = (np.arange(len(mine)) - np.repeat(starts, sizes) + 0.5) / np.repeat(sizes, sizes)
    return shuffled[np.argsort(share, kind="stable")]


def hold_out(hashes: Sequence[str], labels: NDArray[np.int64], seed: int, count: int) -> tuple[Rows, Rows]:
    """Split rows into (train, evaluation), each ascending, `count` of them held out.

    Copies of a held-out picture are held out too, so the two never share content.
    """
    chosen = stratified_order(hashes, labels, seed)[:count]
    taken = {hashes[row] for row in chosen}
    held = np.fromiter((text in taken for text in hashes), bool, len(hashes))
    return np.flatnonzero(~held), np.flatnonzero(held)


def without_overlap(
    where: str,
    train: tuple[Sequence[str], Sequence[str]],
    evaluation: tuple[Sequence[str], Sequence[str]],
    on_overlap: str,
    remedy: str = "",
) -> Rows:
    """Rows of train whose content is not in evaluation; each side is (names, hashes).

    Raises:
        DataError: there are common contents and `on_overlap` is "error"; up to 3 are named.
    """
    known = set(evaluation[1])
    clean = np.fromiter((text not in known for text in train[1]), bool, len(train[1]))
    common = np.flatnonzero(~clean)
    if len(common) and on_overlap == "error":
        first = {text: name for name, text in zip(*evaluation, strict=True)}
        pairs = "; ".join(f"{train[0][row]} = {first[train[1][row]]}" for row in common[:3])
        raise DataError(
            f"{where}: {len(common)} training examples are in evaluation too (equal SHA-256), so accuracy would "
            f"be too good: {pairs}. {remedy or 'Remove them, or set data.on_overlap=drop to leave them out of train'}"
        )
    return np.flatnonzero(clean)
