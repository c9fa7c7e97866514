"""Pictures of lines of text, with what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from edgepipe.base.text import printable
from edgepipe.contract import Dataset, Split, Tensor
from edgepipe.contract.guess import Contents, Guess, Sure
from edgepipe.data.line_settings import LabelledLineSettings
from edgepipe.errors import DataError

if TYPE_CHECKING:
    from edgepipe.data.lines import Lines
    from edgepipe.data.listing import Listing

_ENDS = ("txt", "tsv", "csv")
_BOTH = ("rec_gt", "labels", "label", "gt", "metadata")
_SPLITS = {
    "train": ("train", "training"),
    "evaluation": ("test", "testing", "eval", "evaluation", "val", "valid", "validation", "dev"),
}
_MOST_BYTES = 256 << 20


class TextLinesData(LabelledLineSettings):
    """Your own lines: pictures in a folder or .zip, and a file that says the text of each.

    That file is CSV or TSV of `file` and `text`, or PaddleOCR's `rec_gt.txt` (`FILE<TAB>TEXT`); without one, a .txt
    beside each picture. `rec_gt_train.txt` and `rec_gt_test.txt`, `train.csv` and `test.csv`, or files `labels.csv` in
    `train/` and `test/` say the splits; else some are held out.
    """

    root: Path = Field(description="folder or .zip that holds the pictures")
    train: str | None = Field(None, description="file of the texts to train with, in root; null: by its usual names")
    evaluation: str | None = Field(
        None, description="file of the texts to measure with, in root; null: by its usual names"
    )
    evaluation_share: float = Field(
        0.2, gt=0, lt=1, description="share of the lines held out, by seed and content, where one file says all"
    )

    @classmethod
    def guess(cls, contents: Contents, inputs: Sequence[Tensor]) -> Guess | None:
        """Pictures, and lists of texts by their usual names."""
        from edgepipe.data.listing import is_picture

        usual = {f"{name}.{end}" for name in _BOTH for end in _ENDS}
        usual |= {f"rec_gt_{word}.{end}" for words in _SPLITS.values() for word in words for end in _ENDS}
        lists = [name for name in contents.names if name.rpartition("/")[2].lower() in usual]
        if not lists or not any(map(is_picture, contents.names)):
            return None
        settings: dict[str, object] = {"root": str(contents.root)}
        heights = [item.shape[1] for item in inputs if len(item.shape) == 3 and isinstance(item.shape[1], int)]
        if len(heights) == 1:
            settings["height"] = heights[0]
        return Guess(settings, Sure.CERTAIN, f"pictures and their texts in {lists[0]}")

    def open(self, cache: Path) -> Dataset:
        """List and hash the pictures and read their texts; decoding waits for `batches`."""
        import numpy as np

        from edgepipe.data.lines import LineSource
        from edgepipe.data.listing import list_root
        from edgepipe.data.splits import hold_out, stratified_order, without_overlap

        where = f"data.root={self.root}"
        listing = list_root(self.root, cache, trust_stat=self.digest == "stat")
        if not listing.hashes:
            raise DataError(f"{where}: no pictures in it: give a folder or .zip with pictures of lines")
        train, evaluation = self._labelled(where, listing)
        notes = []
        left = len(set(listing.hashes) - set(train) - set(evaluation or {}))
        if left:
            notes.append(f"data.root: {left} picture{'s' * (left > 1)} left out, of which no text is said")
        if evaluation is None:
            pool = _lines(listing, train)
            count = max(1, round(self.evaluation_share * len(pool.names)))
            kept, held = hold_out(pool.hashes, np.zeros(len(pool.names), np.int64), self.seed, count)
            first, second = pool.take(kept), pool.take(held)
        else:
            first, second = _lines(listing, train), _lines(listing, evaluation)
        clean = without_overlap(where, (first.names, first.hashes), (second.names, second.hashes), self.on_overlap)
        first = first.take(clean)
        for key, wanted, there in (
            ("calibration_size", self.calibration_size, len(first.names)),
            ("evaluation_size", self.evaluation_size or 0, len(second.names)),
        ):
            if wanted > there:
                raise DataError(f"{where}: data.{key}={wanted}, but there are {there} lines to draw from: lower it")
        first = first.take(stratified_order(first.hashes, None, self.seed))
        second = second.take(stratified_order(second.hashes, None, self.seed)[: self.evaluation_size])
        views = {
            Split.TRAIN: first,
            Split.CALIBRATION: first.take(np.arange(self.calibration_size)),
            Split.EVALUATION: second,
        }
        return LineSource(where, self, views, notes)

    def _labelled(self, where: str, listing: Listing) -> tuple[dict[str, str], dict[str, str] | None]:
        """Texts by path to train with and to measure with; None: one file says all."""
        there = _there(self.root, listing)
        train = self.train or _found("train", there)
        evaluation = self.evaluation or _found("evaluation", there)
        for key, name in (("train", self.train), ("evaluation", self.evaluation)):
            if name is not None and name not in there:
                raise DataError(f"{where}: data.{key}={printable(name)}: no such file in it")
        if evaluation is not None:
            return (_read(where, listing, there, train) if train else {}), _read(where, listing, there, evaluation)
        every = train or _found("", there)
        if every is not None:
            return _read(where, listing, there, every), None
        return _split(_beside(where, listing, there))


def _there(root: Path, listing: Listing) -> dict[str, int]:
    """Paths of all files that may say texts, and their bytes."""
    import zipfile

    from edgepipe.base.files import is_folder
    from edgepipe.data.listing import is_hidden, normal_name

    if not is_folder(root):
        with zipfile.ZipFile(root) as archive:
            sizes = {normal_name(member): member.file_size for member in archive.infolist()}
        return {name: size for name, size in sizes.items() if name.endswith(_ENDS) and not is_hidden(name)}
    found = {}
    for folder in ("", *listing.folders):
        for path in (root / folder).iterdir():
            if path.suffix[1:] in _ENDS and path.is_file() and not path.name.startswith("."):
                found[f"{folder}/{path.name}" if folder else path.name] = path.stat().st_size
    return found


def _found(split: str, there: Mapping[str, int]) -> str | None:
    """The file of a split by its name; "": of all lines. The one that lies highest, if several do."""
    words = _SPLITS.get(split, ())
    stems = (
        [*words, *(f"{both}_{word}" for both in _BOTH for word in words), *(f"{word}_list" for word in words)]
        if split
        else list(_BOTH)
    )
    found = [name for name in there if _stem(name) in stems]
    if split:
        found += [name for name in there if _stem(name) in _BOTH and _folder(name).rpartition("/")[2].lower() in words]
    else:
        found = [name for name in found if _folder(name).count("/") == 0]
    return min(found, key=lambda name: (name.count("/"), name), default=None)


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0].lower()


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _read(where: str, listing: Listing, there: Mapping[str, int], name: str) -> dict[str, str]:
    from edgepipe.data.label_files import read_labels

    if there[name] > _MOST_BYTES:
        raise DataError(f"{where}: {printable(name)}: {there[name]:,} bytes, more than {_MOST_BYTES:,}: split it")
    return read_labels(f"{where}: {printable(name)}", listing.read(name), _folder(name), listing.hashes)


def _beside(where: str, listing: Listing, there: Mapping[str, int]) -> dict[str, str]:
    """The texts of .txt files beside the pictures."""
    from edgepipe.data.label_files import MOST_LETTERS, checked_text

    found = {}
    for name in listing.hashes:
        file = f"{name.rpartition('.')[0]}.txt"
        if file in there:
            if there[file] > 4 * MOST_LETTERS:
                raise DataError(f"{where}: {printable(file)}: {there[file]:,} bytes are no line's text: remove it")
            try:
                found[name] = checked_text(f"{where}: {printable(file)}", listing.read(file).decode("utf-8-sig"))
            except UnicodeDecodeError:
                raise DataError(f"{where}: {printable(file)}: not UTF-8 text: save it as UTF-8") from None
    if not found:
        raise DataError(
            f"{where}: nothing says the texts: add labels.csv with columns file and text, PaddleOCR's rec_gt.txt, or a "
            ".txt beside each picture"
        )
    return found


def _split(texts: dict[str, str]) -> tuple[dict[str, str], dict[str, str] | None]:
    """By the folders `train` and `test` and their like, where both hold pictures."""
    parts: dict[str, dict[str, str]] = {"train": {}, "evaluation": {}}
    for name, text in texts.items():
        folders = {part.lower() for part in name.split("/")[:-1]}
        for split, words in _SPLITS.items():
            if folders & set(words):
                parts[split][name] = text
    if parts["train"] and parts["evaluation"] and len(texts) == sum(map(len, parts.values())):
        return parts["train"], parts["evaluation"]
    return texts, None


def _lines(listing: Listing, texts: dict[str, str]) -> Lines:
    from edgepipe.data.lines import Lines

    names = sorted(texts)
    hashes = [listing.hashes[name] for name in names]
    return Lines(names, [texts[name] for name in names], hashes, lambda row: listing.read(names[row]))
