"""Small pictures for the tests: class folders on disk and in archives."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def png(seed: int, size: int = 8, mode: str = "RGB") -> bytes:
    """A PNG of noise; every seed another content."""
    shape = (size, size, 3) if mode == "RGB" else (size, size)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def tree(splits: dict[str, dict[str, int]]) -> dict[str, bytes]:
    """{"train": {"cat": 3}} -> three files; split "" puts the classes right in the root."""
    files: dict[str, bytes] = {}
    for split, classes in splits.items():
        for name, count in classes.items():
            for number in range(count):
                path = "/".join(part for part in (split, name, f"{number:03}.png") if part)
                files[path] = png(len(files))
    return files


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def pack(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path
