"""Hydra, as edgepipe drives it: the one file that knows its private modules, its plug-ins and its jobs.

`words` reads its grammar and `explain` its errors; nobody else imports it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import version as hydra_version
from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import configure_log, run_job
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, read_write

from edgepipe.base.files import is_folder, write_text
from edgepipe.recipe.explain import guarded
from edgepipe.recipe.files import refuse_code, refuse_exploding, refuse_large
from edgepipe.recipe.lookup import given_recipes, recipe_dirs, shown
from edgepipe.recipe.text import check_text

_SCHEME = "recipes"
_PRIMARY = "edgepipe"
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


class RecipeSource(FileConfigSource):
    """Hydra config source in which the group `recipe` is the folder itself."""

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider, path)
        self.given = given_recipes()  # kept here, since launchers carry this object into other processes

    @staticmethod
    def scheme() -> str:
        return _SCHEME

    @staticmethod
    def _drop(config_path: str) -> str:
        return "" if config_path == "recipe" else config_path.removeprefix("recipe/")

    # Hydra calls these by keyword: the parameter names are part of its interface.
    def load_config(self, config_path: str) -> ConfigResult:
        name = self._drop(config_path)
        file = Path(self.path) / self._normalize_file_name(name)
        refuse_large(file, shown(file))
        check_text(file, shown(file))
        refuse_exploding(file, shown(file))
        result = super().load_config(name)
        group = config_path.removesuffix(".yaml").rpartition("/")[0]
        if group == "recipe" and not result.header.get("package"):
            result.header["package"] = "_global_"  # as every recipe needs it
        package = (result.header.get("package") or group).replace("_group_", group).replace("_global_", "")
        content = OmegaConf.to_container(result.config, resolve=False)
        refuse_code(content, package.replace("/", "."), shown(file), group.removeprefix("recipe/"))
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


class RecipeSearchPath(SearchPathPlugin):
    """Adds the recipe folders to Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in recipe_dirs():
            search_path.append(provider="edgepipe", path=f"{_SCHEME}://{folder}")


def _install() -> None:
    ConfigStore.instance().store(name=_PRIMARY, node=OmegaConf.create(_STRUCTURE))
    plugins = Plugins.instance()
    for plugin in (RecipeSource, RecipeSearchPath):
        if plugin not in plugins.class_name_to_class.values():
            plugins.register(plugin)


class App:
    """Hydra for one command line. What it finds wrong with a recipe or an override is a `RecipeError` in words.

    `ready` are overrides as `command_line.prepared` makes them; they also tell an error which file it is about.
    """

    def __init__(self, hydra: Hydra) -> None:
        self._hydra = hydra

    def composed(self, overrides: list[str], ready: list[str], *, sweep: bool = False) -> DictConfig:
        """The config of some of the overrides `ready`, Hydra's own section included."""
        mode = RunMode.MULTIRUN if sweep else RunMode.RUN
        return guarded(lambda: self._hydra.compose_config(_PRIMARY, overrides, mode), ready)

    def is_sweep(self, ready: list[str]) -> bool:
        """Whether `hydra.mode` says so."""
        return guarded(lambda: bool(self._hydra.get_mode(_PRIMARY, ready) == RunMode.MULTIRUN), ready)

    def parsed(self, texts: list[str]) -> list[Override]:
        """As `parsed`, and `glob(…)` knows the names that are there."""
        return _parsed(texts, self._hydra.config_loader)

    def run(self, task: Callable[..., Any], config: DictConfig, ready: list[str]) -> Any:
        """One job: Hydra's `JobReturn`. As `Hydra.run` does it, of a config that is composed already.

        Args:
            config: as `composed` gives it.
        """
        return guarded(lambda: self._run(task, config), ready)

    def _run(self, task: Callable[..., Any], config: DictConfig) -> Any:
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)
        with read_write(config.hydra):  # whoever looked at its folder has locked it
            config.hydra.mode = RunMode.RUN
        callbacks = Callbacks(config)
        callbacks.on_run_start(config=config, config_name=_PRIMARY)
        found = run_job(
            hydra_context=HydraContext(config_loader=self._hydra.config_loader, callbacks=callbacks),
            task_function=task,
            config=config,
            job_dir_key="hydra.run.dir",
            job_subdir_key=None,
        )
        callbacks.on_run_end(config=config, config_name=_PRIMARY, job_return=found)
        return found

    def sweep(self, task: Callable[..., Any], ready: list[str]) -> Any:
        """The jobs of a sweep, as their launcher gives them back; its own errors come as they are."""
        return guarded(lambda: self._hydra.multirun(_PRIMARY, task, ready))

    def show_config(self, ready: list[str], args: argparse.Namespace) -> None:
        """`--cfg`, to standard output."""
        guarded(lambda: self._hydra.show_cfg(_PRIMARY, ready, args.cfg, args.package, args.resolve), ready)

    def show_info(self, ready: list[str], what: str) -> None:
        """`--info`, to standard output."""
        guarded(lambda: self._hydra.show_info(what, _PRIMARY, ready), ready)

    def show_help(self, args: argparse.Namespace) -> None:
        """`--hydra-help`, to standard output."""
        self._hydra.hydra_help(None, args_parser=get_args_parser(), args=args)

    def complete(self, overrides: list[str]) -> None:
        """`--shell-completion`, as the shell asks for it."""
        self._hydra.shell_completion(config_name=_PRIMARY, overrides=overrides)


@contextmanager
def opened() -> Iterator[App]:
    """Hydra with edgepipe's recipes; its global state is left as if it had never been there."""
    hydra_version.setbase("1.3")
    _install()
    GlobalHydra.instance().clear()
    path = create_config_search_path(None)
    try:
        yield App(Hydra.create_main_hydra2(task_name="edgepipe", config_search_path=path))
    finally:
        GlobalHydra.instance().clear()


def arguments_parser() -> argparse.ArgumentParser:
    """The parser of Hydra's own flags and the overrides."""
    parser: argparse.ArgumentParser = get_args_parser()
    return parser


def parsed(texts: list[str]) -> list[Override]:
    """Parsed overrides.

    Raises:
        RecipeError: one of them is none.
    """
    return _parsed(texts, None)


def _parsed(texts: list[str], loader: Any) -> list[Override]:
    return guarded(lambda: list(OverridesParser.create(loader).parse_overrides(texts)))


def set_default_recipe(name: str | None) -> None:
    """The recipe of what is composed while Hydra is open, where no override names one."""
    structure = {**_STRUCTURE, "defaults": [*_STRUCTURE["defaults"][:-1], {"recipe": name}]}
    ConfigStore.instance().store(name=_PRIMARY, node=OmegaConf.create(structure))


def sweeps(config: DictConfig) -> bool:
    """Whether a composed config's own `hydra.mode` makes a sweep of it."""
    return bool(config.hydra.mode == RunMode.MULTIRUN)


def choices_of(config: DictConfig) -> dict[str, str]:
    """Which option of each group a config was composed of."""
    return {str(key): str(value) for key, value in config.hydra.runtime.choices.items()}


def folder_of(config: DictConfig, key: str) -> Path:
    """The folder that Hydra will make, of `hydra.run.dir` or `hydra.sweep.dir`."""
    HydraConfig.instance().set_config(config)
    return guarded(lambda: Path(str(OmegaConf.select(config, key))))


def current_job() -> tuple[dict[str, str], list[str], Path]:
    """(group choices, overrides, output folder) of the Hydra job that runs now."""
    hydra = HydraConfig.get()
    choices = {str(key): str(value) for key, value in hydra.runtime.choices.items()}
    return choices, [item.removeprefix("++") for item in hydra.overrides.task], Path(hydra.runtime.output_dir)


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
