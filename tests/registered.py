"""Names added to the registry for one test, as if they were built in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgepipe import plugins


def register(monkeypatch: pytest.MonkeyPatch, group: str, **targets: str) -> None:
    """Add `name="module:class"` to a group until the test ends."""
    noun = plugins.NOUNS[group]
    monkeypatch.setitem(plugins.NOUNS, group, replace(noun, built_in={**noun.built_in, **targets}))  # type: ignore[arg-type]
