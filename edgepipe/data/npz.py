"""Arrays that are preprocessed already, one .npz file per split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from edgepipe.contract import Dataset, DataSource, Split, Tensor
from edgepipe.contract.guess import Contents, Guess, Sure
from edgepipe.data.settings import OnOverlap, Trust
from edgepipe.errors import DataError

if TYPE_CHECKING:
    from edgepipe.data.array_source import Examples
    from edgepipe.data.splits import Rows

DRAWN_FROM_TRAIN = 200


class NpzData(DataSource):
    """.npz files with `images` (or `inputs`), float32 or integers, (examples, ...); `labels` are optional.

    Preprocessed pictures, signals, tables or token numbers. A model with several inputs takes an array of the name of
    each, of any type that ONNX has numbers for. Integer labels are classes, several of an example 0 or 1 each,
    floating-point ones what a regression is to find, and texts what a model writes; without labels, agreement with the
    baseline stands for accuracy. Examples stay in the order of the file. Examples of different shape lie in a folder of
    .npz files, one each.
    """

    evaluation: Path = Field(description=".npz to measure with, or a folder of them, each an example")
    calibration: Path | None = Field(
        None, description=".npz to calibrate with; null: drawn from train, if there is one"
    )
    train: Path | None = Field(None, description=".npz to train with; null: none")
    inputs: tuple[str, ...] | None = Field(
        None, description="names of the arrays to give the model; null: `images` or `inputs`, else all but the labels"
    )
    labels: str = Field("labels", description="name of the array that says what is right")
    state: dict[str, str] = Field(
        default_factory=dict,
        description="input to output, of a model whose state goes round: what the output answers in one step is what "
        "the input is given in the next; it begins as the array of its name, or as zeros",
    )
    steps: int | None = Field(
        None,
        ge=1,
        description="runs of an example where there is a state: arrays (examples, steps, ...) go step by step",
    )
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

    @classmethod
    def guess(cls, contents: Contents, inputs: Sequence[Tensor]) -> Guess | None:
        """Files named after their split; of others the first is measured with, the second calibrates."""
        del inputs
        files = contents.of(".npz")
        if not files or any("/" in name for name in files) or contents.root.suffix.lower() == ".zip":
            return None
        at = contents.root.parent if contents.alone else contents.root
        splits = {"evaluation": ("eval", "test", "val"), "calibration": ("calib",), "train": ("train",)}
        found: dict[str, str] = {}
        for split, words in splits.items():
            named = [name for name in files if any(word in name.lower() for word in words)]
            if named:
                found[split] = str(at / named[0])
        left = [str(at / name) for name in files if str(at / name) not in found.values()]
        for split in ("evaluation", "calibration"):
            if split not in found and left:
                found[split] = left.pop(0)
        if "evaluation" not in found:
            return None
        return Guess(found, Sure.CERTAIN, f"{len(files)} .npz file{'s' * (len(files) > 1)}")

    def open(self, cache: Path) -> Dataset:
        """Check and hash every example (once per file), and draw the splits."""
        import numpy as np

        from edgepipe.data.array_source import ArraySource

        evaluation = self._opened("data.evaluation", self.evaluation, cache)
        views = {Split.EVALUATION: (evaluation, self._draw("evaluation", evaluation, self.evaluation_size))}
        for split, path in ((Split.TRAIN, self.train), (Split.CALIBRATION, self.calibration)):
            if path is None:
                continue
            examples = self._opened(f"data.{split}", path, cache)
            self._refuse_unlike(f"data.{split}={path}", examples, evaluation)
            views[split] = (examples, self._clean(str(split), examples, evaluation))
        if Split.CALIBRATION in views:
            examples, rows = views[Split.CALIBRATION]
            views[Split.CALIBRATION] = (examples, self._draw("calibration", examples, self.calibration_size, rows))
        elif Split.TRAIN in views:
            examples, rows = views[Split.TRAIN]
            size = self.calibration_size or min(DRAWN_FROM_TRAIN, len(rows))
            views[Split.CALIBRATION] = (examples, self._draw("calibration", examples, size, rows))
        drawn = {split: (examples, np.asarray(chosen)) for split, (examples, chosen) in views.items()}
        return ArraySource(drawn, self.state, self.steps)

    @model_validator(mode="after")
    def _steps_of_a_state(self) -> NpzData:
        if bool(self.state) != (self.steps is not None):
            raise ValueError("state and steps belong together: set both, as in state: {h: h_out} and steps: 20")
        return self

    def _opened(self, key: str, path: Path, cache: Path) -> Examples:
        from edgepipe.base.files import is_folder
        from edgepipe.data.arrays import open_arrays
        from edgepipe.data.example_folder import open_folder

        opening = open_folder if is_folder(path, key) else open_arrays
        return opening(key, path, cache, self.digest == "stat", self.inputs, self.labels)

    def _refuse_unlike(self, where: str, examples: Examples, evaluation: Examples) -> None:
        """Other names than in evaluation, or another shape, of which only a folder of examples may have several."""
        names, wanted = ([item.name for item in each.tensors] for each in (examples, evaluation))
        if sorted(names) != sorted(wanted):
            raise DataError(
                f"{where}: has the arrays {', '.join(names)}, but data.evaluation={self.evaluation} "
                f"{', '.join(wanted)}: give both the same, or say which with data.inputs"
            )
        free = any(not item.fixed for each in (examples, evaluation) for item in each.tensors)
        for one in examples.tensors:
            other = next(item for item in evaluation.tensors if item.name == one.name)
            if len(one.shape) != len(other.shape) or (one.shape != other.shape and not free):
                raise DataError(
                    f"{where}: an example has shape {one.shape}, "
                    f"but in data.evaluation={self.evaluation} {other.shape}: preprocess both alike"
                )

    def task_known(self) -> str | None:
        """By the file's directory: numbers are those of a regression."""
        from edgepipe.data.arrays import kind_of_labels

        known = {"numbers": "regression"}
        return None if self.train is None else known.get(kind_of_labels(self.train, self.labels) or "")

    def input_names(self) -> tuple[str, ...]:
        """By the file's directory, which lists its arrays."""
        from edgepipe.data.arrays import listed

        return self.inputs or listed(self.evaluation, self.labels)

    def no_training(self) -> str | None:
        """By the file's directory, which lists its arrays."""
        from edgepipe.data.arrays import kind_of_labels

        if self.train is None:
            return "data.train is not set: give it an .npz file with labels"
        return {
            "none": f"data.train={self.train} has no `{self.labels}`, and training needs them: add them",
        }.get(kind_of_labels(self.train, self.labels) or "")

    def _clean(self, key: str, examples: Examples, evaluation: Examples) -> Rows:
        from edgepipe.data.splits import without_overlap

        mine = [f"{key}[{row}]" for row in range(len(examples.hashes))]
        theirs = [f"evaluation[{row}]" for row in range(len(evaluation.hashes))]
        return without_overlap(
            f"data.{key}",
            (mine, examples.hashes),
            (theirs, evaluation.hashes),
            self.on_overlap,
            f"Remove them, or set data.on_overlap=drop to leave them out of {key}",
        )

    def _draw(self, key: str, examples: Examples, size: int | None, rows: Rows | None = None) -> Rows:
        import numpy as np

        from edgepipe.data.splits import stratified_order

        rows = np.arange(len(examples.hashes)) if rows is None else rows
        if size is None:
            return rows
        if size > len(rows):
            raise DataError(f"data.{key}_size={size}, but there are {len(rows)} examples to draw from: lower it")
        known = examples.labels
        labels = None if known is None or known.dtype.kind == "f" or known.ndim > 1 else known[rows]
        return np.sort(rows[stratified_order([examples.hashes[row] for row in rows], labels, self.seed)[:size]])
