"""The files of a data set of the YOLO family: names and splits in YAML, boxes in text."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from edgepipe.base.text import printable
from edgepipe.data.beside import by_stem, nearest
from edgepipe.data.boxes import Annotated
from edgepipe.data.listing import Listing
from edgepipe.data.split_names import Chosen, choose, split_of
from edgepipe.errors import DataError

_MOST_BYTES = 1 << 20
_MOST_LIST = 64 << 20
_SLACK = 0.02
"""How far a box may reach out of its picture: tools round."""
_KEYS = ("train", "val", "test")


class Described(NamedTuple):
    """A YAML file by its path, and what it says."""

    file: str
    content: Mapping[str, Any]


def described(where: str, listing: Listing, asked: str | None) -> Described | None:
    """The YAML file; None: there is none.

    Raises:
        DataError: it cannot be read, or which one is meant cannot be told.
    """
    files = [name for name in listing.others if name.lower().endswith((".yaml", ".yml"))]
    if asked is not None:
        if asked not in files:
            raise DataError(f"{where}: data.yaml={printable(asked)}: no such file in it; there are: {_shown(files)}")
        return Described(asked, _read(listing, asked))
    found = [Described(name, content) for name in files if "names" in (content := _read(listing, name))]
    if len(found) > 1:
        shown = _shown([each.file for each in found])
        raise DataError(f"{where}: several YAML files have `names` ({shown}): say which, data.yaml={found[0].file}")
    return found[0] if found else None


def _read(listing: Listing, name: str) -> Mapping[str, Any]:
    text = listing.other(name, _MOST_BYTES).decode("utf-8", "replace")
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DataError(f"{printable(name)}: no readable YAML: {str(error).splitlines()[0]}") from None
    return content if isinstance(content, Mapping) else {}


def classes_of(where: str, listing: Listing, about: Described | None) -> tuple[str, ...]:
    """Names of classes, from the YAML file or `classes.txt`.

    Raises:
        DataError: there are none, or they are no list of words.
    """
    if about is not None:
        names = about.content.get("names")
        if isinstance(names, Mapping) and all(isinstance(key, int) for key in names):
            if sorted(names) != list(range(len(names))):
                raise DataError(
                    f"{printable(about.file)}: names: keys are {sorted(names)[:5]}, and 0, 1, ... are wanted"
                )
            names = [names[key] for key in sorted(names)]
        if not isinstance(names, list) or not names or not all(isinstance(name, (str, int, float)) for name in names):
            raise DataError(f"{printable(about.file)}: names: a list of class names is wanted, or a map of 0, 1, ...")
        return tuple(str(name)[:200] for name in names)
    files = [name for name in listing.others if name.rpartition("/")[2] in ("classes.txt", "obj.names")]
    if len(files) != 1:
        raise DataError(
            f"{where}: no YAML file with `names` and no classes.txt: add one, or say them, data.classes=[cat,dog]"
        )
    lines = listing.other(files[0], _MOST_BYTES).decode("utf-8", "replace").splitlines()
    return tuple(line.strip()[:200] for line in lines if line.strip())


def pictures_of(
    where: str, listing: Listing, about: Described | None, train: tuple[str, ...], evaluation: tuple[str, ...]
) -> Chosen:
    """Pictures of each split, by the YAML file where it names folders or lists, else by the names of folders.

    Raises:
        DataError: a named split is not there, or has no pictures.
    """
    if not listing.hashes:
        raise DataError(f"{where}: no pictures in it (.jpg, .png, ...)")
    keys = {key: about.content[key] for key in (*_KEYS, *train, *evaluation) if about and about.content.get(key)}
    if about is not None and keys:
        splits: dict[str, str | None] = {}
        for key, value in keys.items():
            for name in _named(listing, about, key, value):
                if splits.setdefault(name, key) != key:
                    raise DataError(
                        f"{printable(about.file)}: {printable(name)} is in `{splits[name]}` and in `{key}`: pictures "
                        "that were trained on cannot judge; take it out of one"
                    )
        return choose(where, splits, train, evaluation)
    asked = (*train, *evaluation)
    return choose(where, {name: split_of(name, asked) for name in listing.hashes}, train, evaluation)


def _named(listing: Listing, about: Described, key: str, value: Any) -> list[str]:
    """Pictures that a key of the YAML file names: folders, or lists of paths, often as of the author's machine."""
    found: list[str] = []
    for text in value if isinstance(value, list) else [value]:
        if not isinstance(text, str):
            raise DataError(f"{printable(about.file)}: {key}: a folder or a list of pictures is wanted, found {text!r}")
        mine = _of_folder(listing, about, text) if not text.endswith(".txt") else _of_list(listing, about, text)
        if not mine:
            raise DataError(
                f"{printable(about.file)}: {key}: {printable(text)} has no pictures in data.root: correct it, or take "
                "the key out, then splits are found by the names of folders"
            )
        found += mine
    return found


def _places(about: Described, text: str) -> list[str]:
    """Where a path of the YAML file may lie in the root, likeliest first."""
    home, base = posixpath.dirname(about.file), str(about.content.get("path") or "")
    words = text.replace("\\", "/")
    able = [posixpath.join(home, words), posixpath.join(home, base, words), words]
    parts = [part for part in words.split("/") if part not in ("", ".", "..")]
    able += ["/".join(parts[start:]) for start in range(len(parts))]
    return [posixpath.normpath(each).removeprefix("./") for each in able]


def _of_folder(listing: Listing, about: Described, text: str) -> list[str]:
    for place in _places(about, text):
        start = "" if place == "." else f"{place}/"
        if found := [name for name in listing.hashes if name.startswith(start)]:
            return found
    return []


def _of_list(listing: Listing, about: Described, text: str) -> list[str]:
    file = next((place for place in _places(about, text) if place in listing.others), None)
    if file is None:
        return []
    found = []
    ends = {name: name for name in listing.hashes}
    for number, line in enumerate(listing.other(file, _MOST_LIST).decode("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        picture = next(
            (place for place in _places(Described(file, about.content), line.strip()) if place in ends), None
        )
        if picture is None:
            raise DataError(f"{printable(file)}: line {number}: {printable(line[:200])}: no such picture in data.root")
        found.append(picture)
    return found


def labelled(where: str, listing: Listing, names: Sequence[str], classes: int) -> dict[str, Annotated]:
    """Each picture with the boxes of its text file.

    Raises:
        DataError: a line is none of this form; names file and line.
    """
    stems = by_stem(name for name in listing.others if name.lower().endswith(".txt"))
    found = {}
    for name in names:
        stem = name.rpartition("/")[2].rpartition(".")[0]
        able = [file for file in stems.get(stem, []) if _is_of(file, name)]
        file = nearest(name, able, where)
        found[name] = Annotated(name, shares=True) if file is None else _boxes(listing, file, classes)
    return found


def _is_of(file: str, picture: str) -> bool:
    """`labels` stands where the picture has `images`, or both lie in one folder."""
    a, b = file.split("/")[:-1], picture.split("/")[:-1]
    images = [at for at, part in enumerate(b) if part == "images"]
    swapped = [[*b[:at], "labels", *b[at + 1 :]] for at in images]
    return a == b or a in swapped


def _boxes(listing: Listing, file: str, classes: int) -> Annotated:
    found = Annotated(file, shares=True)
    for number, line in enumerate(listing.other(file, _MOST_BYTES).decode("utf-8", "replace").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        place = f"{printable(file)}: line {number}"
        try:
            label, values = int(float(words[0])), [float(word) for word in words[1:]]
        except (ValueError, OverflowError):
            raise DataError(f"{place}: {printable(line[:80])!r}: numbers are wanted, `class cx cy w h`") from None
        if not 0 <= label < classes or label != float(words[0]):
            raise DataError(f"{place}: class {printable(words[0][:20])}, and there are {classes}, 0 to {classes - 1}")
        if len(values) == 4:
            cx, cy, width, height = values
            corners = [cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2]
        elif len(values) >= 6 and len(values) % 2 == 0:
            corners = [min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])]
        else:
            raise DataError(f"{place}: {len(words)} numbers; `class cx cy w h` are wanted, or a polygon")
        if not all(-_SLACK <= value <= 1 + _SLACK for value in corners):
            raise DataError(
                f"{place}: a box from {corners[0]:.4g},{corners[1]:.4g} to {corners[2]:.4g},{corners[3]:.4g} reaches "
                "out of its picture: numbers are shares of its sides, 0 to 1"
            )
        found.add(place, corners, label, ignored=False)
    return found


def _shown(names: Sequence[str]) -> str:
    return ", ".join(printable(name) for name in names[:5]) or "none"
