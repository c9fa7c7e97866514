"""The picture of edgepipe's rooms, from the layers that `pyproject.toml` states."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "explanation" / "rooms.svg"
_HEIGHT, _GAP, _WIDTH, _EDGE = 30, 8, 640, 10


def layers() -> list[list[str]]:
    """Rooms from the highest down; those of one layer know nothing of each other."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^containers = \["edgepipe"\]\n.*?^layers = \[\n(.*?)^\]', text, re.MULTILINE | re.DOTALL)
    assert found, "pyproject.toml: the layers of edgepipe are gone"
    return [line.split(" | ") for line in re.findall(r'"(.*?)"', found[1])]


def picture() -> str:
    """Boxes, one above what it may import; colours follow the reader's scheme."""
    rows = layers()
    height = 2 * _EDGE + len(rows) * (_HEIGHT + _GAP) - _GAP
    boxes = []
    for at, rooms in enumerate(rows):
        width = (_WIDTH - 2 * _EDGE - (len(rooms) - 1) * _GAP) / len(rooms)
        for place, room in enumerate(rooms):
            x, y = _EDGE + place * (width + _GAP), _EDGE + at * (_HEIGHT + _GAP)
            boxes += [
                f'<rect x="{x:g}" y="{y}" width="{width:g}" height="{_HEIGHT}" rx="5"/>',
                f'<text x="{x + width / 2:g}" y="{y + 20}">{room}</text>',
            ]
    style = (
        "rect{fill:#e8eef7;stroke:#2563a8}text{font:14px sans-serif;text-anchor:middle;fill:#1b1f24}"
        "@media(prefers-color-scheme:dark){rect{fill:#1d2a3a;stroke:#7aa7d9}text{fill:#e6edf3}}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="Rooms">'
    return "\n".join([head, f"<style>{style}</style>", *boxes, "</svg>"]) + "\n"
