"""Texts in tables, made numbers by a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from edgepipe.contract import Dataset, DataSource, Tensor
from edgepipe.contract.guess import Contents, Guess, Sure
from edgepipe.data.table_settings import TableSettings
from edgepipe.errors import DataError

if TYPE_CHECKING:
    from edgepipe.data.text_source import Column

STANDARD: dict[str, Literal["ids", "mask", "types"]] = {
    "input_ids": "ids",
    "attention_mask": "mask",
    "token_type_ids": "types",
}
"""The inputs of encoders by the names that exporters give them."""


class TokenSettings(DataSource):
    """Settings that all sources of texts share: the tokenizer, and which inputs the model takes."""

    libraries: ClassVar[tuple[str, ...]] = ("tokenizers",)

    tokenizer: Path = Field(description="tokenizer.json of the tokenizers library, or a folder that holds one")
    max_length: Annotated[int, Field(ge=1, le=65_536)] = Field(
        128, description="tokens that a text is cut to, those that mark its ends included"
    )
    padding: Literal["dynamic", "fixed"] = Field(
        "dynamic", description="dynamic: an example is as long as its text; fixed: max_length, the rest is padding"
    )
    inputs: tuple[str, ...] | dict[str, Literal["ids", "mask", "types"]] | None = Field(
        None,
        description="inputs of the model: input_ids, attention_mask and token_type_ids, or {NAME: ids, mask or types}; "
        "null: the first two, of pairs all three",
    )
    dtype: Literal["int64", "int32"] = Field("int64", description="type of these inputs")

    @model_validator(mode="after")
    def _names_known_inputs(self) -> TokenSettings:
        names = () if self.inputs is None or isinstance(self.inputs, dict) else self.inputs
        odd = [name for name in names if name not in STANDARD]
        if odd:
            raise ValueError(
                f"inputs names '{odd[0]}', not one of {', '.join(STANDARD)}: say what it is given, as in "
                f"inputs: {{{odd[0]}: ids}}"
            )
        if self.inputs is not None and "ids" not in self.parts(pair=False).values():
            raise ValueError("inputs gives the model no ids")
        return self

    def parts(self, *, pair: bool) -> dict[str, Literal["ids", "mask", "types"]]:
        """Input to what it is given."""
        if isinstance(self.inputs, dict):
            return dict(self.inputs)
        names = self.inputs or tuple(STANDARD)[: 3 if pair else 2]
        return {name: STANDARD[name] for name in names}


class TextData(TokenSettings, TableSettings):
    """Texts in JSON lines, CSV, TSV, plain lines, Parquet or Arrow, one example a row; read as they are needed.

    `text` is a column of texts or of lists of words, `pair` that of a second text. `label` names or numbers classes
    (lists of them: several of an example), or holds numbers of a regression; `tags` holds a list with a class for each
    word. Without either, answers are compared with those of the model as it came.
    """

    text: str = Field("text", description="column of the text, or of a list of words")
    pair: str | None = Field(None, description="column of a second text; null: none")
    tags: str | None = Field(None, description="column of a list of tags, one for each word of the text; null: none")

    @classmethod
    def guess(cls, contents: Contents, inputs: Sequence[Tensor]) -> Guess | None:
        """Tables of texts; a tokenizer.json beside them is theirs."""
        tables = contents.of(".jsonl", ".csv", ".tsv", ".parquet", ".arrow")
        if not tables or not inputs or any(item.dtype not in ("int64", "int32") for item in inputs):
            return None
        settings: dict[str, Any] = {"train": str(contents.root)} if contents.alone else {"root": str(contents.root)}
        beside = [name for name in contents.of(".json") if name.rpartition("/")[2] == "tokenizer.json"]
        if beside and not contents.alone:
            settings["tokenizer"] = str(contents.root / beside[0])
        if {item.name for item in inputs} <= set(STANDARD):
            settings["inputs"] = [item.name for item in inputs]
        return Guess(settings, Sure.LIKELY, f"texts in {tables[0]}")

    @model_validator(mode="after")
    def _one_kind_of_labels(self) -> TextData:
        if self.label is not None and self.tags is not None:
            raise ValueError("label and tags are both set: one of them says what is right")
        return self

    def open(self, cache: Path) -> Dataset:
        """Hash every row and make the labels numbers; texts become numbers when they are asked for."""
        from edgepipe.data.text_source import opened

        return opened(self, self.tables(), self._column(), cache)

    def no_training(self) -> str | None:
        return None if self.tags is not None and (self.root or self.train) else super().no_training()

    def _column(self) -> Column:
        from edgepipe.data.text_source import Column

        return Column(self.text, self.pair, self.tags or self.label, self.tags is not None)


def checked_text(where: str, value: Any, *, words: bool) -> str | list[str]:
    """A text, or its words.

    Raises:
        DataError: it is neither.
    """
    if isinstance(value, str):
        return value.split() if words else value
    if isinstance(value, list) and words and all(isinstance(item, str) for item in value):
        return value
    wanted = "a text or a list of words" if words else "a text"
    raise DataError(f"{where} holds {type(value).__name__}, not {wanted}")
