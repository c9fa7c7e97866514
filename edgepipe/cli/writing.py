"""A file that the command line names, written."""

from __future__ import annotations

from pathlib import Path

from edgepipe.base.files import write_text
from edgepipe.errors import InputError


def write(path: Path, text: str) -> None:
    """Write a text, its folder made where it is missing.

    Raises:
        InputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
