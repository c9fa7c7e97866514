"""What data sets share whose examples have names, some of them in each split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from edgepipe.contract import Signature, Split


class Named(Protocol):
    """Some examples, in order."""

    @property
    def names(self) -> Sequence[str]: ...


View = TypeVar("View", bound=Named)


class Views(Generic[View]):
    """The part of `Dataset` that follows from the examples of each split.

    Attributes:
        notes: sentences for people.
    """

    _signature: Signature
    _views: Mapping[Split, View]
    notes: tuple[str, ...]

    @property
    def signature(self) -> Signature:
        """What goes in, class names, and how examples are prepared."""
        return self._signature

    def count(self, split: Split) -> int:
        """Number of examples."""
        return len(self._views[split].names)

    def names(self, split: Split) -> Sequence[str]:
        """Where each example comes from, for messages and reports."""
        return self._views[split].names
