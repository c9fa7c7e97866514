"""What Hydra and the schema find wrong, told with the file, the key, what was found, and what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hydra.errors import HydraException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from edgepipe.base import disk
from edgepipe.base.suggest import did_you_mean
from edgepipe.base.text import printable
from edgepipe.errors import InputError, RecipeError
from edgepipe.recipe.lookup import GROUPS, group_options, recipe_names, shown
from edgepipe.recipe.schema import Recipe
from edgepipe.recipe.words import how_to_quote, named, split
from edgepipe.recipe.words import typed as typed_word

Result = TypeVar("Result")
_LONGEST_FOUND = 300


def guarded(work: Callable[[], Result], ready: Sequence[str] = ()) -> Result:
    """Do Hydra's work; what it finds wrong is told in words. `ready`: the overrides, to name the recipe's file."""
    try:
        return work()
    except RecipeError:
        raise
    except (HydraException, OmegaConfBaseException) as error:  # before OSError: a missing config is both
        raise _explained(error, ready) from None
    except OSError as error:  # Hydra makes the run's folder
        place = error.filename or "the run's folder"
        if disk.full(error):
            raise InputError(disk.said("hydra.run.dir", Path(place))) from None
        raise InputError(
            f"hydra.run.dir: {place}: {error.strerror or error}. Choose a writable folder with hydra.run.dir=DIR"
        ) from error
    except Exception as error:
        if os.environ.get("EDGEPIPE_DEBUG"):
            raise
        if isinstance(error, RecursionError):
            raise RecipeError(
                f"{_file_of(ready)}: its defaults lead in a circle, or its values hold one another without end"
            ) from None
        if type(error).__module__.startswith("yaml"):
            raise RecipeError(f"{_file_of(ready)}: not readable as YAML: {str(error)[:600]}") from None
        if _raised_by_hydra(error):
            said = (str(error).strip() or type(error).__name__).partition("\n")[0][:300]
            raise RecipeError(f"{_file_of(ready)}: cannot be composed: {said}") from None
        raise


def _raised_by_hydra(error: BaseException) -> bool:
    """Whether an error comes out of the code that reads YAML and overrides: what it read is at fault."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    module = "" if place is None else str(place.tb_frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] in ("hydra", "omegaconf", "antlr4", "yaml")


def _explained(error: Exception, ready: Sequence[str] = ()) -> RecipeError:
    """Hydra's message, shortened to what a user can act on."""
    text = str(error).strip()
    typed = {re.sub(r"^[+~]+", "", item).partition("=")[0] for item in ready}
    file = _file_of(ready)
    if isinstance(error, OmegaConfBaseException) and getattr(error, "full_key", None):
        place = "command line" if error.full_key in typed else file
        return RecipeError(f"{place}: {unresolved(error)}")
    composed = re.search(r"raised while composing config:\n(.+)\n[\s\S]*full_key: (\S+)", text)
    if composed:
        place = "command line" if composed.group(2) in typed else file
        return RecipeError(f"{place}: {composed.group(2)}: {composed.group(1)}")
    if isinstance(error, OverrideParseException):
        said = [line for line in text.splitlines() if not line.startswith("Error parsing override")]
        return RecipeError(
            f"command line: '{error.override.removeprefix('++')}' cannot be read: {_shorter(said[0])}. "
            f"{how_to_quote(error.override)}"
        )
    plugin = re.search(r"Could not find 'hydra/(\w+)/([^']+)'", text)
    if plugin:
        return RecipeError(no_plugin(plugin.group(1), plugin.group(2), re.findall(r"^\t(\S+)$", text, re.MULTILINE)))
    missing = re.search(r"Could not find '(\w+)/([^']+)'", text)
    if missing:
        group, name = missing.groups()
        known = recipe_names() if group == "recipe" else group_options(group)
        place = "command line" if group in typed else f"{file}: defaults"
        return RecipeError(f"{place}: {group}: there is no {group} '{name}'.{did_you_mean(name, known)}")
    placed = re.search(r"Sweeping over Hydra's configuration is not supported : '(.+)'", text, re.DOTALL)
    if placed:
        _, key, value = split(placed.group(1))
        return RecipeError(
            f"command line: {key}: it is one for all jobs of a sweep. If this is one name, quote it: "
            f"{typed_word(key, value[1:])}"
        )
    swept = re.search(r"Sweep parameters '([^']+)' requires --multirun", text)
    if swept:
        return RecipeError(f"command line: {swept.group(1).lstrip('+')}: several values are a sweep: add -m")
    unset = re.search(r"You must specify '(\w+)'", text)
    if unset:
        group = unset.group(1)
        options = ", ".join(sorted(group_options(group)))
        return RecipeError(f"command line: {group}: missing: add {group}=NAME, one of: {options}")
    override = re.search(r"Could not override '([^']+)'", text)
    if override:
        key = override.group(1)
        part = re.match(r"hydra\.(launcher|sweeper)\.", key)
        if part:
            return RecipeError(
                f"command line: {key}: the {part.group(1)} in use has no such setting; --cfg hydra shows what it has. "
                f"Choose the one that has it, as in hydra/{part.group(1)}=NAME"
            )
        if key not in typed and ("/" in key or key in GROUPS):
            return RecipeError(
                f"{file}: defaults: 'override {key}' overrides nothing: write the entry without override"
            )
        hint = did_you_mean(key, [*Recipe.model_fields, "hydra.run.dir"])
        return RecipeError(f"command line: {key}: unknown key.{hint}")
    gone = re.search(r"Could not delete from config\. '([^']+)'", text)
    if gone:
        return RecipeError(
            f"command line: ~{gone.group(1)}: nothing of this name is there to remove; --cfg job shows the recipe"
        )
    text = text.partition("\nConfig search path:")[0]
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("Set the env")]
    cause = error.__cause__
    if cause is not None and str(cause) not in text:
        lines.append(str(cause).splitlines()[0])
    return RecipeError(f"{file}: " + "\n  ".join(lines[:6]))


def _file_of(ready: Sequence[str]) -> str:
    """The recipe's file, to name where something is wrong; else words that say what is meant."""
    value = next((item.partition("=")[2] for item in ready if item.startswith("recipe=")), "")
    path = recipe_names().get(named(value) or "")
    return shown(path) if path is not None else "recipe or command line"


def unresolved(error: OmegaConfBaseException) -> str:
    """`key: what is wrong`, of a value that could not be filled in."""
    said = str(error).strip().partition("\n")[0]
    remedy = r". Name a key that is there; ${ as plain text is written \${" if "nterpolation" in said else ""
    return f"{getattr(error, 'full_key', None) or '?'}: {said}{remedy}"


def _shorter(said: str) -> str:
    """What the grammar found, without the names of its own classes."""
    if said.startswith("LexerNoViableAlt"):
        return "it holds a character that has to stand in quotes"
    return re.sub(r"^(\w+)Exception while evaluating", "in", said)


_EXTRA_OF = {"joblib": "sweep", "submitit": "slurm", "ray": "ray"}


def no_plugin(kind: str, name: str, known: list[str]) -> str:
    """A launcher or sweeper that Hydra does not have: which there are, or the extra that brings it."""
    extra = _EXTRA_OF.get(name.partition("_")[0])
    if kind == "launcher" and extra and not any(item.startswith(name.partition("_")[0]) for item in known):
        return f"command line: hydra/{kind}: '{name}' is not installed: python -m pip install 'edgepipe[{extra}]'"
    return f"command line: hydra/{kind}: there is no {kind} '{name}'.{did_you_mean(name, known)}"


def told(key: str, text: str, value: Any, choices: dict[str, str], overrides: list[str]) -> str:
    """One problem of a recipe as a line: where it was said, the key, what is wrong, what was found."""
    quotes = value is not None and not isinstance(value, (dict, list)) and repr(value) not in text
    found = f" Found: {_short(repr(value))}." if quotes else ""
    stop = "" if not found or text[-1] in ".?!" else "."
    return f"{printable(where(key, choices, overrides))}: {printable(key)}: {text}{stop}{found}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_FOUND else f"{text[:_LONGEST_FOUND]}… ({len(text):,} letters)"


def where(key: str, choices: dict[str, str], overrides: list[str]) -> str:
    """Which file or override a key of the composed recipe came from."""
    typed = [re.sub(r"^[+~]+", "", item).partition("=")[0] for item in overrides]
    if any(key == item or key.startswith(f"{item}.") for item in typed if item not in GROUPS):
        return "command line"
    recipe = recipe_names().get(choices.get("recipe", ""))
    section = key.split(".")[0]
    group = group_options(section).get(choices.get(section, "")) if section in GROUPS else None
    contents = [(path, _content(path)) for path in (recipe, group) if path is not None]
    # What is in no file may belong to a part that the command line began: passes.new.ratio=0.5 without its pass.
    place = key
    while place:
        for path, content in contents:
            within = place if path == recipe else place.partition(".")[2]
            if within and _says(content, within.split(".")):
                return shown(path)
        if any(item.startswith(f"{place}.") for item in typed):
            return "command line"
        place = place.rpartition(".")[0]
    return shown(group or recipe) if recipe or group else "recipe"


def _content(path: Path) -> Any:
    try:
        return OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except Exception:  # an unreadable file was reported already; this only chooses a name to print
        return {}


def _says(content: Any, place: list[str]) -> bool:
    """Whether a file's content says something about a place, if only that it is null or taken from elsewhere."""
    for part in place:
        if isinstance(content, str) and "${" in content:
            return True
        if not isinstance(content, dict) or part not in content:
            return False
        content = content[part]
    return True
