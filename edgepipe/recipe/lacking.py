"""What a recipe names and this machine does not have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgepipe.base.files import is_there
from edgepipe.errors import InputError
from edgepipe.recipe.plan import unusable
from edgepipe.recipe.schema import Recipe
from edgepipe.sources.settings import is_path


def lacking_of(recipe: Recipe) -> Iterator[str]:
    """Files, folders and networks that the recipe names and that are not there."""
    yield from (f"{recipe.name}: {text}" for text in unusable(recipe))
    fetched = recipe.data.settings.fetched
    for part, settings in (("model", recipe.model.settings), ("data", recipe.data.settings)):
        for name, value in settings:
            named = isinstance(value, Path) or (name in ("path", "weights") and isinstance(value, str))
            if not named or (part == "data" and name in fetched):
                continue
            if name == "weights" and not is_path(str(value)):
                continue  # the name of published weights
            where = f"{recipe.name}: {part}.{name}"
            try:
                if not is_there(Path(value), where):
                    yield f"{where}: there is no {value} here"
            except InputError as error:
                yield str(error)
