"""One annotation of PASCAL VOC, read by expat with everything refused by which XML reaches outside or grows.

Source: Everingham et al., The PASCAL Visual Object Classes Challenge 2012 Development Kit, section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat

from edgepipe.base.text import printable
from edgepipe.data.boxes import MOST_BOXES, Annotated
from edgepipe.data.listing import Listing
from edgepipe.errors import DataError

_MOST_BYTES = 8 << 20
_MOST_DEPTH = 32
_MOST_TEXT = 4096
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass
class Voc:
    """What a file says. `labels`: the class of each of `objects`, which are (line, corners, difficult)."""

    file: str
    labels: list[str] = field(default_factory=list)
    objects: list[tuple[int, tuple[float, ...], bool]] = field(default_factory=list)
    size: tuple[int, int] | None = None

    def annotated(self, numbers: Mapping[str, int]) -> Annotated:
        """With classes as numbers; boxes of classes that have none are left out."""
        found = Annotated(self.file, size=self.size)
        for label, (line, corners, difficult) in zip(self.labels, self.objects, strict=True):
            if label in numbers:
                found.add(f"{printable(self.file)}: line {line}", corners, numbers[label], difficult)
        return found


def read_voc(file: str, listing: Listing) -> Voc:
    """Read one.

    Raises:
        DataError: it is no XML, or has a document type, or an object lacks what it must have; names the line.
    """
    reader = _Reader(file)
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.EntityDeclHandler = reader.doctype
    reader.line = lambda: parser.CurrentLineNumber
    try:
        parser.Parse(listing.other(file, _MOST_BYTES), True)
    except expat.ExpatError as error:
        raise DataError(f"{printable(file)}: no readable XML ({error}): write it again, or remove it") from None
    if reader.root != "annotation":
        raise DataError(f"{printable(file)}: its root is <{printable(reader.root[:40])}>, and VOC's is <annotation>")
    return reader.found


class _Reader:
    """Takes what stands at the places that VOC defines, and passes over all else (parts, poses, owners)."""

    def __init__(self, file: str) -> None:
        self.file, self.found = file, Voc(file)
        self.root = ""
        self.path: list[str] = []
        self.values: dict[str, str] = {}
        self.opened = 0
        self.line: Callable[[], int] = int

    def doctype(self, *_what: object) -> NoReturn:
        raise DataError(
            f"{printable(self.file)}: line {self.line()}: it declares a document type or an entity, which annotations "
            "need not: refused; remove the declaration"
        )

    def start(self, name: str, _attributes: object) -> None:
        if not self.path:
            self.root = name
        self.path.append(name)
        if len(self.path) > _MOST_DEPTH:
            raise DataError(
                f"{printable(self.file)}: line {self.line()}: more than {_MOST_DEPTH} elements deep: refused"
            )
        if self.path[1:] in (["object"], ["size"]):
            self.values, self.opened = {}, self.line()

    def text(self, text: str) -> None:
        key = "/".join(self.path[2:])
        if len(self.path) > 2 and self.path[1] in ("object", "size"):
            self.values[key] = (self.values.get(key, "") + text)[:_MOST_TEXT]

    def end(self, _name: str) -> None:
        if self.path[1:] == ["object"]:
            self._object()
        elif self.path[1:] == ["size"]:
            width, height = (int(self._number(key, "0")) for key in ("width", "height"))
            self.found.size = (width, height) if width > 0 and height > 0 else None  # some tools write 0
        self.path.pop()

    def _object(self) -> None:
        label = self.values.get("name", "").strip()
        if not label:
            raise DataError(f"{printable(self.file)}: line {self.opened}: <object> has no <name>: give it its class")
        if len(self.found.objects) >= MOST_BOXES:
            raise DataError(f"{printable(self.file)}: more than {MOST_BOXES:,} objects: refused")
        corners = tuple(self._number(f"bndbox/{key}", None) for key in _CORNERS)
        self.found.labels.append(label)
        self.found.objects.append((self.opened, corners, self._number("difficult", "0") != 0))

    def _number(self, key: str, default: str | None) -> float:
        text = self.values.get(key, "").strip() or default
        place = f"{printable(self.file)}: line {self.opened}: <{'>, <'.join(key.split('/'))}>"
        if text is None:
            raise DataError(f"{place} is missing: give the box its four corners, or remove the object")
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not abs(value) < 1e7:
            raise DataError(f"{place} is {printable(text[:40])!r}, and a number is wanted")
        return value
