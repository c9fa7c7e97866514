"""Every built-in source of data keeps its contract, and the kit says of a broken one what is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from edgepipe.contract import Batch, Dataset, DataSource, Signature, Split, Tensor
from edgepipe.data import cifar10
from edgepipe.data.audio_folder import AudioFolderData
from edgepipe.data.cifar10 import Cifar10Data
from edgepipe.data.digits import DigitsData
from edgepipe.data.drawn_pages import DrawnPagesData
from edgepipe.data.drawn_shapes import ShapesData
from edgepipe.data.drawn_sound import DrawnSoundData
from edgepipe.data.drawn_text import DrawnTextData
from edgepipe.data.image_folder import ImageFolderData
from edgepipe.data.image_pairs import ImagePairsData
from edgepipe.data.mask_folder import MaskFolderData
from edgepipe.data.npz import NpzData
from edgepipe.data.python_texts import PythonTextsData
from edgepipe.data.text import TextData
from edgepipe.data.text_lines import TextLinesData
from edgepipe.plugins import NOUNS
from edgepipe.testing import Broken, check_data
from edgepipe.testing.toys import ToyData
from tests.data import boxed
from tests.data.drawing import tree, write
from tests.data.loaders import loaded
from tests.data.test_audio_folder import recordings
from tests.data.test_boxes import KINDS
from tests.data.test_cifar10 import RECORDS, write_binary
from tests.data.test_image_pairs import folder as pairs_folder
from tests.data.test_mask_folder import folder as masks_folder
from tests.data.test_parquet import rows_source
from tests.data.test_text_lines import EACH, lines, listed
from tests.data.texts import jsonl, letters, sentences, tokenizer
from tests.small import npz

_EACH = {"image_size": 8, "workers": 0, "calibration_size": 5}


def _npz(folder: Path) -> DataSource:
    return NpzData(evaluation=npz(folder / "e.npz", 12, 1), train=npz(folder / "t.npz", 14, 2), calibration_size=5)


def _npz_changed(folder: Path) -> DataSource:
    return NpzData(evaluation=npz(folder / "o.npz", 12, 3), train=folder / "t.npz", calibration_size=5)


def _folder(folder: Path) -> DataSource:
    splits = {"train": {"ant": 7, "bee": 6}, "test": {"ant": 4, "bee": 5}}
    return ImageFolderData(root=write(folder / "pictures", tree(splits)), **_EACH)


def _cifar10(folder: Path) -> DataSource:
    return Cifar10Data(root=write_binary(folder / "cifar"), **_EACH)


def _masks(folder: Path, seed: int) -> DataSource:
    return MaskFolderData(root=masks_folder(folder, seed=seed), **_EACH)


def _text(folder: Path, number: int = 0) -> DataSource:
    rows = sentences(40)
    rows[30]["text"] += " not" * number
    files = {
        name: jsonl(folder / f"{name}{number}.jsonl", part)
        for name, part in (("train", rows[:24]), ("evaluation", rows[24:]))
    }
    return TextData(tokenizer=tokenizer(folder), label="label", calibration_size=5, **files)


def _python_texts(folder: Path) -> DataSource:
    return PythonTextsData(tokenizer=letters(folder), max_length=900, evaluation_size=2000, calibration_size=9)


def _audio_folder(folder: Path) -> DataSource:
    root = write(folder / "sounds", recordings({"train": 5, "test": 4}))
    return AudioFolderData(root=root, sample_rate=8000, samples=600, calibration_size=4)


def _drawn_sound(seed: int) -> DataSource:
    return DrawnSoundData(seed=seed, samples=500, evaluation_size=12, train_size=10, calibration_size=4)


def _drawn_text(seed: int) -> DataSource:
    sizes = {"evaluation_size": 9, "train_size": 8, "calibration_size": 4}
    return DrawnTextData(seed=seed, height=8, longer="squeeze", workers=0, **sizes)


def _drawn_pages(seed: int) -> DataSource:
    sizes = {"evaluation_size": 6, "train_size": 6, "calibration_size": 4}
    return DrawnPagesData(seed=seed, image_size=64, workers=0, **sizes)


def _text_lines(folder: Path) -> DataSource:
    every = lines("", 20)
    root = write(folder / "lines", {**every, "labels.txt": listed(every)})
    return TextLinesData(root=root, evaluation_share=0.4, longer="squeeze", **EACH)


def _boxes(kind: str, folder: Path, drawn: str) -> DataSource:
    source, files = KINDS[kind]
    content = files({"train": boxed.scenes(drawn, 9), "val": boxed.scenes(f"{drawn}_val", 6)})
    return source.model_validate({"root": write(folder, content), **_EACH, "image_size": 32})


def _shapes(seed: int, labels: Literal["masks", "boxes"] = "masks") -> DataSource:
    return ShapesData(labels=labels, seed=seed, train_size=9, evaluation_size=9, **{**_EACH, "image_size": 32})


BUILT_IN: dict[str, tuple[Callable[[Path], DataSource], Callable[[Path], DataSource] | None]] = {
    "cifar10": (_cifar10, None),
    "digits": (lambda _: DigitsData(evaluation_size=1700, **_EACH), None),
    "image_pairs": (
        lambda folder: ImagePairsData(root=pairs_folder(folder / "a"), **_EACH),
        lambda folder: ImagePairsData(root=pairs_folder(folder / "b", seed=1), **_EACH),
    ),
    "image_folder": (_folder, None),
    **{
        kind: (
            lambda folder, kind=kind: _boxes(kind, folder / "one", "train"),
            lambda folder, kind=kind: _boxes(kind, folder / "other", "more"),
        )
        for kind in KINDS
    },
    "mask_folder": (
        lambda folder: _masks(folder / "one", 0),
        lambda folder: _masks(folder / "other", 1),
    ),
    "npz": (_npz, _npz_changed),
    "parquet": (lambda folder: rows_source(folder / "a", 0), lambda folder: rows_source(folder / "b", 1)),
    "python": (lambda _: loaded("plain"), lambda _: loaded("plain", seed=1)),
    "python_texts": (_python_texts, None),
    "drawn_shapes": (lambda _: _shapes(0), lambda _: _shapes(1)),
    "text": (_text, lambda folder: _text(folder, 1)),
    "audio_folder": (_audio_folder, None),
    "drawn_sound": (lambda _: _drawn_sound(0), lambda _: _drawn_sound(1)),
    "drawn_pages": (lambda _: _drawn_pages(0), lambda _: _drawn_pages(1)),
    "drawn_text": (lambda _: _drawn_text(0), lambda _: _drawn_text(1)),
    "text_lines": (_text_lines, None),
}


@pytest.mark.parametrize("name", NOUNS["data"].built_in)
def test_a_built_in_source_keeps_its_contract(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "RECORDS", RECORDS)
    make, change = BUILT_IN[name]
    source = make(tmp_path)
    check_data(source, changed=change(tmp_path) if change else None)


class Toy(DataSource):
    """Noise."""

    made: ClassVar[Callable[[], Dataset]] = ToyData

    def open(self, cache: Path) -> Dataset:  # noqa: ARG002
        return type(self).made()


def source(**methods: Any) -> type[DataSource]:
    """The toy source, its data with other methods."""
    data = type("Data", (ToyData,), methods)
    return type(Toy)("Odd", (Toy,), {"__doc__": "Odd.", "__module__": __name__, "made": data})


def _batches(change: Callable[[Batch, int], Batch]) -> dict[str, Any]:
    def batches(self: Any, split: Split, size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
        yield from (change(batch, size) for batch in ToyData.batches(self, split, size, indices))

    return {"batches": batches}


def _one_order(self: Any, split: Split, size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
    return ToyData.batches(self, split, size, None if indices is None else sorted(indices))


def _all_but_one(self: Any, split: Split, size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
    return ToyData.batches(self, split, size, range(self.count(split) - 1) if indices is None else indices)


_DRAWN = np.random.default_rng(0)


def _shuffled(self: Any, split: Split, size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
    rows = _DRAWN.permutation(self.count(split)) if indices is None else indices
    return ToyData.batches(self, split, size, rows)


def _one_content(self: Any, split: Split) -> Any:
    return ToyData._pictures(self, Split.TRAIN)[: self.count(split)]


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "no evaluation": ({"count": lambda _, split: 0 if split is Split.EVALUATION else 4}, r"Odd\.count: there are no"),
    "a last one that is missing": (
        {"batches": _all_but_one},
        r"Odd\.batches: gives 47 examples of train: count says 48",
    ),
    "one digest": ({"digest": lambda *_: "0" * 64}, r"Odd\.digest: train and calibration hold other examples"),
    "a short digest": ({"digest": lambda *_: "abc"}, r"Odd\.digest: gives 'abc', and a hex SHA-256"),
    "a digest of the moment": ({"digest": lambda *_: _DRAWN.bytes(32).hex()}, r"Odd\.digest: opened twice, train has"),
    "other labels": (
        _batches(lambda batch, _: Batch(batch.inputs, None if batch.labels is None else 1 - batch.labels)),
        r"Odd\.labels: of train are others than those of its batches",
    ),
    "no labels": ({"labels": lambda *_: None}, r"Odd\.\w+: "),
    "shared examples": ({"_pictures": _one_content}, r"Odd\.batches: train and evaluation share 32 examples"),
    "a shuffle": ({"batches": _shuffled}, r"Odd\.batches: gives others twice"),
    "sorted indices": ({"batches": _one_order}, r"Odd\.batches: indices=\[47, 45, 43, 41\]… of train gives other"),
    "a batch's mean": (
        _batches(lambda batch, _: Batch({"input": batch.only - batch.only.mean()}, batch.labels)),
        r"Odd\.batches: examples of train hang on the size of the batch",
    ),
    "another name": (
        _batches(lambda batch, _: Batch({"picture": batch.only}, batch.labels)),
        r"Odd\.batches: gives inputs \['picture'\], and the signature names \['input'\]",
    ),
    "another type": (
        _batches(lambda batch, _: Batch({"input": batch.only.astype("float64")}, batch.labels)),
        r"Odd\.batches: 'input' is float64, not float32 \[3, 16, 16\]",
    ),
    "another shape": (
        _batches(lambda batch, _: Batch({"input": batch.only[:, :1]}, batch.labels)),
        r"Odd\.batches: 'input' is \[48, 1, 16, 16\] for 48 examples",
    ),
    "two at once": (
        {"batches": lambda self, split, size, rows=None: ToyData.batches(self, split, min(size, 2), rows)},
        r"Odd\.batches: batch_size=7 gives batches of \[2, 2",
    ),
    "no inputs": ({"signature": Signature(inputs=())}, r"Odd\.signature: names no inputs"),
    "a free axis": ({"signature": Signature(inputs=(Tensor(name="input", shape=(3, "h")),))}, r"Odd\.batches: 'input'"),
}


def test_the_toy_keeps_its_contract() -> None:
    check_data(Toy)
    free = Signature(inputs=(Tensor(name="input", shape=(3, "height", "width")),))
    check_data(source(signature=free))


@pytest.mark.parametrize("case", CASES)
def test_a_broken_promise_is_told_with_the_method(case: str) -> None:
    methods, said = CASES[case]
    with pytest.raises(Broken, match=said):
        check_data(source(**methods))


def test_a_digest_that_does_not_see_the_content_is_told() -> None:
    class Other(ToyData):
        def _pictures(self, split: Split) -> Any:
            return ToyData._pictures(self, split) + 1

        def digest(self, split: Split) -> str:
            return ToyData().digest(split)

    class Blind(Toy):
        """Blind."""

        made = Other

    with pytest.raises(Broken, match=r"Toy\.digest: another content has the same digest"):
        check_data(Toy, changed=Blind())


def test_what_cannot_be_opened_or_has_no_open_is_told() -> None:
    with pytest.raises(Broken, match=r"NpzData\.open: raised DataError"):
        check_data(NpzData(evaluation=Path("nowhere.npz")))
    with pytest.raises(Broken, match=r"NpzData: has settings that must be given: check an instance"):
        check_data(NpzData)
    with pytest.raises(Broken, match=r"DataSource\.open: is not defined, and every data source has it"):
        check_data(DataSource)  # type: ignore[type-abstract]


@pytest.mark.parametrize("lost", ["signature", "count", "digest", "labels", "batches"])
def test_a_data_set_without_one_of_its_methods_is_told_by_its_name(lost: str) -> None:
    class Half:
        def __getattr__(self, name: str) -> Any:
            if name == lost:
                raise AttributeError(name)
            return getattr(ToyData(), name)

    class Odd(Toy):
        """Odd."""

        made: ClassVar[Callable[[], Any]] = Half

    with pytest.raises(Broken, match=rf"^Half\.{lost}: is not defined, and `Odd\.open` must give"):
        check_data(Odd)
