"""The best-scored class of each token, in words; of numpy alone, for it goes with every bundle of a tagger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def say(
    outputs: Mapping[str, NDArray[Any]], settings: Mapping[str, Any], names: Sequence[str], at: Mapping[str, Any] | None
) -> str:
    """`word/class` of each word, that of its first token; without words the class of each token.

    Args:
        outputs: by name, without the axis that counts examples.
        settings: `output`, the name of the one with scores, (length, classes).
        names: of the classes.
        at: `texts`, the one or two that were given, each whole or as a list of words, and their `encoding` by the
            tokenizers library; None: arrays were given.
    """
    best = np.asarray(outputs[settings["output"]]).argmax(axis=-1).tolist()
    tags = [names[number] if number < len(names) else str(number) for number in best]
    if at is None:
        return " ".join(tags) or "(no token)"
    words = _words(at["encoding"], at["texts"])
    return " ".join(f"{word}/{tags[place]}" for place, word in words if place < len(tags)) or "(no word)"


def _words(encoding: Any, texts: Sequence[Any]) -> list[tuple[int, str]]:
    """Place of the first token of each word, and the word."""
    parts: dict[tuple[int, int], list[int]] = {}
    for place, (number, word) in enumerate(zip(encoding.sequence_ids, encoding.word_ids)):  # noqa: B905  Python 3.9
        if word is not None:
            parts.setdefault((number, word), []).append(place)
    found = []
    for (number, word), places in parts.items():
        text, ends = texts[number], (encoding.offsets[places[0]][0], encoding.offsets[places[-1]][1])
        found.append((places[0], text[slice(*ends)].strip() if isinstance(text, str) else text[word]))
    return found


__all__ = ["say"]
