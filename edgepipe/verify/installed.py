"""Where `edgepipe targets install` puts what verification needs: one folder per user."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from edgepipe.base import children
from edgepipe.base.files import swap
from edgepipe.base.marks import check, claim
from edgepipe.base.scratch import owned, take_away
from edgepipe.errors import VerifyError


def installed(name: str) -> Path:
    """Folder of an installed target: `$EDGEPIPE_CACHE`, else `$XDG_CACHE_HOME/edgepipe`, else `~/.cache/edgepipe`."""
    own = os.environ.get("EDGEPIPE_CACHE")
    base = Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgepipe"
    return base.absolute() / name


def run_or_say(command: Sequence[str], what: str) -> str:
    """Run a program to its end and return what it printed.

    Raises:
        VerifyError: it is missing or ended badly; ends with its last words.
    """
    try:
        ended = children.run(command)
    except OSError as error:
        raise VerifyError(f"{what}: {command[0]}: {error.strerror or error}") from None
    if ended.returncode:
        said = [line for line in (ended.stdout + "\n" + ended.stderr).splitlines() if line.strip()]
        raise VerifyError(f"{what}: `{' '.join(command[:3])} ...` ended with {ended.returncode}: {' '.join(said[-3:])}")
    return ended.stdout


def _older(folder: Path) -> bool:
    """Installed by an earlier version, which left no mark."""
    return (folder / "wheels.txt").is_file() or (folder / "node_modules").is_dir()


def install_into(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a new folder and put it in place of the old one; an interrupted installation leaves the old one.

    Raises:
        InputError: the folder holds what edgepipe did not install.
        VerifyError: it cannot be written, or `fill` says why not.
    """
    check(folder, "target", "targets install", _older)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        take_away(folder.parent, f".{folder.name}.*.part")  # hundreds of MB of an installation that was killed
        with owned(folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")) as part:
            claim(part, "target", "targets install", _older)
            fill(part)
            swap(part, folder)
    except OSError as error:
        raise VerifyError(f"{folder}: cannot be installed: {error.strerror or error}") from None
