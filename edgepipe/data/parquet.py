"""Pictures and numbers in the columns of tables: Parquet, Arrow, CSV and their like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from edgepipe.contract import Dataset, DataSource, Preprocessing, Tensor
from edgepipe.contract.guess import Contents, Guess, Sure
from edgepipe.data.settings import PixelSettings, sized
from edgepipe.data.table_settings import TableSettings

LABELS = ("label", "labels", "target", "class", "category", "fine_label", "y")
"""What people call the column of what is right; of several the first one counts."""
_TABLES = (".parquet", ".arrow", ".csv", ".tsv", ".jsonl", ".ndjson")
_OTHERS = (".jpg", ".jpeg", ".png", ".wav", ".flac", ".npz")


class ParquetData(PixelSettings, TableSettings):
    """Columns of Parquet, Arrow, CSV, TSV or JSON lines, one example a row; a folder of the `datasets` library too.

    `image` is a column of encoded pictures (bytes, or `bytes` and `path` as the `datasets` library writes) or of their
    pixels; they are sized and normalized as those of files. `inputs` names columns of numbers, or of lists of them, for
    each input of the model; several columns of one input stand one behind the other. Without either, all columns of
    numbers but the label are one float32 input, in the order of the file. `label` names or numbers classes (lists:
    several of an example) or holds numbers of a regression. Rows are read as they are needed.
    """

    image: str | None = Field(None, description="column of pictures; null: none")
    inputs: dict[str, str | tuple[str, ...]] | None = Field(
        None, description="{INPUT: column, or [columns]} of numbers; null: all of them, if there is no image"
    )
    dtype: Literal["float32", "float64", "int64", "int32"] | None = Field(
        None, description="type of these numbers; null: float32, and int64 for columns of whole numbers in `inputs`"
    )

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture becomes the network's input; of numbers, none."""
        return Preprocessing() if self.image is None else super().preprocessing

    def alternatives(self) -> Sequence[tuple[str, DataSource]]:
        """Of pictures alone."""
        return () if self.image is None else super().alternatives()

    @model_validator(mode="after")
    def _columns_once(self) -> ParquetData:
        for name, columns in (self.inputs or {}).items():
            if not columns:
                raise ValueError(f"inputs.{name} names no column")
            if self.label in ((columns,) if isinstance(columns, str) else columns):
                raise ValueError(f"inputs.{name} gives the model the label: {self.label}")
        if self.image is not None and self.image in (self.label, *(self.inputs or ())):
            raise ValueError(f"image: the column {self.image} is the label or an input already")
        return self

    @classmethod
    def guess(cls, contents: Contents, inputs: Sequence[Tensor]) -> Guess | None:
        """Tables whose columns hold pictures where the model takes one, or numbers where it takes a vector."""
        tables = contents.of(*_TABLES)
        if not tables or contents.of(*_OTHERS) or contents.root.suffix.lower() == ".zip" or len(inputs) != 1:
            return None
        if not inputs[0].dtype.startswith("float") or len(inputs[0].shape) not in (1, 3):
            return None
        from edgepipe.data.columns import numbers_of, picture_of

        settings: dict[str, Any] = {"train": str(contents.root)} if contents.alone else {"root": str(contents.root)}
        table = next(iter(cls.model_validate(settings).tables().values()))
        label = next((name for name in LABELS if name in table.columns), None)
        settings |= {} if label is None else {"label": label}
        if len(inputs[0].shape) == 1:
            count = len(numbers_of(table, label))
            return Guess(settings, Sure.LIKELY, f"{count} columns of numbers in {tables[0]}") if count else None
        image = picture_of(table)
        if image is None:
            return None
        return Guess(dict(settings, image=image, **sized(inputs)), Sure.LIKELY, f"pictures in {tables[0]}")

    def open(self, cache: Path) -> Dataset:
        """Hash every row, check the numbers, and draw the splits; pictures are decoded when they are asked for."""
        from edgepipe.data.columns import opened

        return opened(self, self.tables(), cache)

    def input_names(self) -> tuple[str, ...]:
        """Those of `inputs`, and the picture."""
        if self.inputs is None:
            return ()
        return (*self.inputs, *([] if self.image is None else [self.image]))


def columns_of(settings: ParquetData) -> dict[str, tuple[str, ...]]:
    """Input to the columns of its numbers, as far as the settings name them."""
    return {name: (item,) if isinstance(item, str) else item for name, item in (settings.inputs or {}).items()}
