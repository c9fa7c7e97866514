"""Files that say the text of each picture: CSV, TSV, PaddleOCR's lists, or a .txt beside each. Untrusted."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence

from edgepipe.base.text import printable
from edgepipe.data.decode import SUFFIXES
from edgepipe.errors import DataError

MOST_LETTERS = 10_000
"""Of a text; more are no line."""
_FILE_HEADS = ("file", "filename", "file_name", "image", "image_path", "path", "name")
_TEXT_HEADS = ("text", "label", "transcription", "words", "sentence", "ground_truth")


def read_labels(where: str, content: bytes, folder: str, pictures: Mapping[str, str]) -> dict[str, str]:
    """Texts of pictures by their paths in the root.

    A line is `file,text` (CSV, with a line of heads or without) or `file<TAB>text`; of a JSON list of files, as
    PaddleOCR writes it, all have the text.

    Args:
        where: names the file in messages.
        folder: that the file lies in; paths count from there, or from the root.
        pictures: by path, all that there are.
    Raises:
        DataError: a line cannot be read, or names no picture; says which.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 text ({error.reason} at byte {error.start}): save it as UTF-8") from None
    found: dict[str, str] = {}
    for number, name, label in _rows(where, text):
        for each in _names(name):
            path = path_of(f"{where}: line {number}", each, folder, pictures)
            if found.setdefault(path, label) != label:
                raise DataError(f"{where}: line {number}: {printable(each)} has another text before: keep one of them")
    if not found:
        raise DataError(f"{where}: holds no line: write FILE<TAB>TEXT on each")
    return found


def checked_text(where: str, text: str) -> str:
    """A text as label, without the end of its line.

    Raises:
        DataError: it is far longer than a line.
    """
    text = text.strip("\r\n")
    if len(text) > MOST_LETTERS:
        raise DataError(f"{where}: a text of {len(text):,} letters is no line: cut it, or remove the picture")
    return text


def _rows(where: str, text: str) -> Iterator[tuple[int, str, str]]:
    """(number of the line, file, text)."""
    first = text.partition("\n")[0]
    if "\t" not in first and "," in first:
        yield from _csv(where, text)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        name, tab, label = line.partition("\t")
        if not tab:
            raise DataError(f"{where}: line {number}: no tab between file and text: {printable(line[:80])}")
        if number == 1 and name.strip().lower() in _FILE_HEADS:
            continue
        yield number, name.strip(), checked_text(f"{where}: line {number}", label)


def _csv(where: str, text: str) -> Iterator[tuple[int, str, str]]:
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    columns = (0, 1)
    try:
        for at, row in enumerate(reader):
            if not row:
                continue
            heads = [item.strip().lower() for item in row]
            if at == 0 and set(heads) & set(_FILE_HEADS) and not heads[0].endswith(SUFFIXES):
                columns = _columns(where, heads)
                continue
            if len(row) <= max(columns):
                raise DataError(f"{where}: line {reader.line_num}: {len(row)} columns, and file and text are wanted")
            label = checked_text(f"{where}: line {reader.line_num}", row[columns[1]])
            yield reader.line_num, row[columns[0]].strip(), label
    except csv.Error as error:
        raise DataError(f"{where}: line {reader.line_num}: not readable as CSV: {error}") from None


def _columns(where: str, heads: Sequence[str]) -> tuple[int, int]:
    name = next(heads.index(head) for head in _FILE_HEADS if head in heads)
    text = next((heads.index(head) for head in _TEXT_HEADS if head in heads), None)
    if text is None:
        raise DataError(f"{where}: no column of texts in {printable(', '.join(heads))}: call it `text`")
    return name, text


def _names(name: str) -> list[str]:
    if name.startswith("["):
        try:
            found = json.loads(name)
        except (ValueError, RecursionError):
            return [name]
        if isinstance(found, list) and found and all(isinstance(item, str) for item in found):
            return found
    return [name]


def path_of(where: str, name: str, folder: str, files: Mapping[str, str]) -> str:
    """The path in the root that a line of a file names, from the file's own folder or from the root.

    Raises:
        DataError: it leads out of the root, or there is no such file.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        raise DataError(f"{where}: {printable(name[:200])} leads out of the folder: write paths from data.root on")
    plain = "/".join(parts)
    for path in (f"{folder}/{plain}" if folder else plain, plain):
        if path in files:
            return path
    raise DataError(f"{where}: {printable(name[:200])}: no such file in data.root")
