"""What is known of the model between two steps: its traits, added up before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from edgepipe.contract import Pass
from edgepipe.contract.traits import BESIDE, FLOAT
from edgepipe.plugins import loadable


@dataclass(frozen=True)
class _Taker:
    """The step that took a trait away, and what was known before it and is since."""

    label: str
    name: str
    settings: Pass
    before: frozenset[str]
    after: frozenset[str]


@dataclass
class Known:
    """The traits of the model at one place of a recipe."""

    traits: frozenset[str] = frozenset({FLOAT})
    _takers: dict[str, _Taker] = field(default_factory=dict)

    def come_through(self, label: str, name: str, settings: Pass) -> None:
        """The model comes out of a step."""
        before, self.traits = self.traits, settings.traits(self.traits)
        for trait in before - self.traits:
            self._takers[trait] = _Taker(label, name, settings, before, self.traits)

    def refuse(self, label: str, name: str, settings: Pass) -> Iterator[str]:
        """A sentence for every trait that a step requires and the model cannot have there."""
        for trait, setting in settings.needs().items():
            if trait in self.traits:
                continue
            who = setting or name
            taker = self._takers.get(trait)
            if taker is None or trait in BESIDE:
                yield _never_given(who, trait)
                continue
            now = " and ".join(sorted(taker.after - taker.before)) or f"no longer {trait}"
            first = settings.traits(taker.before) >= set(taker.settings.needs())
            remedy = f", or move '{label}' before '{taker.label}'" if first else ""
            yield (
                f"{who} needs a model that is {trait}, and since '{taker.label}' ({taker.name}) this one is {now}: "
                f"remove one of the two steps{remedy}"
            )


def _never_given(who: str, trait: str) -> str:
    givers = " or ".join(f"`pass: {name}`" for name in _givers(trait))
    if givers:
        where = "directly before it" if trait in BESIDE else "before it"
        return f"{who} needs a step {givers} {where}. Put one there"
    return f"{who} needs a model that is {trait}, and no installed pass provides that: remove this step"


def _givers(trait: str) -> Iterator[str]:
    yield from (name for name, kind in sorted(loadable("passes").items()) if trait in kind.provides)
