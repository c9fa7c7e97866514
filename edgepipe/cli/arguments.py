"""What several verbs ask of their arguments."""

from __future__ import annotations

from edgepipe.errors import RecipeError


def nothing_more(verb: str, argv: list[str]) -> None:
    """Of a verb that takes none.

    Raises:
        RecipeError: there are some.
    """
    if argv:
        raise RecipeError(f"command line: {verb}: takes nothing more; found '{argv[0]}'")
