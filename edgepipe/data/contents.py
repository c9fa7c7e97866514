"""What lies at a place, by name alone: nothing is read but the list of a .zip."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from edgepipe.base.files import is_file, is_folder
from edgepipe.contract.guess import Contents
from edgepipe.data.listing import CLUTTER, MOST_FOLDERS, is_hidden, normal_name
from edgepipe.errors import DataError

MOST_NAMES = 200_000
"""Files of a place that are looked at: enough to tell what it holds."""


def contents_of(root: Path, where: str) -> Contents:
    """The names at a place.

    Args:
        where: what names it, for messages.
    Raises:
        DataError: nothing is there, or it cannot be listed.
    """
    if is_folder(root, where):
        return Contents(root, sorted(_of_folder(root, where)))
    if not is_file(root, where):
        raise DataError(f"{where}: {root}: nothing is there: name a folder, a .zip or a file")
    if root.suffix.lower() != ".zip":
        return Contents(root, [root.name])
    try:
        with zipfile.ZipFile(root) as archive:
            names = [normal_name(member) for member in archive.infolist()[:MOST_NAMES]]
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(f"{where}: {root}: damaged archive ({error}): download it again") from error
    return Contents(root, sorted(name for name in names if name and not name.endswith("/") and _counts(name)))


def _of_folder(root: Path, where: str) -> list[str]:
    found: list[str] = []
    try:
        for folder, folders, files in os.walk(root, onerror=_raise):
            inside = Path(folder).relative_to(root)
            if len(inside.parts) >= MOST_FOLDERS:
                folders.clear()
            folders[:] = sorted(name for name in folders if not is_hidden(name))
            found += [(inside / name).as_posix() for name in files if _counts(name)]
            if len(found) >= MOST_NAMES:
                return found[:MOST_NAMES]
    except OSError as error:
        raise DataError(f"{where}: {root}: {error.strerror or error}: make it readable") from error
    return found


def _counts(name: str) -> bool:
    return not is_hidden(name) and name.rpartition("/")[2].lower() not in CLUTTER


def _raise(error: OSError) -> None:
    raise error
