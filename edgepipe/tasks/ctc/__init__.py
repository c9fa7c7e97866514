"""From scores of symbols in time to a text, by the best path; of numpy alone.

Every bundle of a recognizer takes this folder along: what the device reads is what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def best_path(scores: NDArray[Any], table: Sequence[str], space: str | None = None) -> list[str]:
    """The best-scored symbol of each step, repetitions once, without the blank.

    Source: Graves et al., Connectionist Temporal Classification, ICML 2006, section 3.2.

    Args:
        scores: (n, steps, symbols).
        table: the symbol of each class, "" for the blank.
        space: a symbol that stands for a space.
    """
    best = scores.argmax(axis=2)
    new = np.ones(best.shape, np.bool_)
    new[:, 1:] = best[:, 1:] != best[:, :-1]
    texts = [
        "".join(table[symbol] for symbol in row[keep].tolist())
        for row, keep in zip(best, new)  # noqa: B905  Python 3.9 on a device has no strict
    ]
    return texts if space is None else [text.replace(space, " ") for text in texts]


def say(
    outputs: Mapping[str, NDArray[Any]], settings: Mapping[str, Any], names: Sequence[str], at: Mapping[str, Any] | None
) -> str:
    """The text of one example.

    Args:
        outputs: by name, without the axis that counts examples.
        settings: `output`, the name of the one with scores; `table` and `space`, as for `best_path`; `turned`: whether
            the output is (symbols, steps); `ignore_space`: whether spaces are left out.
    """
    del names, at
    scores = np.asarray(outputs[settings["output"]])
    scores = scores.T if settings["turned"] else scores
    text = best_path(scores[None], settings["table"], settings["space"])[0].strip(" ")
    text = text.replace(" ", "") if settings["ignore_space"] else text
    return text or "(no text)"


__all__ = ["best_path", "say"]
