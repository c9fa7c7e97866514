"""Numbers of texts are those that the tokenizers library gives, cut and filled as recorded."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import tokenizers

from edgepipe.data.text import STANDARD
from edgepipe.data.tokens import open_tokens
from edgepipe.errors import DataError
from tests.data.texts import tokenizer


def opened(path: Path, length: int = 8, padding: str = "dynamic", words: bool = False):  # type: ignore[no-untyped-def]
    return open_tokens(path, STANDARD, max_length=length, padding=padding, dtype="int32", words=words)


@pytest.mark.parametrize("own", [None, 5])
def test_a_text_is_as_long_as_it_is_whatever_the_file_says(tmp_path: Path, own: int | None) -> None:
    path = tokenizer(tmp_path, length=own)
    tokens = opened(tmp_path)
    found = tokens.encode("The cat sat").arrays
    plain = tokenizers.Tokenizer.from_file(str(tokenizer(tmp_path / "plain"))).encode("The cat sat")
    assert found["input_ids"].tolist() == plain.ids and found["input_ids"].dtype == "int32"
    assert found["attention_mask"].tolist() == [1] * 5 and found["token_type_ids"].tolist() == [0] * 5
    assert len(tokens.encode("the cat sat on the mat far far").arrays["input_ids"]) == 8
    assert tokens.encode("the cat", "a dog").arrays["token_type_ids"].tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert tokens.text.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() and tokens.text.vocabulary == 34
    assert [item.shape for item in tokens.tensors] == [("length",)] * 3


def test_fixed_padding_fills_up_and_nothing_is_one_token(tmp_path: Path) -> None:
    tokens = opened(tokenizer(tmp_path), padding="fixed")
    found = tokens.encode("cat").arrays
    assert found["input_ids"].tolist() == [2, 6, 3, 0, 0, 0, 0, 0]
    assert found["attention_mask"].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert [item.shape for item in tokens.tensors] == [(8,)] * 3


def test_the_first_token_of_a_word_carries_its_number(tmp_path: Path) -> None:
    tokens = opened(tokenizer(tmp_path), words=True)
    assert tokens.encode(["walking", "cats", "sat"]).words.tolist() == [-1, 0, -1, 1, -1, 2, -1]
    fixed = opened(tokenizer(tmp_path), padding="fixed", words=True)
    assert fixed.encode(["cat", "cat"]).words.tolist() == [-1, 0, 1, -1, -1, -1, -1, -1]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"version": "1.0", "model": {"type": "Odd"}}', b"[" * 9999])
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(DataError, match=r"^data\.tokenizer=.*not a tokenizer that"):
        opened(tmp_path)


def test_a_folder_without_one_is_told_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file: give a tokenizer\.json.*save_pretrained"):
        opened(tmp_path)
