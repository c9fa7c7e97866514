"""Examples from a function of the user's own. Runs the user's code, so it needs trust."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, JsonValue

from edgepipe.contract import Dataset, DataSource
from edgepipe.data.settings import OnOverlap
from edgepipe.errors import DataError
from edgepipe.store.user_code import FUNCTION, untrusted


class PythonData(DataSource):
    """Your own loader, a function `package.module:function`; needs trust_code=true.

    It returns {"train": ..., "calibration": ..., "evaluation": ...}, of which train or evaluation may be missing and
    calibration may, or one set of examples, of which `evaluation_share` is held out. A set is a sequence (as a torch
    Dataset, read by number when asked for), an iterable (as a DataLoader, whose batches are parted, or a generator:
    read once, kept in a temporary file), or a pair of arrays (inputs, labels).

    An example is (inputs, label), or inputs alone, or a mapping of named arrays with `labels` in it. Inputs are an
    array or tensor, which becomes float32, or a mapping of them by the inputs of the model, which keep their types; all
    ready for the model, without the axis that counts examples. A label is the number of a class, a number with a
    fraction, a text, or an array as the task takes it; boxes are rows of x1, y1, x2, y2, class and ignored.

    Every run reads all examples once and hashes them: what is in them, and nothing else, makes them other data. The
    mapping may name `classes` and the `task` too.
    """

    factory: str = Field(pattern=FUNCTION, description="package.module:function returning the examples")
    kwargs: dict[str, JsonValue] = Field({}, description="keyword arguments of the function")
    trust_code: bool = Field(False, description="set on the command line: trust_code=true")
    labels: str = Field("labels", description="name of what is right, in examples that are mappings")
    classes: tuple[str, ...] | None = Field(
        None, description="names of the classes in the model's order; null: as the function says"
    )
    batched: bool | None = Field(
        None, description="whether what is iterated over are batches; null: those of a torch DataLoader are"
    )
    most_examples: Annotated[int, Field(ge=1)] = Field(
        1_000_000, description="an iterable with more examples is refused, as one that never ends"
    )
    evaluation_share: float = Field(0.2, gt=0, lt=1, description="share of train held out where there is no evaluation")
    calibration_size: int | None = Field(
        None, ge=1, description="examples drawn by seed; null: all of calibration, or 200 of train"
    )
    evaluation_size: int | None = Field(None, ge=1, description="examples drawn by seed; null: all")
    seed: int = Field(0, ge=0, description="seed of every draw and split")
    on_overlap: OnOverlap = Field(
        "error", description="examples both in evaluation and elsewhere: error, or drop them elsewhere"
    )

    def open(self, cache: Path) -> Dataset:
        """Call the function and read what it gives, once."""
        if not self.trust_code:
            raise DataError(untrusted("data.factory", self.factory))
        from edgepipe.data.loaded_source import opened

        return opened(self, cache)
