"""Lists of what breaks a rule today, `tests/rules/lists/RULE.txt`, one exception a line: they may only shrink.

`python -m tests.rules` writes them anew from the source, and refuses to where one would become longer: after a move,
or after an exception is gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

LISTS = Path(__file__).with_name("lists")


def listed(rule: str) -> list[str]:
    """The exceptions of a rule, as they stand in its file."""
    path = LISTS / f"{rule}.txt"
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def check(rule: str, found: Iterable[str], remedy: str) -> None:
    """Hold what breaks a rule against its list.

    Args:
        found: what breaks it now, in the words of the list.
        remedy: what to do about one that is not listed.
    Raises:
        AssertionError: something is not listed, or no longer needs to be.
    """
    known, now = set(listed(rule)), set(found)
    new = "\n  ".join(sorted(now - known))
    gone = "\n  ".join(sorted(known - now))
    assert not new, f"{remedy}:\n  {new}"
    assert not gone, f"no exception any more, so take it out of tests/rules/lists/{rule}.txt:\n  {gone}"


def write(rule: str, found: Iterable[str]) -> str:
    """Write a rule's list anew; what was done, in words. One that would become longer stays as it is."""
    old, now = listed(rule), sorted(set(found))
    if old and len(now) > len(old):
        more = "\n  ".join(item for item in now if item not in old)
        return f"{rule}: not written, for {len(now)} exceptions are more than {len(old)}. New are:\n  {more}"
    if now:
        (LISTS / f"{rule}.txt").write_text("".join(f"{item}\n" for item in now), encoding="utf-8")
    else:
        (LISTS / f"{rule}.txt").unlink(missing_ok=True)
    return f"{rule}: {len(old)} exceptions are {len(now)} now"
