"""Tables of segments."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.data.segments import Segment, labels_of, read_segments
from edgepipe.errors import DataError

FILES = {"a.wav": "", "in/b.wav": ""}


def test_a_table_may_have_its_columns_in_any_order_and_no_labels() -> None:
    found = read_segments("t", b"label,end,start,file\nx,2,1.5,a.wav\n", "", FILES)
    assert found == {"a.wav": [Segment(1.5, 2.0, "x")]}
    found = read_segments("t", b"\xef\xbb\xbffile\tstart\tend\nb.wav\t0\t1\n", "in", FILES)
    assert found == {"in/b.wav": [Segment(0.0, 1.0, "yes")]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"file,start\na.wav,1\n", "no column 'end'"),
        (b"file,start,end\na.wav,one,2\n", "line 2: 'one' are no seconds"),
        (b"file,start,end\na.wav,nan,2\n", "are no seconds"),
        (b"file,start,end\na.wav,3,2\n", "a segment ends behind its start"),
        (b"file,start,end\na.wav,-1,2\n", "ends behind its start"),
        (b"file,start,end\n../a.wav,1,2\n", "leads out of the folder"),
        (b"file,start,end\nc.wav,1,2\n", "no such file"),
        (b"file,start,end\na.wav,1\n", "2 columns, and 3 are wanted"),
        (b"file,start,end,label\na.wav,1,2,none\n", "leave out what is nothing"),
        (b"file,start,end\n", "holds no segment"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_line_that_cannot_be_meant_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_segments("t.csv", content, "", FILES)


def test_a_span_is_what_covers_half_of_it() -> None:
    segments = [Segment(0.0, 1.5, "a"), Segment(2.6, 3.0, "a"), Segment(3.0, 9.0, "b")]
    spans = np.stack([np.arange(5.0), np.arange(5.0) + 1], axis=1)
    assert labels_of(segments, spans, ["none", "a", "b"]).tolist() == [1, 1, 0, 2, 2]
