"""Arrays that are preprocessed already, one .npz file per split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from edgepipe.contract import Dataset, DataSource, Split
from edgepipe.data.settings import OnOverlap, Trust
from edgepipe.errors import DataError

if TYPE_CHECKING:
    from edgepipe.data.arrays import Arrays
    from edgepipe.data.splits import Rows

DRAWN_FROM_TRAIN = 200


class NpzData(DataSource):
    """.npz files with `images` (or `inputs`), float32 or integers, (examples, ...); `labels` are optional.

    Preprocessed pictures, signals, tables or token numbers. Integer labels are classes, floating-point
    ones what a regression is to find; without labels, agreement with the baseline stands for accuracy.
    Examples stay in the order of the file.
    """

    evaluation: Path = Field(description=".npz to measure with")
    calibration: Path | None = Field(
        None, description=".npz to calibrate with; null: drawn from train, if there is one"
    )
    train: Path | None = Field(None, description=".npz to train with; null: none")
    calibration_size: int | None = Field(
        None, ge=1, description=f"examples drawn by seed; null: all of calibration, or {DRAWN_FROM_TRAIN} of train"
    )
    evaluation_size: int | None = Field(None, ge=1, description="examples drawn by seed; null: all")
    seed: int = Field(0, ge=0, description="seed of every draw")
    digest: Trust = Field(
        "stat", description="stat: trust cached hashes while size and mtime stay; content: read and hash all again"
    )
    on_overlap: OnOverlap = Field(
        "error", description="examples both in evaluation and elsewhere: error, or drop them elsewhere"
    )

    def open(self, cache: Path) -> Dataset:
        """Check and hash every example (once per file), and draw the splits."""
        import numpy as np

        from edgepipe.data.array_source import ArraySource
        from edgepipe.data.arrays import open_arrays

        trust = self.digest == "stat"
        evaluation = open_arrays("data.evaluation", self.evaluation, cache, trust)
        views = {Split.EVALUATION: (evaluation, self._draw("evaluation", evaluation, self.evaluation_size))}
        for split, path in ((Split.TRAIN, self.train), (Split.CALIBRATION, self.calibration)):
            if path is None:
                continue
            arrays = open_arrays(f"data.{split}", path, cache, trust)
            if arrays.shape != evaluation.shape:
                raise DataError(
                    f"data.{split}={path}: an example has shape {arrays.shape}, "
                    f"but in data.evaluation={self.evaluation} {evaluation.shape}: preprocess both alike"
                )
            views[split] = (arrays, self._clean(str(split), arrays, evaluation))
        if Split.CALIBRATION in views:
            arrays, rows = views[Split.CALIBRATION]
            views[Split.CALIBRATION] = (arrays, self._draw("calibration", arrays, self.calibration_size, rows))
        elif Split.TRAIN in views:
            arrays, rows = views[Split.TRAIN]
            size = self.calibration_size or min(DRAWN_FROM_TRAIN, len(rows))
            views[Split.CALIBRATION] = (arrays, self._draw("calibration", arrays, size, rows))
        return ArraySource({split: (arrays, np.asarray(rows)) for split, (arrays, rows) in views.items()})

    def no_training(self) -> str | None:
        """By the file's directory, which lists its arrays."""
        from edgepipe.data.arrays import kind_of_labels

        if self.train is None:
            return "data.train is not set: give it an .npz file with labels"
        return {
            "none": f"data.train={self.train} has no `labels`, and training needs them: add them",
            "numbers": f"the `labels` of data.train={self.train} are numbers, and training knows classification only",
        }.get(kind_of_labels(self.train) or "")

    def _clean(self, key: str, arrays: Arrays, evaluation: Arrays) -> Rows:
        from edgepipe.data.splits import without_overlap

        mine = [f"{key}[{row}]" for row in range(len(arrays.hashes))]
        theirs = [f"evaluation[{row}]" for row in range(len(evaluation.hashes))]
        return without_overlap(
            f"data.{key}",
            (mine, arrays.hashes),
            (theirs, evaluation.hashes),
            self.on_overlap,
            f"Remove them, or set data.on_overlap=drop to leave them out of {key}",
        )

    def _draw(self, key: str, arrays: Arrays, size: int | None, rows: Rows | None = None) -> Rows:
        import numpy as np

        from edgepipe.data.splits import stratified_order

        rows = np.arange(len(arrays.hashes)) if rows is None else rows
        if size is None:
            return rows
        if size > len(rows):
            raise DataError(f"data.{key}_size={size}, but there are {len(rows)} examples to draw from: lower it")
        labels = None if arrays.labels is None or arrays.labels.dtype.kind == "f" else arrays.labels[rows]
        return np.sort(rows[stratified_order([arrays.hashes[row] for row in rows], labels, self.seed)[:size]])
