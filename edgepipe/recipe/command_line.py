"""The words of a command line, made ready for Hydra; what means nothing here is refused."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import NoReturn

from edgepipe.base.files import is_file, is_folder
from edgepipe.base.suggest import did_you_mean
from edgepipe.base.text import holds_password, printable
from edgepipe.contract.settings import at_home
from edgepipe.errors import InputError, RecipeError
from edgepipe.recipe.files import PASSWORD
from edgepipe.recipe.hydra_app import arguments_parser, parsed
from edgepipe.recipe.interpolations import refuse_long_numbers
from edgepipe.recipe.lookup import GROUPS, forget_given, give, group_options, look_in, names_of, recipe_names
from edgepipe.recipe.words import elements, is_sweep, named, readable, word

TYPED = "it is given by the words of the command line alone, and plainly: trust_code=true"
NO_SUBDIR = "hydra.output_subdir: not used here: what a run was composed of is always in .hydra, in its folder"


def prepared(overrides: list[str], *, sweeps: bool = False) -> list[str]:
    """Make the command line forgiving: recipes by path, and keys that a group's file leaves out.

    A setting that the YAML does not list (`passes.prune.round_to=8`) is added, as with Hydra's `++`:
    the recipe's schema then judges it, with the nearest right name. What Hydra's grammar cannot read is put in
    quotes; `sweeps`: `a,b` are two values.
    """
    ready = []
    several = is_sweep(overrides, sweeps)
    for given in overrides:
        key, equals, value = given.partition("=")
        refuse_long_numbers(given, f"command line: {key[:60]}")
        if holds_password(given):
            raise RecipeError(f"command line: {key}: {PASSWORD}")
        override = given if key == "recipe" else readable(given, sweeps=several, names=names_of(key))
        value = override.partition("=")[2]
        if re.match(r"[+~]*hydra[./](job|hydra)_logging", key):
            raise RecipeError(
                f"command line: {key}: not used here: the log is edgepipe.log in the run's folder, "
                "and hydra.verbose=true writes more into it"
            )
        if re.match(r"[+~]*hydra\.output_subdir", key) and value != "null":
            raise RecipeError(f"command line: {NO_SUBDIR}")
        if key in ("hydra.launcher", "hydra.sweeper"):
            raise RecipeError(f"command line: {key}: chosen with a slash: {key.replace('.', '/')}={value or 'NAME'}")
        if key in ("hydra.run.dir", "hydra.sweep.dir") and equals and not value.strip("'\" "):
            raise RecipeError(f"command line: {key}: is empty: give a folder")
        if key == "recipe" and equals:
            ready.append(f"recipe={_recipe_word(value, several)}")
        elif key in GROUPS and value[:1] in ("[", "{"):
            raise RecipeError(f"command line: {key}: takes one name, found {value}")
        elif key in GROUPS and value == "null":
            if key != "tracking":
                raise RecipeError(
                    f"command line: {key}: cannot be null: name one of: {', '.join(sorted(group_options(key)))}"
                )
            ready.append("~tracking")
        elif equals and re.fullmatch(r"[A-Za-z_][\w.-]*", key) and key not in GROUPS and not key.startswith("hydra."):
            ready.append(f"++{override}")
        else:
            ready.append(override)
    if not any(item.startswith("recipe=") for item in ready):
        names = ", ".join(sorted(recipe_names()))
        raise RecipeError(f"command line: no recipe: say which, as in recipe=resnet18_int8. Recipes here: {names}")
    return ready


def _recipe_word(value: str, sweeps: bool) -> str:
    """The value of `recipe=`, its paths as the names they run under; choice(a,b) and glob(*) are Hydra's to read."""
    parts = elements(value)
    if len(parts) > 1 and sweeps:
        return ",".join(word(recipe_name(named(part) or part)) for part in parts)
    whole = value if _is_recipe(value) else named(value)
    if whole is None and len(parts) > 1:
        raise RecipeError(
            f"command line: recipe: there is no recipe of the name '{value}', and several are a sweep: add -m"
        )
    return value if whole is None else word(recipe_name(whole))


def _is_recipe(value: str) -> bool:
    path = at_home(value)
    try:
        return is_file(Path(path)) or ("/" in path and is_file(Path(f"{path}.yaml"))) or value in recipe_names()
    except InputError:  # a null byte, or more letters than a name has: several, or none
        return False


def recipe_name(value: str) -> str:
    """The name that `recipe=` with this value runs under; a path is looked up under its own from now on.

    Raises:
        RecipeError: there is no such recipe, or it has a name that recipes cannot have.
    """
    if not value.endswith((".yaml", ".yml")) and os.sep not in value and "/" not in value:
        names = recipe_names()
        if value not in names and "${" not in value:
            raise RecipeError(f"command line: recipe: there is no recipe '{value}'.{did_you_mean(value, names)}")
        return value
    path = Path(at_home(value if value.endswith((".yaml", ".yml")) else f"{value}.yaml"))
    if not is_file(path, "command line: recipe"):
        raise RecipeError(f"command line: recipe: there is no file {path}. Give a path to a .yaml file or a name")
    if path.suffix == ".yml":
        raise RecipeError(f"command line: recipe: {path}: recipes end in .yaml: rename it")
    if "${" in path.stem:
        raise RecipeError(
            f"command line: recipe: {path}: a recipe's name may not hold ${{, which is replaced: rename it"
        )
    return give(path.resolve())


def plain_overrides(overrides: list[str]) -> list[str]:
    """As the user typed them: without the `++` that `prepared` puts before settings."""
    return [override.removeprefix("++") for override in overrides]


def trusts(overrides: list[str]) -> bool:
    """Whether the command line's own words grant trust.

    Raises:
        RecipeError: they leave it to something else, as `trust_code=${x}` does.
    """
    typed = [item for item in parsed(overrides) if item.key_or_group == "trust_code" and not item.is_delete()]
    for item in typed:
        values = list(item.sweep_string_iterator()) if item.is_discrete_sweep() else [item.get_value_element_as_str()]
        if not all(value.strip("'\"").lower() in ("true", "false") for value in values):
            raise RecipeError(f"command line: {printable(item.input_line or 'trust_code').lstrip('+')}: {TYPED}")
    return bool(typed)


def _refuse_option(said: str) -> NoReturn:
    raise RecipeError(f"command line: {said}. `edgepipe --help` shows what there is; --hydra-help Hydra's own options")


def arguments(argv: list[str]) -> argparse.Namespace:
    """Hydra's own flags and the overrides; folders to look recipes up in are set anew.

    Raises:
        RecipeError: a flag that means nothing here, which Hydra would ignore.
    """
    forget_given()  # a process may launch more than once
    parser = arguments_parser()
    parser.error = _refuse_option  # type: ignore[method-assign, assignment]
    args = parser.parse_intermixed_args(argv)
    for flag, instead in (
        ("config_name", "name the recipe: recipe=NAME"),
        ("config_path", "name a folder of recipes: --config-dir DIR"),
        ("experimental_rerun", "it loads a pickle; run the overrides in overrides.yaml again"),
    ):
        if getattr(args, flag, None) is not None:
            raise RecipeError(f"command line: --{flag.replace('_', '-')}: not used here: {instead}")
    if args.config_dir is not None:
        if not isinstance(args.config_dir, str):  # `--config-dir=--`
            raise RecipeError("command line: --config-dir: takes a folder of recipes")
        folder = Path(at_home(args.config_dir))
        if not is_folder(folder, "command line: --config-dir"):
            raise RecipeError(f"command line: --config-dir: there is no folder {args.config_dir}")
        look_in(folder.resolve())
    return args
