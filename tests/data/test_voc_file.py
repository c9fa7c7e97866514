"""XML is untrusted: no entities, no documents types, bounded; what lacks is named with its line."""

from __future__ import annotations

import pytest

from edgepipe.data.listing import Listing
from edgepipe.data.voc_file import Voc, read_voc
from edgepipe.errors import DataError

BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40.5</ymax></bndbox>"


def read(text: str | bytes) -> Voc:
    raw = text.encode() if isinstance(text, str) else text
    return read_voc("a/1.xml", Listing({}, set(), lambda _name: raw, others=("a/1.xml",)))


def test_objects_are_read_wherever_they_stand_and_parts_are_no_objects() -> None:
    part = f"<part><name>head</name>{BOX.replace('30', '3')}</part>"
    found = read(
        f"<annotation><object>\n<bndbox><ymax>40.5</ymax><xmax>30</xmax><ymin>2</ymin><xmin>1</xmin></bndbox>{part}"
        "<name> cat &amp; dog </name><difficult>1</difficult></object><size><width>0</width></size>"
        f"<object><name>b</name>{BOX}</object></annotation>"
    )
    assert found.labels == ["cat & dog", "b"] and found.size is None
    assert [each[1:] for each in found.objects] == [((1, 2, 30, 40.5), True), ((1, 2, 30, 40.5), False)]
    item = found.annotated({"b": 0})
    assert item.boxes == [(1, 2, 30, 40.5, 0, 0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>", r"a/1.xml: no readable XML \(no element found"),
        ("", "no readable XML"),
        (b"\xff\xfe\x00", "no readable XML"),
        ("<html/>", "its root is <html>"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><annotation>&x;</annotation>', "line 1: it declares a document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>', "it declares a document type"),
        ("<annotation>&x;</annotation>", "no readable XML"),
        (f"<annotation>\n<object>{BOX}</object></annotation>", "line 2: <object> has no <name>"),
        ("<annotation>\n\n<object><name>a</name></object></annotation>", "line 3: <bndbox>, <xmin> is missing"),
        (
            f"<annotation><object><name>a</name>{BOX.replace('30', 'x')}</object></annotation>",
            "<xmax> is 'x', and",
        ),
        (f"<annotation><object><name>a</name>{BOX.replace('30', 'inf')}</object></annotation>", "a number is wanted"),
        ("<annotation>" + "<a>" * 50 + "</a>" * 50 + "</annotation>", "more than 32 elements deep"),
        ("<annotation>" + f"<object><name>a</name>{BOX}</object>" * 5001 + "</annotation>", "more than 5,000 objects"),
        (b"<annotation>" + b" " * (9 << 20), "more than 8,388,608"),
    ],
)
def test_what_is_hostile_or_lacks_is_refused_in_words(text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(text)
