"""Lines of text in folders and archives: which file says what, and what the network is given."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgepipe.contract import Split
from edgepipe.data.text_lines import TextLinesData
from edgepipe.errors import DataError
from tests.data.drawing import pack, write


def line(seed: int, width: int = 60, height: int = 24) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def lines(folder: str, count: int, first: int = 0) -> dict[str, bytes]:
    return {f"{folder}{number}.png": line(number) for number in range(first, first + count)}


EACH = {"calibration_size": 2, "height": 12, "width": 40, "workers": 0}


def texts(root: Path, split: Split, **settings) -> list[str]:
    found = TextLinesData(root=root, **{**EACH, **settings}).open(root.parent / "cache").labels(split)
    assert found is not None
    return sorted(found.tolist())


def listed(names: dict[str, bytes], between: str = "\t") -> bytes:
    return "".join(f"{name}{between}say {Path(name).stem}\n" for name in names).encode()


@pytest.mark.parametrize("packed", [False, True])
def test_paddles_lists_say_the_splits(packed: bool, tmp_path: Path) -> None:
    train, test = lines("train/", 5), lines("test/", 3, 10)
    files = {**train, **test, "rec_gt_train.txt": listed(train), "rec_gt_test.txt": listed(test)}
    root = pack(tmp_path / "lines.zip", files) if packed else write(tmp_path / "lines", files)
    assert texts(root, Split.EVALUATION) == ["say 10", "say 11", "say 12"]
    assert len(texts(root, Split.TRAIN)) == 5


def test_a_csv_with_heads_in_each_folder_says_the_splits(tmp_path: Path) -> None:
    train, test = lines("train/", 5), lines("val/", 3, 10)
    files = {
        **train,
        **test,
        "train/labels.csv": b"id,text,file_name\n" + b"".join(f'{n},"say, {n}",{n}.png\n'.encode() for n in range(5)),
        "val/labels.csv": b"file,text\n10.png,x\n11.png,y\n12.png,z\n",
    }
    root = write(tmp_path / "lines", files)
    assert texts(root, Split.EVALUATION) == ["x", "y", "z"]
    assert texts(root, Split.TRAIN)[0] == "say, 0"


def test_one_list_is_split_by_content_and_what_has_no_text_is_told(tmp_path: Path) -> None:
    every = lines("", 12)
    root = write(
        tmp_path / "lines",
        {**every, "copy.png": every["0.png"], "lone.png": line(99), "labels.txt": listed({**every, "copy.png": b""})},
    )
    data = TextLinesData(root=root, evaluation_share=0.5, **EACH).open(tmp_path)
    names = [set(data.names(split)) for split in (Split.TRAIN, Split.EVALUATION)]  # type: ignore[attr-defined]
    assert not names[0] & names[1] and len(names[0] | names[1]) == 13
    assert any({"0.png", "copy.png"} <= some for some in names)
    assert data.notes == ("data.root: 1 picture left out, of which no text is said",)  # type: ignore[attr-defined]


def test_a_text_may_lie_beside_each_picture_in_folders_of_splits(tmp_path: Path) -> None:
    files = {**lines("train/", 4), **lines("test/", 2, 10)}
    files |= {f"{Path(name).with_suffix('.txt')}": f"say {Path(name).stem}\n".encode() for name in files}
    root = write(tmp_path / "lines", files)
    assert texts(root, Split.EVALUATION) == ["say 10", "say 11"]
    assert len(texts(root, Split.TRAIN)) == 4


def test_lines_keep_their_proportions_and_what_is_free_is_0(tmp_path: Path) -> None:
    files = {"short.png": line(1, 30, 24), "long.png": line(2, 200, 24), "a.png": line(3), "b.png": line(4)}
    root = write(
        tmp_path / "l", {**files, "train.tsv": b"a.png\ta\nb.png\tb\n", "test.tsv": b"short.png\ts\nlong.png\tl\n"}
    )
    found = {}
    for longer in ("keep", "squeeze"):
        data = TextLinesData(root=root, longer=longer, **EACH).open(tmp_path)
        for batch in data.batches(Split.EVALUATION, 1):
            assert batch.labels is not None
            found[longer, batch.labels[0]] = batch.only
    assert found["keep", "s"].shape == found["squeeze", "s"].shape == (1, 3, 12, 40)
    assert found["keep", "l"].shape == (1, 3, 12, 128)  # 100 pixels, up to a multiple of 32
    assert found["squeeze", "l"].shape == (1, 3, 12, 40)
    short = found["keep", "s"]
    assert (short[..., 15:] == 0).all() and (short[..., :15] != 0).any()
    pixels = Image.open(io.BytesIO(files["short.png"])).resize((15, 12), Image.Resampling.BILINEAR)
    wanted = (np.asarray(pixels)[..., ::-1] / 255 - 0.5) / 0.5
    np.testing.assert_allclose(short[0, :, :, :15], wanted.transpose(2, 0, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (b"../x.png\tx\n", r"line 1: \.\./x\.png leads out of the folder"),
        (b"/etc/x.png\tx\n", "leads out of the folder"),
        (b"0.png\tx\nnone.png\ty\n", r"line 2: none\.png: no such file"),
        (b"0.png\tx\n0.png\ty\n", r"line 2: 0\.png has another text before"),
        (b"0.png x\n", "no tab between file and text: 0.png x"),
        (b"\xff\xfe0.png\tx", "not UTF-8 text"),
        (b"\n", "holds no line"),
        (b"0.png\t" + b"x" * 10_001, "a text of 10,001 letters is no line"),
        (b"file,words_\n0.png,x\n", "no column of texts in file, words_"),
        (b"0.png,x\n1.png\n", "1 columns, and file and text are wanted"),
        (b'0.png,"x\n' + b"y" * 200_000, "(not readable as CSV|letters is no line)"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused_by_its_line(label: bytes, message: str, tmp_path: Path) -> None:
    root = write(tmp_path / "lines", {**lines("", 3), "labels.txt": label})
    with pytest.raises(DataError, match=rf"data\.root=.*labels\.txt: .*{message}"):
        TextLinesData(root=root, **EACH).open(tmp_path)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    root = write(tmp_path / "lines", lines("", 3))
    with pytest.raises(DataError, match="nothing says the texts: add labels"):
        TextLinesData(root=root, **EACH).open(tmp_path)
    with pytest.raises(DataError, match=r"data\.train=mine\.csv: no such file"):
        TextLinesData(root=root, train="mine.csv", **EACH).open(tmp_path)
    write(root, {"labels.txt": listed(lines("", 3))})
    with pytest.raises(DataError, match=r"data\.calibration_size=50, but there are 2 lines"):
        TextLinesData(root=root, **{**EACH, "calibration_size": 50}).open(tmp_path)


def test_the_same_line_in_both_splits_is_refused_or_dropped(tmp_path: Path) -> None:
    files = {**lines("", 4), "same.png": line(0)}
    files |= {"train.txt": listed(lines("", 4)), "test.txt": b"same.png\tsay 0\n"}
    root = write(tmp_path / "lines", files)
    with pytest.raises(DataError, match=r"in evaluation too .* 0\.png = same\.png"):
        TextLinesData(root=root, **EACH).open(tmp_path)
    assert texts(root, Split.TRAIN, on_overlap="drop") == ["say 1", "say 2", "say 3"]
