"""YAML and overrides to a recipe, by Hydra, which only this file and `words` import.

`recipe=NAME` means `recipes/NAME.yaml`; groups (`model/`, `data/`, `target/`) lie beside it. The
user's own `./recipes/` comes first, then those of `--config-dir`, then the shipped ones.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from hydra import version as hydra_version
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, OverrideParseException
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from edgepipe.base import disk, marks
from edgepipe.base.files import is_file, is_folder, write_text
from edgepipe.base.stopping import heard_beside_ray
from edgepipe.base.text import holds_password, printable
from edgepipe.contract.settings import at_home
from edgepipe.errors import EdgepipeError, InputError, RecipeError
from edgepipe.plugins import did_you_mean
from edgepipe.recipe.files import PASSWORD, refuse_code, refuse_exploding, refuse_large, refuse_passwords
from edgepipe.recipe.interpolations import refuse_growing, refuse_long_numbers
from edgepipe.recipe.plan import Plan, make_plan
from edgepipe.recipe.schema import Recipe, problems_of, validate
from edgepipe.recipe.text import check_text
from edgepipe.recipe.words import (
    MOST_JOBS,
    count_jobs,
    count_values,
    elements,
    how_to_quote,
    is_sweep,
    named,
    readable,
    split,
    swept_names,
    told_count,
    word,
)
from edgepipe.recipe.words import typed as typed_word
from edgepipe.targets.host import available_cores

SCHEME = "recipes"
PRIMARY = "edgepipe"
GROUPS = ("recipe", "model", "data", "target", "tracking")
_LONGEST_FOUND = 300
_STRUCTURE: dict[str, Any] = {
    "defaults": ["_self_", {"tracking": None}, {"recipe": "???"}],
    "trust_code": False,
    "hydra": {
        # Microseconds: two runs that a script starts in the same second must not share a folder.
        "run": {"dir": "outputs/${hydra:runtime.choices.recipe}/${now:%Y-%m-%d_%H-%M-%S_%f}"},
        "sweep": {"dir": "outputs/sweeps/${now:%Y-%m-%d_%H-%M-%S_%f}", "subdir": "${hydra:job.num}"},
        "job": {"name": "edgepipe", "chdir": False},
        "output_subdir": None,  # `keep_config` writes it: Hydra would before anybody has looked at the folder
        # Without a root Hydra leaves logging alone. It would close every handler of the process, and one of absl's
        # then closes the standard error that it was given: the end of a test suite that runs a recipe.
        "job_logging": {"root": None},
        "hydra_logging": {"root": None},
    },
}


def shipped_recipes() -> Path:
    """The folder of the recipes that come with edgepipe: inside the wheel, or beside it in a checkout."""
    inside = Path(__file__).parents[1] / "recipes"
    return inside if is_folder(inside) else Path(__file__).parents[2] / "recipes"


class RecipeSource(FileConfigSource):
    """Hydra config source in which the group `recipe` is the folder itself."""

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider, path)
        self.given = dict(_GIVEN)  # kept here, since launchers carry this object into other processes

    @staticmethod
    def scheme() -> str:
        return SCHEME

    @staticmethod
    def _drop(config_path: str) -> str:
        return "" if config_path == "recipe" else config_path.removeprefix("recipe/")

    # Hydra calls these by keyword: the parameter names are part of its interface.
    def load_config(self, config_path: str) -> ConfigResult:
        name = self._drop(config_path)
        file = Path(self.path) / self._normalize_file_name(name)
        refuse_large(file, _shown(file))
        check_text(file, _shown(file))
        refuse_exploding(file, _shown(file))
        result = super().load_config(name)
        group = config_path.removesuffix(".yaml").rpartition("/")[0]
        if group == "recipe" and not result.header.get("package"):
            result.header["package"] = "_global_"  # as every recipe needs it
        package = (result.header.get("package") or group).replace("_group_", group).replace("_global_", "")
        content = OmegaConf.to_container(result.config, resolve=False)
        refuse_code(content, package.replace("/", "."), _shown(file), group.removeprefix("recipe/"))
        return result

    def is_group(self, config_path: str) -> bool:
        return config_path == "recipe" or super().is_group(config_path)

    def is_config(self, config_path: str) -> bool:
        if config_path.startswith("recipe/"):
            name = self._drop(config_path)
            if name in self.given and self.given[name].parent != Path(self.path).resolve():
                return False  # this recipe was given as a path: a namesake elsewhere is another one
            return bool(super().is_config(name))
        return "/" in config_path and bool(super().is_config(config_path))

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if config_path == "recipe":
            return sorted(path.stem for path in Path(self.path).glob("*.yaml"))
        if not config_path:
            groups = sorted(path.name for path in Path(self.path).iterdir() if is_folder(path))
            return ["recipe", *groups]
        return list(super().list(config_path, results_filter))


_EXTRA_DIRS: list[Path] = []
_GIVEN: dict[str, Path] = {}
"""Recipes given as a path, by the name they run under."""


def recipe_dirs() -> list[Path]:
    """Folders that recipes are looked up in, first match wins."""
    own = Path.cwd() / "recipes"
    found = [*_EXTRA_DIRS, own, shipped_recipes()]
    unique: list[Path] = []
    for folder in found:
        if is_folder(folder) and folder.resolve() not in [known.resolve() for known in unique]:
            unique.append(folder)
    return unique


class RecipeSearchPath(SearchPathPlugin):
    """Adds the recipe folders to Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in recipe_dirs():
            search_path.append(provider="edgepipe", path=f"{SCHEME}://{folder}")


def _install() -> None:
    ConfigStore.instance().store(name=PRIMARY, node=OmegaConf.create(_STRUCTURE))
    plugins = Plugins.instance()
    for plugin in (RecipeSource, RecipeSearchPath):
        if plugin not in plugins.class_name_to_class.values():
            plugins.register(plugin)


@contextmanager
def _hydra() -> Iterator[Hydra]:
    hydra_version.setbase("1.3")
    _install()
    GlobalHydra.instance().clear()
    path = create_config_search_path(None)
    try:
        yield Hydra.create_main_hydra2(task_name="edgepipe", config_search_path=path)
    finally:
        GlobalHydra.instance().clear()


def _prepare(overrides: list[str], *, sweeps: bool = False) -> list[str]:
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
        override = given if key == "recipe" else readable(given, sweeps=several, names=_names_of(key))
        value = override.partition("=")[2]
        if re.match(r"[+~]*hydra[./](job|hydra)_logging", key):
            raise RecipeError(
                f"command line: {key}: not used here: the log is edgepipe.log in the run's folder, "
                "and hydra.verbose=true writes more into it"
            )
        if re.match(r"[+~]*hydra\.output_subdir", key) and value != "null":
            raise RecipeError(f"command line: {_NO_SUBDIR}")
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


def _names_of(key: str) -> Callable[[str], bool] | None:
    """Whether a group has an option of a name, for the groups that are chosen by name."""
    return (lambda name: name in group_options(key)) if key in GROUPS else None


def _recipe_word(value: str, sweeps: bool) -> str:
    """The value of `recipe=`, its paths as the names they run under; choice(a,b) and glob(*) are Hydra's to read."""
    parts = elements(value)
    if len(parts) > 1 and sweeps:
        return ",".join(word(_recipe_name(named(part) or part)) for part in parts)
    whole = value if _is_recipe(value) else named(value)
    if whole is None and len(parts) > 1:
        raise RecipeError(
            f"command line: recipe: there is no recipe of the name '{value}', and several are a sweep: add -m"
        )
    return value if whole is None else word(_recipe_name(whole))


def _is_recipe(value: str) -> bool:
    path = at_home(value)
    try:
        return is_file(Path(path)) or ("/" in path and is_file(Path(f"{path}.yaml"))) or value in recipe_names()
    except InputError:  # a null byte, or more letters than a name has: several, or none
        return False


def _recipe_name(value: str) -> str:
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
    path = path.resolve()
    other = _GIVEN.setdefault(path.stem, path)
    if other != path:
        raise RecipeError(
            f"command line: recipe: {_shown(other)} and {_shown(path)} would both run as '{path.stem}': rename one"
        )
    if path.parent not in _EXTRA_DIRS:
        _EXTRA_DIRS.insert(0, path.parent)
    return path.stem


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


def _plain_overrides(overrides: list[str]) -> list[str]:
    return [override.removeprefix("++") for override in overrides]


def _explain(error: Exception, ready: Sequence[str] = ()) -> RecipeError:
    """Hydra's message, shortened to what a user can act on."""
    text = str(error).strip()
    typed = {re.sub(r"^[+~]+", "", item).partition("=")[0] for item in ready}
    file = _file_of(ready)
    if isinstance(error, OmegaConfBaseException) and getattr(error, "full_key", None):
        place = "command line" if error.full_key in typed else file
        return RecipeError(f"{place}: {_unresolved(error)}")
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
        return RecipeError(_no_plugin(plugin.group(1), plugin.group(2), re.findall(r"^\t(\S+)$", text, re.MULTILINE)))
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
    return _shown(path) if path is not None else "recipe or command line"


def _unresolved(error: OmegaConfBaseException) -> str:
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


def _no_plugin(kind: str, name: str, known: list[str]) -> str:
    """A launcher or sweeper that Hydra does not have: which there are, or the extra that brings it."""
    extra = _EXTRA_OF.get(name.partition("_")[0])
    if kind == "launcher" and extra and not any(item.startswith(name.partition("_")[0]) for item in known):
        return f"command line: hydra/{kind}: '{name}' is not installed: python -m pip install 'edgepipe[{extra}]'"
    return f"command line: hydra/{kind}: there is no {kind} '{name}'.{did_you_mean(name, known)}"


def _where(key: str, choices: dict[str, str], overrides: list[str]) -> str:
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
                return _shown(path)
        if any(item.startswith(f"{place}.") for item in typed):
            return "command line"
        place = place.rpartition(".")[0]
    return _shown(group or recipe) if recipe or group else "recipe"


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


def _shown(path: Path | None) -> str:
    if path is None:
        return "recipe"
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(path)


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
        refuse_growing(_plain(config))
        missing = sorted(OmegaConf.missing_keys(config))
        content = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "?"
        raise RecipeError(f"{_where(key, choices, overrides)}: {_unresolved(error)}") from None
    assert isinstance(content, dict)
    refuse_passwords({key: value for key, value in content.items() if key != "tracking"}, "recipe or command line")
    for key in missing:
        _forget(content, key.split("."))
    plain: dict[str, Any] = {str(key): value for key, value in content.items()}
    plain["name"] = choices.get("recipe", "recipe")
    if plain.get("trust_code") not in (False, None) and not trusted:
        raise RecipeError(f"trust_code: {_TYPED}")
    try:
        recipe = validate(plain)
        plan = make_plan(recipe)
        problems: list[tuple[str, str, Any]] = list(plan.problems)
    except ValidationError as error:
        problems = problems_of(error)
    problems = [problem for problem in problems if problem[0] not in missing]
    problems += [(key, f"missing: set it on the command line, as in {key}=VALUE", None) for key in missing]
    if problems:
        raise RecipeError("\n".join(_line(key, text, value, choices, overrides) for key, text, value in problems))
    return recipe, plan


_TYPED = "it is given by the words of the command line alone, and plainly: trust_code=true"


def _trusts(overrides: list[str]) -> bool:
    """Whether the command line's own words grant trust.

    Raises:
        RecipeError: they leave it to something else, as `trust_code=${x}` does.
    """
    typed = [item for item in _overrides(overrides) if item.key_or_group == "trust_code" and not item.is_delete()]
    for item in typed:
        values = list(item.sweep_string_iterator()) if item.is_discrete_sweep() else [item.get_value_element_as_str()]
        if not all(value.strip("'\"").lower() in ("true", "false") for value in values):
            raise RecipeError(f"command line: {printable(item.input_line or 'trust_code').lstrip('+')}: {_TYPED}")
    return bool(typed)


def _plain(config: DictConfig) -> dict[str, Any]:
    """The composed recipe as plain values, nothing filled in."""
    content = OmegaConf.to_container(config, resolve=False)
    return {str(key): value for key, value in content.items()} if isinstance(content, dict) else {}


def _forget(content: Any, place: list[str]) -> None:
    """Take a setting that was never given out of the plain content, so that all others can be judged."""
    for part in place[:-1]:
        content = content.get(part) if isinstance(content, dict) else None
    if isinstance(content, dict):
        content.pop(place[-1], None)


def _line(key: str, text: str, value: Any, choices: dict[str, str], overrides: list[str]) -> str:
    shown = value is not None and not isinstance(value, (dict, list)) and repr(value) not in text
    found = f" Found: {_short(repr(value))}." if shown else ""
    stop = "" if not found or text[-1] in ".?!" else "."
    return f"{printable(_where(key, choices, overrides))}: {printable(key)}: {text}{stop}{found}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_FOUND else f"{text[:_LONGEST_FOUND]}… ({len(text):,} letters)"


def _refuse_option(said: str) -> NoReturn:
    raise RecipeError(f"command line: {said}. `edgepipe --help` shows what there is; --hydra-help Hydra's own options")


def _arguments(argv: list[str]) -> argparse.Namespace:
    """Hydra's own flags and the overrides; folders to look recipes up in are set anew.

    Raises:
        RecipeError: a flag that means nothing here, which Hydra would ignore.
    """
    _EXTRA_DIRS.clear()  # a process may launch more than once
    _GIVEN.clear()
    parser = get_args_parser()
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
        _EXTRA_DIRS.insert(0, folder.resolve())
    return args


def compose(overrides: list[str]) -> tuple[Recipe, Plan]:
    """Compose, validate and plan one recipe without running it."""
    ready = _prepare(_arguments(overrides).overrides)
    with _hydra() as hydra:
        return _checked(hydra, ready)


def _checked(hydra: Hydra, ready: list[str], *, runs: bool = False) -> tuple[Recipe, Plan]:
    """Compose and validate; group options that do not exist are told together with what else is wrong."""
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
        config = _guarded(
            lambda: hydra.compose_config(config_name=PRIMARY, overrides=rest, run_mode=RunMode.RUN), ready
        )
        found = to_recipe(config, _choices(config), _plain_overrides(rest), trusted=_trusts(rest))
    except RecipeError as error:
        if not problems:
            raise
        # Settings of a group that was not found are judged once it is.
        more = [line for line in str(error).splitlines() if not any(f": {group}" in line for group in problems)]
        raise RecipeError("\n".join([*problems.values(), *more])) from None
    if problems:
        raise RecipeError("\n".join(problems.values()))
    if runs:
        _refuse_foreign(config, "run")
    return found


_NO_SUBDIR = "hydra.output_subdir: not used here: what a run was composed of is always in .hydra, in its folder"


def _refuse_foreign(config: DictConfig, part: str) -> None:
    """Before Hydra puts anything there: the folder of a run or a sweep is new, empty, or edgepipe's own."""
    key = f"hydra.{part}.dir"
    if config.hydra.output_subdir is not None:  # however it came: Hydra would write over what is there
        raise RecipeError(f"recipe or command line: {_NO_SUBDIR}")
    HydraConfig.instance().set_config(config)
    folder = _guarded(lambda: Path(str(OmegaConf.select(config, key))))
    marks.check(folder, "results", key, marks.ran_here)


@dataclass(frozen=True)
class Span:
    """Numbers between two ends; whole ones where the command line says int(interval(…))."""

    low: float
    high: float
    whole: bool


def search_space(overrides: list[str]) -> tuple[list[str], dict[str, list[str] | Span]]:
    """Split a command line into what is fixed and what is searched: key to its choices or its span.

    The words are those of a Hydra sweep: `key=a,b`, `choice(a, b)`, `range(1, 9)`, `interval(0.1, 0.7)`,
    `int(interval(1, 9))`.

    Raises:
        RecipeError: it cannot be read, or nothing is left to search.
    """
    fixed: list[str] = []
    space: dict[str, list[str] | Span] = {}
    for item in overrides:
        refuse_long_numbers(item, f"command line: {item.partition('=')[0][:60]}")
    overrides = [readable(item, sweeps=True, names=_names_of(item.partition("=")[0])) for item in overrides]
    parsed = _overrides(overrides)
    for text, override in zip(overrides, parsed, strict=True):
        if override.key_or_group == "trust_code" and override.is_sweep_override():
            raise RecipeError(f"command line: trust_code: not searched: {_TYPED}")
        if not override.is_sweep_override():
            fixed.append(text)
        elif override.is_interval_sweep():
            span: Any = override.value()
            if not 0 <= span.end - span.start < float("inf"):  # nan neither
                raise RecipeError(
                    f"command line: {override.get_key_element()}: interval({span.start:g},{span.end:g}): write two "
                    "finite numbers, the smaller one first"
                )
            whole = isinstance(span.start, int) and isinstance(span.end, int)
            space[override.get_key_element()] = Span(span.start, span.end, whole)
        elif isinstance(override.value(), Glob):
            key = override.get_key_element()
            raise RecipeError(f"command line: {key}: glob(…) is not searched: write the names out, as in {key}=a,b")
        elif count_values(override) > MOST_JOBS:
            key, count = override.get_key_element(), count_values(override)
            raise RecipeError(
                f"command line: {key}: {told_count(count)} values: {MOST_JOBS:,} are the most. Numbers are searched "
                "without being written out by interval(LOW,HIGH), whole ones by int(interval(LOW,HIGH))"
            )
        else:
            space[override.get_key_element()] = [str(item) for item in override.sweep_string_iterator()]
    if not space:
        raise RecipeError(
            "command line: search: nothing to search: give at least one setting several values, as in "
            "'passes.prune.ratio=interval(0.1,0.7)' or data.image_size=32,48,64"
        )
    return fixed, space


def _choices(config: DictConfig) -> dict[str, str]:
    return {str(key): str(value) for key, value in config.hydra.runtime.choices.items()}


def _guarded(work: Callable[[], Any], ready: Sequence[str] = ()) -> Any:
    """Do Hydra's work; what it finds wrong is told in words. `ready`: the overrides, to name the recipe's file."""
    try:
        return work()
    except RecipeError:
        raise
    except (HydraException, OmegaConfBaseException) as error:  # before OSError: a missing config is both
        raise _explain(error, ready) from None
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


def _complete(overrides: list[str]) -> None:
    """Hydra's shell completion: install, uninstall or query."""
    usage = 'to install it: eval "$(edgepipe --shell-completion install=bash)"; also zsh and fish, and uninstall='
    verb, _, shell = overrides[0].partition("=") if len(overrides) == 1 else ("", "", "")
    if verb not in ("install", "uninstall", "query") or shell not in ("bash", "zsh", "fish"):
        raise RecipeError(f"command line: --shell-completion: {usage}")
    if verb == "query" and "COMP_LINE" not in os.environ:
        raise RecipeError(f"command line: --shell-completion: COMP_LINE is not set: only a shell asks; {usage}")
    with _hydra() as hydra:
        hydra.shell_completion(config_name=PRIMARY, overrides=overrides)


def _overrides(texts: list[str], hydra: Hydra | None = None) -> list[Override]:
    """Parsed overrides; `hydra`, for `glob(…)` to know the names that are there.

    Raises:
        RecipeError: one of them is none.
    """
    loader = hydra.config_loader if hydra is not None else None
    parsed: list[Override] = _guarded(lambda: OverridesParser.create(loader).parse_overrides(texts))
    return parsed


def _first_of_a_sweep(overrides: list[str]) -> None:
    """For `recipe=a,b`, make `a` the default.

    Hydra composes a sweep once without its swept values; without a recipe there are no groups then, and
    `model=onnx` beside the sweep would be refused as unknown.
    """
    for override in _overrides(overrides):
        if override.key_or_group == "recipe" and override.is_sweep_override():
            value = override.value()
            names = swept_names(override, list(recipe_names()))
            if isinstance(value, Glob) and not names:
                raise RecipeError(f"command line: recipe: no recipe is named like {', '.join(value.include)}")
            for name in names:
                _recipe_name(name)
            first = names[0] if names else None
            structure = {**_STRUCTURE, "defaults": [*_STRUCTURE["defaults"][:-1], {"recipe": first}]}
            ConfigStore.instance().store(name=PRIMARY, node=OmegaConf.create(structure))


def _jobs(hydra: Hydra, composed: DictConfig, overrides: list[str]) -> int:
    """How many jobs a sweep has, those of `hydra.sweeper.params` included; 1 where its sweeper draws them.

    Raises:
        RecipeError: too many.
    """
    sweeper = _guarded(lambda: OmegaConf.to_container(composed.hydra.sweeper, resolve=True))
    if not str(sweeper.get("_target_")).endswith(".BasicSweeper"):
        return 1
    params = [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]
    for item in params:
        if re.match(r"[+~]*(hydra|trust_code|tracking|store)\b", item):
            key = item.partition("=")[0]
            raise RecipeError(
                f"recipe or command line: hydra.sweeper.params.{key}: a sweep goes over the recipe's own settings; "
                "give this once, for all jobs"
            )
    jobs: int = _guarded(lambda: count_jobs(_overrides([*params, *overrides], hydra)))
    return jobs


def _divide_cores(overrides: list[str], jobs: int) -> None:
    """Tell the jobs of a sweep, through OMP_NUM_THREADS, how many cores each may use, where their launcher does not.

    joblib and Ray divide the machine themselves; submitit's local jobs all start at once and would each take all
    of it. What the user set stands.
    """
    launcher = {item.key_or_group: str(item.value()) for item in _overrides(overrides)}.get("hydra/launcher")
    if launcher != "submitit_local" or "OMP_NUM_THREADS" in os.environ:
        return
    os.environ["OMP_NUM_THREADS"] = str(max(1, available_cores() // jobs))


def _launched(work: Callable[[], Any]) -> Any:
    """A sweep's jobs. Jobs never raise, so what comes here is their launcher, or a job whose process died."""
    try:
        return _guarded(work)
    except EdgepipeError:
        raise
    except Exception as error:
        if os.environ.get("EDGEPIPE_DEBUG"):
            raise
        said = (str(error).strip().splitlines() or [""])[0][:300]
        raise EdgepipeError(
            f"sweep: a job's process or its launcher died: {type(error).__name__}: {said}. Was it short of memory? "
            "Finished jobs and steps are kept: run the same command again. `edgepipe compare RUN RUN ...` shows what "
            "is there, EDGEPIPE_DEBUG=1 the traceback"
        ) from error


def launch(argv: list[str], task: Callable[..., Any]) -> list[tuple[list[str], Any]]:
    """Run Hydra's command line: one job, a sweep, or one of its own flags (`--cfg`, `--info`, …).

    Args:
        argv: arguments after the program's name.
        task: called in each job with the composed config, and `trusted=True` where the command line grants trust;
            must not raise for a user's error.

    Returns:
        (overrides, what the task returned) of each job; empty for flags that only print.
    """
    args = _arguments(argv)
    if args.shell_completion:
        _complete(args.overrides)
        return []
    if args.hydra_help:
        with _hydra() as hydra:
            hydra.hydra_help(None, args_parser=get_args_parser(), args=args)
        return []
    ready = _prepare(args.overrides, sweeps=args.multirun)
    with _hydra() as hydra:
        if args.cfg:
            if args.resolve:
                composed = _guarded(lambda: hydra.compose_config(PRIMARY, ready, RunMode.RUN), ready)
                refuse_growing(_plain(composed))
            _guarded(lambda: hydra.show_cfg(PRIMARY, ready, args.cfg, args.package, args.resolve), ready)
            return []
        if args.info:
            _guarded(lambda: hydra.show_info(args.info, PRIMARY, ready), ready)
            return []
        _first_of_a_sweep(ready)
        task = partial(task, trusted=True) if _trusts(ready) else task
        if args.multirun or _guarded(lambda: hydra.get_mode(PRIMARY, ready), ready) == RunMode.MULTIRUN:
            composed = _guarded(lambda: hydra.compose_config(PRIMARY, ready, RunMode.MULTIRUN), ready)
            _divide_cores(ready, _jobs(hydra, composed, ready))
            _refuse_foreign(composed, "sweep")
            by_ray = ".hydra_ray_launcher." in str(composed.hydra.launcher.get("_target_"))
            with heard_beside_ray() if by_ray else nullcontext():
                batches = _launched(lambda: hydra.multirun(PRIMARY, task, ready)) or []
            jobs = [job for batch in batches for job in (batch if isinstance(batch, list) else [batch])]
            return [(_plain_overrides(list(job.overrides or [])), job.return_value) for job in jobs]
        # Composed and checked before Hydra makes the run's folder: a broken recipe leaves nothing behind.
        _checked(hydra, ready, runs=True)
        job = _guarded(lambda: hydra.run(PRIMARY, task, ready), ready)
        return [(_plain_overrides(ready), job.return_value)]


def current_job() -> tuple[dict[str, str], list[str], Path]:
    """(group choices, overrides, output folder) of the Hydra job that runs now."""
    hydra = HydraConfig.get()
    choices = {str(key): str(value) for key, value in hydra.runtime.choices.items()}
    return choices, _plain_overrides(list(hydra.overrides.task)), Path(hydra.runtime.output_dir)


def keep_config(config: DictConfig, folder: Path) -> None:
    """Write what a job was composed of beside it, as Hydra does: `.hydra/config.yaml`, `hydra.yaml`, `overrides.yaml`.

    Args:
        config: the job's, without Hydra's own section.
    """
    hydra = HydraConfig.get()
    place = folder / ".hydra"
    place.mkdir(exist_ok=True)
    for name, content in (
        ("config", config),
        ("hydra", OmegaConf.create({"hydra": hydra})),
        ("overrides", hydra.overrides.task),
    ):
        write_text(place / f"{name}.yaml", OmegaConf.to_yaml(content))


def current_sweep() -> str | None:
    """The folder of the sweep that the job which runs now belongs to; only a sweep's jobs have a number."""
    hydra = HydraConfig.get()
    return None if OmegaConf.is_missing(hydra.job, "num") else str(Path(str(hydra.sweep.dir)).absolute())


def to_yaml(value: dict[str, Any]) -> str:
    """Plain values as YAML, in the order given."""
    return str(OmegaConf.to_yaml(OmegaConf.create(value)))
