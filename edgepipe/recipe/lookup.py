"""Which file `recipe=NAME` and `GROUP=NAME` mean.

`recipe=NAME` means `recipes/NAME.yaml`; groups (`model/`, `data/`, `target/`) lie beside it. The
user's own `./recipes/` comes first, then those of `--config-dir`, then the shipped ones.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgepipe.base.files import is_folder
from edgepipe.errors import RecipeError

GROUPS = ("recipe", "model", "data", "target", "tracking")


def shipped_recipes() -> Path:
    """The folder of the recipes that come with edgepipe: inside the wheel, or beside it in a checkout."""
    inside = Path(__file__).parents[1] / "recipes"
    return inside if is_folder(inside) else Path(__file__).parents[2] / "recipes"


_EXTRA_DIRS: list[Path] = []
"""Folders that the command line names, `--config-dir` and those of recipes given as a path."""
_GIVEN: dict[str, Path] = {}
"""Recipes given as a path, by the name they run under."""


def forget_given() -> None:
    """Before another command line: what the one before named counts no more."""
    _EXTRA_DIRS.clear()
    _GIVEN.clear()


def look_in(folder: Path) -> None:
    """Look recipes up in a folder before all others.

    Args:
        folder: resolved.
    """
    if folder not in _EXTRA_DIRS:
        _EXTRA_DIRS.insert(0, folder)


def give(path: Path) -> str:
    """The name that a recipe given as a path runs under.

    Args:
        path: resolved.
    Raises:
        RecipeError: two of one command line would run under one name.
    """
    other = _GIVEN.setdefault(path.stem, path)
    if other != path:
        raise RecipeError(
            f"command line: recipe: {shown(other)} and {shown(path)} would both run as '{path.stem}': rename one"
        )
    look_in(path.parent)
    return path.stem


def given_recipes() -> dict[str, Path]:
    """Recipes given as a path, by the name they run under."""
    return dict(_GIVEN)


def recipe_dirs() -> list[Path]:
    """Folders that recipes are looked up in, first match wins."""
    own = Path.cwd() / "recipes"
    found = [*_EXTRA_DIRS, own, shipped_recipes()]
    unique: list[Path] = []
    for folder in found:
        if is_folder(folder) and folder.resolve() not in [known.resolve() for known in unique]:
            unique.append(folder)
    return unique


def recipe_names() -> dict[str, Path]:
    """Every recipe that `recipe=NAME` finds."""
    names: dict[str, Path] = {}
    for folder in reversed(recipe_dirs()):
        names |= {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return names | _GIVEN


def group_options(group: str) -> dict[str, Path]:
    """Every `NAME` that `group=NAME` finds."""
    names: dict[str, Path] = {}
    for folder in reversed(recipe_dirs()):
        names |= {path.stem: path for path in sorted((folder / group).glob("*.yaml"))}
    return names


def names_of(key: str) -> Callable[[str], bool] | None:
    """Whether a group has an option of a name, for the groups that are chosen by name."""
    return (lambda name: name in group_options(key)) if key in GROUPS else None


def shown(path: Path | None) -> str:
    """A recipe's file for a message: from where the user stands, if it lies below."""
    if path is None:
        return "recipe"
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(path)
