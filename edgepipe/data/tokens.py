"""Texts to numbers, by a `tokenizer.json` of the `tokenizers` library; the bundle's example.py does the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgepipe.base.files import is_file, is_folder
from edgepipe.contract import Tensor
from edgepipe.contract.signature import Text
from edgepipe.errors import DataError

if TYPE_CHECKING:
    import tokenizers

FILE = "tokenizer.json"
MOST_BYTES = 64 << 20
"""Of a tokenizer file; the largest in use have some 20 MB."""
IGNORED = -100
"""The tag of what is not judged: padding, marks between texts, the later parts of a word."""
AXIS = "length"
"""Name of the axis that counts tokens."""

Part = Literal["ids", "mask", "types"]


@dataclass(frozen=True)
class Encoded:
    """A text as numbers.

    Attributes:
        arrays: by input, (length,).
        words: for each number the word that it is of; -1: of none, or not the first of its word.
    """

    arrays: dict[str, NDArray[Any]]
    words: NDArray[np.int64]


@dataclass(frozen=True)
class Tokens:
    """A tokenizer and what is recorded of it; `content` is its file."""

    tokenizer: tokenizers.Tokenizer
    text: Text
    content: bytes
    dtype: str

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The inputs of one example."""
        length = self.text.max_length if self.text.padding == "fixed" else AXIS
        return tuple(Tensor(name=name, dtype=self.dtype, shape=(length,)) for name in self.text.inputs)

    def encode(self, text: str | Sequence[str], pair: str | Sequence[str] | None = None) -> Encoded:
        """The numbers of a text, or of two."""
        found = self.tokenizer.encode(text, pair, is_pretokenized=self.text.words)
        length = max(1, self.text.max_length if self.text.padding == "fixed" else len(found.ids))
        fill = {"ids": self.text.pad_id, "mask": 0, "types": self.text.pad_type}
        values = {"ids": found.ids, "mask": found.attention_mask, "types": found.type_ids}
        arrays = {
            name: np.array(values[part] + [fill[part]] * (length - len(found.ids)), self.dtype)
            for name, part in self.text.inputs.items()
        }
        words = np.full(length, -1, np.int64)
        before = None
        for place, (word, sequence) in enumerate(zip(found.word_ids, found.sequence_ids, strict=True)):
            if word is not None and sequence == 0 and word != before:
                words[place] = word
            before = word if sequence == 0 else None
        return Encoded(arrays, words)


def open_tokens(
    path: Path,
    inputs: Mapping[str, Part],
    *,
    max_length: int,
    padding: Literal["dynamic", "fixed"],
    dtype: str,
    words: bool,
) -> Tokens:
    """Read a tokenizer file, or the one in a folder.

    Raises:
        DataError: there is none, `tokenizers` is not installed, or it cannot read the file.
    """
    file = path / FILE if is_folder(path, "data.tokenizer") else path
    where = f"data.tokenizer={file}"
    if not is_file(file):
        raise DataError(
            f"{where}: no such file: give a {FILE} of the tokenizers library, or a folder that holds one. With "
            "transformers installed, AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) writes it"
        )
    if file.stat().st_size > MOST_BYTES:
        raise DataError(f"{where}: {file.stat().st_size:,} bytes: a tokenizer has at most {MOST_BYTES:,}")
    content = file.read_bytes()
    tokenizer = _read(where, content, max_length)
    padded = tokenizer.padding or {}
    tokenizer.no_padding()
    text = Text(
        tokenizer=FILE,
        sha256=hashlib.sha256(content).hexdigest(),
        vocabulary=max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0) + 1,
        max_length=max_length,
        padding=padding,
        pad_id=padded.get("pad_id", _pad_id(tokenizer)),
        pad_type=padded.get("pad_type_id", 0),
        words=words,
        inputs=dict(inputs),
    )
    return Tokens(tokenizer, text, content, dtype)


def _read(where: str, content: bytes, max_length: int) -> tokenizers.Tokenizer:
    try:
        import tokenizers
    except ImportError:
        raise DataError(f"{where}: reading it needs tokenizers: pip install 'edgepipe[text]'") from None
    try:
        found = tokenizers.Tokenizer.from_str(content.decode("utf-8"))
        found.enable_truncation(max_length, direction=(found.truncation or {}).get("direction", "right"))
        found.encode("a b")
    except BaseException as error:
        # What Rust calls a panic arrives as no Exception, and says no more than that the file is not sound.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        said = " ".join(str(error).split())[:200]
        raise DataError(f"{where}: not a tokenizer that the tokenizers library reads: {said}") from None
    return found


def _pad_id(tokenizer: tokenizers.Tokenizer) -> int:
    """The number of the padding token by the names that it has in use; 0, as BERT's, where there is none."""
    known = (tokenizer.token_to_id(name) for name in ("[PAD]", "<pad>", "<PAD>", "<|padding|>", "<|endoftext|>"))
    return next((number for number in known if number is not None), 0)
