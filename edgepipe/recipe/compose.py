"""YAML and overrides to a recipe: composed by Hydra, validated, planned."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from edgepipe.base import marks
from edgepipe.base.suggest import did_you_mean
from edgepipe.errors import RecipeError
from edgepipe.recipe.command_line import NO_SUBDIR, TYPED, arguments, plain_overrides, prepared, trusts
from edgepipe.recipe.explain import told, unresolved, where
from edgepipe.recipe.files import refuse_passwords
from edgepipe.recipe.hydra_app import App, choices_of, folder_of, opened
from edgepipe.recipe.interpolations import refuse_growing
from edgepipe.recipe.lookup import GROUPS, group_options
from edgepipe.recipe.plan import Plan, make_plan
from edgepipe.recipe.schema import Recipe, problems_of, validate
from edgepipe.recipe.words import named


def compose(overrides: list[str]) -> tuple[Recipe, Plan]:
    """Compose, validate and plan one recipe without running it."""
    ready = prepared(arguments(overrides).overrides)
    with opened() as app:
        return checked(app, ready)


def checked(app: App, ready: list[str], config: DictConfig | None = None) -> tuple[Recipe, Plan]:
    """Compose and validate; group options that do not exist are told together with what else is wrong.

    Args:
        config: what `ready` was composed to, where it could be.
    """
    problems: dict[str, str] = {}
    for override in ready:
        group, _, value = override.partition("=")
        name = named(value) if group in GROUPS and group != "recipe" and value != "null" else None
        if name and "${" not in name:
            known = group_options(group)
            if name not in known:
                hint = did_you_mean(name, known)
                problems[group] = f"command line: {group}: there is no {group} '{name}'.{hint}"
    rest = [override for override in ready if override.partition("=")[0] not in problems]
    try:
        config = config or app.composed(rest, ready)
        found = to_recipe(config, choices_of(config), plain_overrides(rest), trusted=trusts(rest))
    except RecipeError as error:
        if not problems:
            raise
        # Settings of a group that was not found are judged once it is.
        more = [line for line in str(error).splitlines() if not any(f": {group}" in line for group in problems)]
        raise RecipeError("\n".join([*problems.values(), *more])) from None
    if problems:
        raise RecipeError("\n".join(problems.values()))
    return found


def to_recipe(
    config: DictConfig, choices: dict[str, str], overrides: list[str], *, trusted: bool = False
) -> tuple[Recipe, Plan]:
    """Validate a composed config and plan it.

    Args:
        trusted: whether the command line of the process that the user started grants trust: nothing else can.
    Raises:
        RecipeError: names every problem at once, each with file, key, what was found and the remedy.
    """
    try:
        # Without Hydra's own section, whose interpolations resolve only inside a job.
        config = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        refuse_growing(unresolved_values(config))
        missing = sorted(OmegaConf.missing_keys(config))
        content = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "?"
        raise RecipeError(f"{where(key, choices, overrides)}: {unresolved(error)}") from None
    assert isinstance(content, dict)
    refuse_passwords({key: value for key, value in content.items() if key != "tracking"}, "recipe or command line")
    for key in missing:
        _forget(content, key.split("."))
    plain: dict[str, Any] = {str(key): value for key, value in content.items()}
    plain["name"] = choices.get("recipe", "recipe")
    if plain.get("trust_code") not in (False, None) and not trusted:
        raise RecipeError(f"trust_code: {TYPED}")
    try:
        recipe = validate(plain)
        plan = make_plan(recipe)
        problems: list[tuple[str, str, Any]] = list(plan.problems)
    except ValidationError as error:
        problems = problems_of(error)
    problems = [problem for problem in problems if problem[0] not in missing]
    problems += [(key, f"missing: set it on the command line, as in {key}=VALUE", None) for key in missing]
    if problems:
        raise RecipeError("\n".join(told(key, text, value, choices, overrides) for key, text, value in problems))
    return recipe, plan


def unresolved_values(config: DictConfig) -> dict[str, Any]:
    """The composed recipe as plain values, nothing filled in."""
    content = OmegaConf.to_container(config, resolve=False)
    return {str(key): value for key, value in content.items()} if isinstance(content, dict) else {}


def _forget(content: Any, place: list[str]) -> None:
    """Take a setting that was never given out of the plain content, so that all others can be judged."""
    for part in place[:-1]:
        content = content.get(part) if isinstance(content, dict) else None
    if isinstance(content, dict):
        content.pop(place[-1], None)


def refuse_foreign(config: DictConfig, part: str) -> None:
    """Before Hydra puts anything there: the folder of a run or a sweep is new, empty, or edgepipe's own."""
    key = f"hydra.{part}.dir"
    if config.hydra.output_subdir is not None:  # however it came: Hydra would write over what is there
        raise RecipeError(f"recipe or command line: {NO_SUBDIR}")
    marks.check(folder_of(config, key), "results", key, marks.ran_here)


def to_yaml(value: dict[str, Any]) -> str:
    """Plain values as YAML, in the order given."""
    return str(OmegaConf.to_yaml(OmegaConf.create(value)))
