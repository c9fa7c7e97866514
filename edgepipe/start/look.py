"""What somebody has: which source a model comes through, and which one its data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edgepipe.base.files import is_there
from edgepipe.base.suggest import did_you_mean
from edgepipe.contract import Tensor
from edgepipe.contract.guess import Contents, Guess
from edgepipe.data.contents import contents_of
from edgepipe.errors import DataError, EdgepipeError, ModelError, RecipeError
from edgepipe.plugins import entries, find


class Seen(NamedTuple):
    """A source by its registered name, and what it makes of the place."""

    source: str
    guess: Guess


def model_at(given: str) -> Seen:
    """The source of a model.

    Args:
        given: a file, a folder, or the name of a network.
    Raises:
        ModelError: none knows it, or several do.
    """
    found = _surest("sources", lambda kind: kind.guess(given))
    if len(found) > 1:
        names = ", ".join(each.source for each in found)
        raise ModelError(f"{given}: several sources take it ({names}): say which, as in model.source={found[0].source}")
    if found:
        return found[0]
    path = Path(given)
    if path.suffix.lower() in (".pth", ".pt", ".safetensors", ".ckpt"):
        raise ModelError(
            f"{given}: a checkpoint holds weights and no network: name the network, and the checkpoint as its weights, "
            f"as in `edgepipe new resnet18 model.weights={given}`"
        )
    if is_there(path):
        raise ModelError(f"{given}: no model that is known: one of {_known('sources')}")
    raise ModelError(f"{given}: no such file, and no network of this name.{_networks(given)}")


def data_at(place: str, inputs: Sequence[Tensor]) -> Seen:
    """The source of the data at a place.

    Args:
        place: a folder, a .zip or a file.
        inputs: of the model, as far as its file says.
    Raises:
        DataError: nothing is there, none knows it, or several do.
    """
    contents = contents_of(Path(place), "--data")
    found = _surest("data", lambda kind: kind.guess(contents, inputs))
    if len(found) > 1:
        names = ", ".join(f"{each.source} ({each.guess.why})" for each in found)
        raise DataError(f"--data: {place}: may be {names}: say which, as in data.source={found[0].source}")
    if not found:
        raise DataError(f"--data: {place}: {_held(contents)}: none of {_known('data')} reads that by itself")
    return found[0]


def _surest(group: str, ask: Any) -> list[Seen]:
    """Those that are surest; a plug-in that cannot be loaded is asked nothing."""
    found = []
    for name in sorted(entries(group)):
        try:
            guess = ask(find(group, name))
        except EdgepipeError:  # a file that this source knows and cannot read is told when it is loaded
            continue
        if guess is not None:
            found.append(Seen(name, guess))
    best = max((each.guess.sure for each in found), default=0)
    return [each for each in found if each.guess.sure == best]


def _held(contents: Contents) -> str:
    kinds = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in contents.suffixes.most_common(5))
    return f"holds {kinds}" if kinds else "holds no files"


def _known(group: str) -> str:
    return ", ".join(sorted(entries(group)))


def _networks(given: str) -> str:
    names = [name for source in entries("sources") for name in _names(source)]
    return did_you_mean(given, names) if names else ""


def _names(source: str) -> Sequence[str]:
    try:
        found: Sequence[str] = find("sources", source).names()
    except RecipeError:
        return ()
    return found
