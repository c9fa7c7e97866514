"""Sentences that every Python brings: those of its own help pages. Offline, and the same in every run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from edgepipe.contract import Dataset, Split
from edgepipe.data.text import TokenSettings

_COLUMN = "text"
_SENTENCE_ENDS = re.compile(r"(?<=[.:;!?])\s+(?=[A-Z\"'(*])|\n\s*\n")
_FEWEST, _MOST = 5, 60
"""Words of a sentence."""


class PythonTextsData(TokenSettings):
    """Sentences of Python's own help pages (`pydoc_data`), for an encoder of texts; no labels, no download.

    Which there are depends on the version of Python; a run on another one measures other texts.
    """

    evaluation_size: int = Field(300, ge=10, le=2000, description="sentences to measure with, drawn by seed")
    calibration_size: int = Field(100, ge=1, le=1000, description="sentences to calibrate with, drawn by seed")
    seed: int = Field(0, ge=0, description="seed of every draw and split")

    def open(self, cache: Path) -> Dataset:
        """Part the help pages into sentences and hold `evaluation_size` of them out."""
        from edgepipe.data.text import TextData
        from edgepipe.data.text_source import Column, opened

        settings = TextData(
            train=Path(_PLACE),
            evaluation_share=min(0.9, self.evaluation_size / len(sentences())),
            calibration_size=self.calibration_size,
            seed=self.seed,
            **{name: getattr(self, name) for name in TokenSettings.model_fields},
        )
        return opened(settings, {Split.TRAIN: Sentences(sentences())}, Column(_COLUMN, None, None, False), cache)

    def no_training(self) -> str | None:
        return "the texts of data=python_texts have no labels, and training needs them: give data=text a file of yours"


_PLACE = "pydoc_data.topics"


@dataclass(frozen=True)
class Sentences:
    """Implements `Table` over texts in memory."""

    texts: Sequence[str]

    @property
    def columns(self) -> Sequence[str]:
        return (_COLUMN,)

    @property
    def files(self) -> Sequence[Path]:
        return ()

    def __len__(self) -> int:
        return len(self.texts)

    def row(self, number: int, columns: Sequence[str]) -> dict[str, Any]:
        del columns
        return {_COLUMN: self.texts[number]}

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        del columns
        return ({_COLUMN: text} for text in self.texts)

    def classes(self, column: str) -> tuple[str, ...]:
        del column
        return ()


def sentences() -> list[str]:
    """Sentences of 5 to 60 words, each once, in alphabetical order."""
    from pydoc_data.topics import topics

    pages: Mapping[str, str] = topics
    found = {" ".join(part.split()) for page in pages.values() for part in _SENTENCE_ENDS.split(page)}
    return sorted(text for text in found if _FEWEST <= len(text.split()) <= _MOST)
