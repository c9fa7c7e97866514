"""Whether a module could be imported, asked without importing it."""

from __future__ import annotations

from importlib import util


def importable(module: str) -> bool:
    """Whether there is such a module, `a.b` too."""
    try:
        return util.find_spec(module) is not None
    except ModuleNotFoundError:  # of `a.b` there is no `a`
        return False
