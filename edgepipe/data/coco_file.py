"""COCO's JSON of instances: images, categories, and boxes as [x, y, width, height].

Source: https://cocodataset.org/#format-data
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgepipe.base.text import printable
from edgepipe.data.beside import nearest
from edgepipe.data.boxes import Annotated, Splits
from edgepipe.data.listing import MOST_BYTES_BESIDE, Listing
from edgepipe.data.split_names import choose, family_of
from edgepipe.errors import DataError

if TYPE_CHECKING:
    from edgepipe.data.coco import CocoData

_OTHERS = ("captions", "keypoints", "panoptic", "stuff", "image_info", "info", "readme", "package")
"""Words in the names of JSON files that lie beside those of instances."""


def splits_of(where: str, listing: Listing, settings: CocoData) -> Splits:
    """Pictures with their boxes, of each split.

    Raises:
        DataError: there is no such JSON, or it is not of this form; names file and key.
    """
    files = [name for name in listing.others if not any(word in name.rpartition("/")[2].lower() for word in _OTHERS)]
    if not files:
        raise DataError(f"{where}: no .json file in it: data=coco wants one of instances for each split")
    asked = (settings.named("train"), settings.named("evaluation"))
    splits = {name: _split(name, {*asked[0], *asked[1]}) for name in files}
    chosen = choose(where, splits, *asked)
    index = _by_base(listing)
    sides: list[dict[str, Annotated]] = []
    categories: dict[int, str] = {}
    for part in (chosen.train, chosen.evaluation):
        side: dict[str, Annotated] = {}
        for file in part:
            content = _read(listing, file)
            _merge(categories, _categories(file, content), file)
            side |= _pictures(where, file, content, index)
        sides.append(side)
    order = [categories[key] for key in sorted(categories)]
    classes = settings.classes or tuple(order)
    if not classes:
        raise DataError(f"{where}: {files[0]}: categories: none, so there is nothing to find")
    if lacking := [name for name in classes if name not in order]:
        raise DataError(
            f"{where}: data.classes: no category is named {lacking[0]!r}; there are: {', '.join(order[:12])}"
        )
    numbers = {key: classes.index(name) for key, name in categories.items() if name in classes}
    for side in sides:
        for item in side.values():
            item.boxes = [(*box[:4], numbers[box[4]], box[5]) for box in item.boxes if box[4] in numbers]
    return Splits(sides[0], sides[1], classes, chosen.notes)


def _split(name: str, asked: set[str]) -> str | None:
    base = name.rpartition("/")[2]
    for part in (name, base, base.rpartition(".")[0], *name.split("/")[:-1]):
        if part in asked:
            return part
    return family_of(base) or next((said for part in reversed(name.split("/")[:-1]) if (said := family_of(part))), None)


def _read(listing: Listing, file: str) -> Mapping[str, Any]:
    try:
        content = json.loads(listing.other(file, MOST_BYTES_BESIDE))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{printable(file)}: no readable JSON ({error}): write it again, or remove it") from None
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in ("images", "categories")):
        raise DataError(
            f"{printable(file)}: not COCO's instances: lists `images`, `annotations` and `categories` are wanted. Name "
            "the files with data.train and data.evaluation where others lie beside them"
        )
    return content


def _entry(
    file: str, key: str, number: int, item: Any, wanted: Mapping[str, type | tuple[type, ...]]
) -> Mapping[str, Any]:
    place = f"{printable(file)}: {key}[{number}]"
    if not isinstance(item, dict):
        raise DataError(f"{place}: a mapping is wanted, found {printable(repr(item)[:60])}")
    for name, kind in wanted.items():
        value = item.get(name)
        if isinstance(value, bool) or not isinstance(value, kind):
            raise DataError(f"{place}.{name}: missing or of another kind: found {printable(repr(value)[:60])}")
    return item


def _categories(file: str, content: Mapping[str, Any]) -> dict[int, str]:
    found: dict[int, str] = {}
    for number, item in enumerate(content["categories"]):
        entry = _entry(file, "categories", number, item, {"id": int, "name": str})
        if entry["id"] in found:
            raise DataError(f"{printable(file)}: categories[{number}].id: {entry['id']} stands twice")
        found[entry["id"]] = str(entry["name"])[:200]
    return found


def _merge(known: dict[int, str], new: Mapping[int, str], file: str) -> None:
    for key, name in new.items():
        if known.setdefault(key, name) != name:
            raise DataError(
                f"{printable(file)}: categories: {key} is {name!r}, and {known[key]!r} in another split: number them "
                "alike"
            )


def _pictures(
    where: str, file: str, content: Mapping[str, Any], index: Mapping[str, list[str]]
) -> dict[str, Annotated]:
    categories = _categories(file, content)
    by_id: dict[int, Annotated] = {}
    found: dict[str, Annotated] = {}
    for number, item in enumerate(content["images"]):
        entry = _entry(file, "images", number, item, {"id": int, "file_name": str})
        if entry["id"] in by_id:
            raise DataError(f"{printable(file)}: images[{number}].id: {entry['id']} stands twice")
        name = _listed(where, file, number, str(entry["file_name"]), index)
        width, height = entry.get("width"), entry.get("height")
        stated = isinstance(width, int) and isinstance(height, int) and min(width, height) > 0
        size = (int(width or 0), int(height or 0)) if stated else None
        by_id[entry["id"]] = found[name] = Annotated(f"{file}: images[{number}]", size=size)
    numbers = (int, float)
    for number, item in enumerate(content.get("annotations") or []):
        entry = _entry(file, "annotations", number, item, {"image_id": int, "category_id": int, "bbox": list})
        place = f"{printable(file)}: annotations[{number}]"
        box = entry["bbox"]
        if len(box) != 4 or any(isinstance(each, bool) or not isinstance(each, numbers) for each in box):
            raise DataError(f"{place}.bbox: [x, y, width, height] is wanted, found {printable(repr(box)[:60])}")
        if entry["category_id"] not in categories:
            raise DataError(f"{place}.category_id: {entry['category_id']} is no category of this file")
        if entry["image_id"] not in by_id:
            raise DataError(f"{place}.image_id: {entry['image_id']} is no image of this file")
        x, y, width, height = box
        ignored = entry.get("iscrowd") in (1, True)
        by_id[entry["image_id"]].add(f"{place}.bbox", [x, y, x + width, y + height], entry["category_id"], ignored)
    return found


def _by_base(listing: Listing) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in sorted(listing.hashes):
        found.setdefault(name.rpartition("/")[2], []).append(name)
    return found


def _listed(where: str, file: str, number: int, said: str, index: Mapping[str, list[str]]) -> str:
    """The picture that a `file_name` means: its path ends in it, nearest to the JSON, or of the JSON's split."""
    path = posixpath.normpath(said.replace("\\", "/")).lstrip("/")
    while path.startswith("../"):
        path = path[3:]
    able = [name for name in index.get(path.rpartition("/")[2], []) if f"/{name}".endswith(f"/{path}")]
    split = family_of(file.rpartition("/")[2])
    if len(able) > 1 and split is not None:
        able = [name for name in able if any(family_of(part) == split for part in name.split("/")[:-1])] or able
    found = nearest(file, able, where)
    if found is None:
        raise DataError(
            f"{printable(file)}: images[{number}].file_name: {printable(said[:200])}: no such picture in data.root"
        )
    return found
