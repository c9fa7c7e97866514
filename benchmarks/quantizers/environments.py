"""A virtual environment for each tool, made once; those that need torch share one copy of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.quantizers.tools import Environment

_TORCH = ("torch==2.14.1", "torchvision==0.29.1", "numpy==2.4.6")
_MADE = "made.json"


class CannotInstall(Exception):
    """The tool's packages do not install; says why in a line."""


def python_of(wanted: Environment | None, folder: Path) -> Path:
    """The interpreter of an environment under `folder`, made and filled unless it is there; None: the running one.

    Raises:
        CannotInstall: pip refused.
    """
    if wanted is None:
        return Path(sys.executable)
    below = _made(folder / "torch", _TORCH, None) if wanted.torch else None
    return _made(folder / wanted.name, wanted.packages, below)


def _made(home: Path, packages: tuple[str, ...], below: Path | None) -> Path:
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = json.dumps([packages, str(below)])
    if (home / _MADE).is_file() and (home / _MADE).read_text() == wanted:
        return python
    print(f"making {home} ({', '.join(packages)})", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
    if below is not None:
        # pip takes what lies there as installed, so 5 GB of torch are stored once and not once a tool.
        (_site(python) / "torch_below.pth").write_text(f"{_site(below)}\n")
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise CannotInstall(f"does not install: {lines[-1].removeprefix('ERROR: ')[:200] if lines else 'pip failed'}")
    (home / _MADE).write_text(wanted)
    return python


def _site(python: Path) -> Path:
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
    return Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
