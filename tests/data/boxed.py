"""Drawn rectangles with boxes, written as VOC, YOLO and COCO want them."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

import numpy as np
from PIL import Image

CLASSES = ("disc", "bar")


@dataclass(frozen=True)
class Drawn:
    """A picture and its boxes: x1, y1, x2, y2, class."""

    name: str
    raw: bytes
    size: tuple[int, int]
    boxes: list[tuple[int, int, int, int, int]]


def drawn(seed: int, name: str, size: tuple[int, int] = (48, 32), most: int = 3) -> Drawn:
    """A grey picture with up to `most` rectangles: bright squares are class 0, dark bars class 1."""
    draw = np.random.default_rng(seed)
    width, height = size
    pixels = draw.integers(100, 140, (height, width, 3), np.uint8)
    boxes = []
    for _ in range(int(draw.integers(0, most + 1)) if most > 1 else most):
        label = int(draw.integers(0, 2))
        wide, high = (int(draw.integers(8, 13)),) * 2 if label == 0 else (16, 6)
        x, y = int(draw.integers(0, width - wide)), int(draw.integers(0, height - high))
        pixels[y : y + high, x : x + wide] = 235 if label == 0 else 20
        boxes.append((x, y, x + wide, y + high, label))
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return Drawn(name, stream.getvalue(), size, boxes)


def scenes(split: str, count: int, size: tuple[int, int] = (48, 32)) -> list[Drawn]:
    """Pictures of a split; the last one has no box."""
    start = sum(map(ord, split)) * 1000
    found = [drawn(start + row, f"{split}_{row:03}", size) for row in range(count - 1)]
    return [*found, drawn(start + count, f"{split}_{count - 1:03}", size, most=0)]


def xml(picture: Drawn, more: str = "") -> bytes:
    width, height = picture.size
    objects = "".join(
        f"<object><name>{CLASSES[label]}</name><difficult>0</difficult><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>\n"
        for x1, y1, x2, y2, label in picture.boxes
    )
    return (
        f"<annotation>\n<filename>{picture.name}.png</filename><size><width>{width}</width><height>{height}</height>"
        f"<depth>3</depth></size>\n{objects}{more}</annotation>"
    ).encode()


def voc(splits: dict[str, list[Drawn]]) -> dict[str, bytes]:
    """`SPLIT/images/NAME.png`, `SPLIT/annotations/NAME.xml`."""
    files = {}
    for split, pictures in splits.items():
        for one in pictures:
            files[f"{split}/images/{one.name}.png"] = one.raw
            files[f"{split}/annotations/{one.name}.xml"] = xml(one)
    return files


def yolo(splits: dict[str, list[Drawn]]) -> dict[str, bytes]:
    """`images/SPLIT`, `labels/SPLIT` and data.yaml; a picture without boxes has no text file."""
    lines = [f"{split}: images/{split}" for split in splits]
    files = {"data.yaml": "\n".join(["path: /somewhere/else", *lines, "names: {0: disc, 1: bar}"]).encode()}
    for split, pictures in splits.items():
        for one in pictures:
            width, height = one.size
            files[f"images/{split}/{one.name}.png"] = one.raw
            rows = [
                f"{label} {(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} {(x2 - x1) / width} {(y2 - y1) / height}"
                for x1, y1, x2, y2, label in one.boxes
            ]
            if rows:
                files[f"labels/{split}/{one.name}.txt"] = "\n".join(rows).encode()
    return files


def instances(pictures: list[Drawn]) -> dict[str, object]:
    """COCO's content of one split; categories are 7 and 3, so that their order is not that of the list."""
    images = [
        {"id": 10 + row, "file_name": f"{one.name}.png", "width": one.size[0], "height": one.size[1]}
        for row, one in enumerate(pictures)
    ]
    boxes = [(10 + row, box) for row, one in enumerate(pictures) for box in one.boxes]
    annotations = [
        {"id": n, "image_id": image, "category_id": (3, 7)[label], "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 0}
        for n, (image, (x1, y1, x2, y2, label)) in enumerate(boxes)
    ]
    categories = [{"id": 7, "name": "bar"}, {"id": 3, "name": "disc"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def coco(splits: dict[str, list[Drawn]]) -> dict[str, bytes]:
    """`annotations/instances_SPLIT2017.json` and `SPLIT2017/NAME.png`."""
    files = {}
    for split, pictures in splits.items():
        files[f"annotations/instances_{split}2017.json"] = json.dumps(instances(pictures)).encode()
        files |= {f"{split}2017/{one.name}.png": one.raw for one in pictures}
    files["annotations/captions_val2017.json"] = b"{}"
    return files
