"""Find, lock, find again, compute, commit: how everything that is worth keeping is computed once.

Two processes that need the same result meet at the lock of its key; the second finds what the first has stored. A
reader never waits: what is stored already is found before any lock is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from edgepipe.contract.artifact import Artifact
from edgepipe.store.keys import key_of
from edgepipe.store.store import Entry, Store

Content = TypeVar("Content")


@dataclass(frozen=True)
class Found(Generic[Content]):
    """A result, from the store or just computed.

    Attributes:
        key: its name in the store.
        because: why it had to be computed now, in words; None: it was stored already.
    """

    content: Content
    key: str
    because: list[str] | None = None


@dataclass(frozen=True)
class Made:
    """A step's artifact, sealed in `artifact/` of its workspace, and what is recorded beside it."""

    artifact: Artifact
    seconds: float
    facts: Mapping[str, Any]


def step(
    store: Store,
    parts: Mapping[str, Any],
    what: str,
    work: Callable[[Path, Path], Made],
    before: Callable[[], None] = lambda: None,
) -> Found[Entry]:
    """The artifact of a step, with what was recorded of it.

    Args:
        parts: JSON values, everything that the result depends on; `pass` names what makes it.
        what: the step as messages call it.
        work: (workspace, folder of resumable state) to the artifact in `workspace/artifact`, a folder that is there.
        before: called ahead of anything that has to be computed; may refuse.
    """
    key = key_of(parts)

    def compute() -> Entry:
        with store.workspace() as space, store.state(key) as state:
            (space / "artifact").mkdir()
            made = work(space, state)
            record = {"label": what, "seconds": made.seconds, "facts": dict(made.facts), "key": dict(parts)}
            return store.commit_step(key, space, made.artifact, record)

    def why() -> list[str]:
        before()
        return store.why_missing(key, parts)

    return _memo(store, key, what, lambda: store.find(key), compute, why)


def files(
    store: Store,
    parts: Mapping[str, Any],
    what: str,
    read: Callable[[Path], Content],
    work: Callable[[Path], None],
    why: Callable[[str], list[str]] = lambda _key: [],
) -> Found[Content]:
    """What `read` makes of a folder of files that `work` writes: a measurement, a proof.

    Args:
        parts: JSON values, everything that the result depends on.
        what: the result as messages call it.
        read: a stored folder to what it holds; one that it cannot read is damaged.
        work: writes the files into an empty folder.
        why: key to the words that say why it is not stored.
    """
    key = key_of(parts)

    def compute() -> Content:
        with store.workspace() as space:
            work(space)
            return read(store.commit_measurement(key, space, parts))

    return _memo(store, key, what, lambda: store.read_measurement(key, read), compute, lambda: why(key))


def _memo(
    store: Store,
    key: str,
    what: str,
    find: Callable[[], Content | None],
    compute: Callable[[], Content],
    why: Callable[[], list[str]],
) -> Found[Content]:
    found = find()
    if found is not None:
        return Found(found, key)
    because = why()
    with store.lock(key, what):
        found = find()  # another process may have stored it while we waited
        if found is not None:
            return Found(found, key)
        return Found(compute(), key, because)
