"""The page of a bundle in a browser on this computer; nothing that lies in the bundle runs here."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from edgepipe.bundle.build import add_runtime
from edgepipe.bundle.manifest import Bundle, seal_more
from edgepipe.bundle.page import FILES
from edgepipe.errors import EdgepipeError, RecipeError


def give_runtime(folder: Path, bundle: Bundle) -> None:
    """Put the page's runtime into a bundle that has none, and seal it with it.

    Raises:
        RecipeError: this machine has none; says how to get it.
        EdgepipeError: it cannot be written.
    """
    if any(name.startswith("ort/") for name in bundle.files):
        return
    try:
        lacking = add_runtime(folder)
        if lacking is not None:
            raise RecipeError(f"bundle serve: {lacking}")
        seal_more(folder, bundle, "ort")
    except OSError as error:
        raise EdgepipeError(f"{folder}: the page's runtime cannot be put there: {error.strerror or error}") from None


def serve(folder: Path, port: int) -> str | None:
    """Serve until Ctrl-C by edgepipe's own `serve.py`; why it ended otherwise, or None.

    In this process: a child would outlive it when it is told to end.
    """
    server = FILES / "serve.py"
    arguments, sys.argv = sys.argv, [str(server), "--folder", str(folder), "--port", str(port)]
    try:
        runpy.run_path(str(server), run_name="__main__")
    except SystemExit as ended:
        return str(ended.code).removeprefix("error: ") if ended.code else None
    finally:
        sys.argv = arguments
    return None
