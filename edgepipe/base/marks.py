"""Folders that edgepipe made carry its mark; a folder that holds anything else is never written into.

So a wrong `hydra.run.dir`, `store.root` or `--out` costs a sentence and not somebody's files.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Literal

from edgepipe.base.files import MOST_RECORD, read_json, read_plain
from edgepipe.errors import InputError

MARK = ".edgepipe"
"""File with one line: what the folder is."""
Kind = Literal["results", "store", "target"]
BESIDE = frozenset({".hydra", ".lock", "edgepipe.log", "multirun.yaml", MARK})
"""What Hydra and a run's own lock and log put into a new folder before it can be looked at."""

_WRITTEN = BESIDE | {"study.db", "study.lock", "trials", "cheap"}
"""What is opened as it is found, not put anew in the place of what was there."""


def check(folder: Path, kind: Kind, key: str, older: Callable[[Path], bool], beside: Collection[str] = ()) -> None:
    """Refuse a folder that is neither new, nor empty, nor made by edgepipe.

    Args:
        key: the setting or option that named the folder.
        older: whether an earlier version, which left no mark, made it.
        beside: names of files that do not count.
    Raises:
        InputError: names what was found there, and the remedy.
    """
    odd = sorted(name for name in _WRITTEN if _leads_away(folder / name))
    if odd:
        raise InputError(
            f"{key}: {folder}: {', '.join(odd)} there is a link, a pipe or a device: what is written to it would land "
            "elsewhere. Name a folder that is new or empty"
        )
    try:
        names = sorted(path.name for path in folder.iterdir() if path.name not in beside and path.name != MARK)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise InputError(f"{key}: {folder}: a file, and no folder. Name a folder that is new or empty") from None
    except OSError:
        return  # what cannot be listed says so when it is written
    if not names or _marked(folder, kind) or older(folder):
        return
    found = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    raise InputError(
        f"{key}: {folder}: holds files that edgepipe did not make ({found}), and what is not its own is never written "
        "over or removed. Name a folder that is new or empty"
    )


def claim(folder: Path, kind: Kind, key: str, older: Callable[[Path], bool], beside: Collection[str] = ()) -> None:
    """Make a folder edgepipe's own: `check` it, make it where it is missing, and leave the mark.

    Raises:
        InputError: as `check`.
        OSError: it cannot be made or written.
    """
    check(folder, kind, key, older, beside)
    folder.mkdir(parents=True, exist_ok=True)
    if not _marked(folder, kind):
        try:
            (folder / MARK).write_text(f"edgepipe {kind}: made by edgepipe, which may replace what it made here\n")
        except OSError:
            if not older(folder):  # one that can only be read still serves
                raise


def _leads_away(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _marked(folder: Path, kind: Kind) -> bool:
    with suppress(OSError, ValueError):
        mark = folder / MARK
        return not mark.is_symlink() and read_plain(mark).startswith(f"edgepipe {kind}:")
    return False


_HOLD = {
    "metrics.json": {"schema_version", "recipe", "passes"},
    "sweep.json": {"schema_version", "runs"},
    "sensitivity.json": {"recipe", "examples", "calibration_examples", "label", "layers", "environment"},
}
"""What edgepipe's own files of these names hold: others use the names as well."""
_SWEPT = {"hydra", "trust_code", "model", "data"}


def ran_here(folder: Path) -> bool:
    """Whether an earlier version's run, sweep, comparison or sensitivity made the folder, by what its files hold."""
    return _swept(folder / "multirun.yaml") or any(_holds(folder / name, keys) for name, keys in _HOLD.items())


def _holds(file: Path, keys: set[str]) -> bool:
    try:
        found = read_json(file)
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and keys <= set(found)


def _swept(file: Path) -> bool:
    """Whether the sweep that Hydra wrote down there was one of recipes; every program with Hydra has such a file."""
    try:
        lines = read_plain(file, MOST_RECORD).splitlines()
    except (OSError, ValueError):
        return False
    return {line.partition(":")[0] for line in lines} >= _SWEPT
