"""Settings of sources that read tables: where the splits lie, what is right, and what is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from edgepipe.contract import DataSource, Split
from edgepipe.data.settings import OnOverlap, Trust
from edgepipe.errors import DataError

if TYPE_CHECKING:
    from edgepipe.data.tables import Table

NAMES = {
    Split.TRAIN: ("train", "training"),
    Split.CALIBRATION: ("calibration", "calib"),
    Split.EVALUATION: ("test", "eval", "evaluation", "validation", "valid", "val", "dev"),
}
"""What people call the files and folders of a split; of several the first one counts."""


class TableSettings(DataSource):
    """Settings that all sources of tables share."""

    root: Path | None = Field(
        None, description="folder with a file or folder for each split, as `train-00000-of-00001.parquet` and `test/`"
    )
    train: Path | None = Field(None, description="file, or folder of its shards, to train and calibrate with")
    evaluation: Path | None = Field(
        None, description="file to measure with, or a folder; null: a share of train is held out"
    )
    calibration: Path | None = Field(None, description="file to calibrate with, or a folder; null: drawn from train")
    evaluation_share: float = Field(0.2, gt=0, lt=1, description="share of train held out where there is no evaluation")
    calibration_size: int | None = Field(
        None, ge=1, description="examples drawn by seed; null: all of calibration, or 200 of train"
    )
    evaluation_size: int | None = Field(None, ge=1, description="examples drawn by seed; null: all")
    label: str | None = Field(
        None, description="column of what is right: names or numbers of classes, or numbers to find; null: none"
    )
    classes: tuple[str, ...] | None = Field(
        None, description="names of the classes in the model's order; null: as the file says, else sorted"
    )
    seed: int = Field(0, ge=0, description="seed of every draw and split")
    digest: Trust = Field(
        "stat", description="stat: trust cached hashes while size and mtime stay; content: read and hash all again"
    )
    on_overlap: OnOverlap = Field(
        "error", description="examples both in evaluation and elsewhere: error, or drop them elsewhere"
    )

    @model_validator(mode="after")
    def _says_where(self) -> TableSettings:
        files = [name for name in ("train", "evaluation", "calibration") if getattr(self, name) is not None]
        if self.root is not None and files:
            raise ValueError(f"give root, or the files themselves: root and {files[0]} are both set")
        if self.root is None and not {"train", "evaluation"} & set(files) and type(self)._from_files():
            raise ValueError("says nowhere where the examples are: set train or evaluation, or root")
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            raise ValueError("classes names one twice")
        return self

    @classmethod
    def _from_files(cls) -> bool:
        """Whether the examples come from files that the settings name."""
        return True

    def tables(self) -> dict[Split, Table]:
        """The table of each split that is there.

        Raises:
            DataError: a file is missing, or a root has none that is called after a split.
        """
        from edgepipe.data.tables import open_table

        if self.root is not None:
            return _in_root(self.root)
        places = {Split.TRAIN: self.train, Split.CALIBRATION: self.calibration, Split.EVALUATION: self.evaluation}
        return {split: open_table(f"data.{split}", path) for split, path in places.items() if path is not None}

    def no_training(self) -> str | None:
        if self.root is None and self.train is None:
            return "data.train is not set: give it a file with labels"
        return (
            None if self.label else "data.label is not set, and training needs to know what is right: name the column"
        )


def _in_root(root: Path) -> dict[Split, Table]:
    """Tables by split, found by the names of folders (`train/`) and files (`train.csv`, `train-00000-of-00004.csv`)."""
    from edgepipe.base.files import is_folder
    from edgepipe.data.tables import KINDS, SUFFIXES, shards

    where = f"data.root={root}"
    if not is_folder(root, "data.root"):
        raise DataError(f"{where}: no such folder: give one with {KINDS}, or name a file with data.train")
    files = sorted(
        file
        for folder in (root, root / "data", *(child for child in sorted(root.iterdir()) if is_folder(child)))
        if is_folder(folder)
        for file in folder.iterdir()
        if file.suffix in SUFFIXES and not file.name.startswith((".", "cache-"))
    )
    files = list(dict.fromkeys(files))
    found: dict[Split, Table] = {}
    for split, names in NAMES.items():
        for name in names:
            mine = [file for file in files if _belongs(file, root, name)]
            if mine:
                found[split] = shards("data.root", mine)
                break
    if not found and files:
        found[Split.TRAIN] = shards("data.root", [file for file in files if file.suffix == files[0].suffix])
    if not {Split.TRAIN, Split.EVALUATION} & found.keys():
        raise DataError(f"{where}: no table in it: give {KINDS}, called after their splits (train, test, validation)")
    return found


def _belongs(file: Path, root: Path, split: str) -> bool:
    """Whether a file lies in a folder of that name, or is called so, numbers of shards left out."""
    folder = file.parent.name.lower() if file.parent != root else ""
    stem = file.stem.lower()
    return folder == split or stem == split or stem.startswith((f"{split}-", f"{split}_", f"{split}."))
