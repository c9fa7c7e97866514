"""A command line run as Hydra's jobs: one, or those of a sweep."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

from omegaconf import DictConfig, OmegaConf

from edgepipe.base.stopping import heard_beside_ray
from edgepipe.errors import EdgepipeError, RecipeError
from edgepipe.recipe.command_line import arguments, plain_overrides, prepared, recipe_name, trusts
from edgepipe.recipe.compose import checked, refuse_foreign, unresolved_values
from edgepipe.recipe.explain import guarded
from edgepipe.recipe.hydra_app import App, opened, parsed, set_default_recipe, sweeps
from edgepipe.recipe.interpolations import refuse_growing
from edgepipe.recipe.lookup import recipe_names
from edgepipe.recipe.words import count_jobs, globbed, swept_names
from edgepipe.targets.host import available_cores


def launch(argv: list[str], task: Callable[..., Any]) -> list[tuple[list[str], Any]]:
    """Run Hydra's command line: one job, a sweep, or one of its own flags (`--cfg`, `--info`, …).

    Args:
        argv: arguments after the program's name.
        task: called in each job with the composed config; with `trusted=True` where the command line grants trust,
            and with `made=(recipe, plan)` where they are checked already. Must not raise for a user's error.

    Returns:
        (overrides, what the task returned) of each job; empty for flags that only print.
    """
    args = arguments(argv)
    if args.shell_completion:
        _complete(args.overrides)
        return []
    if args.hydra_help:
        with opened() as app:
            app.show_help(args)
        return []
    ready = prepared(args.overrides, sweeps=args.multirun)
    with opened() as app:
        if args.cfg:
            if args.resolve:
                refuse_growing(unresolved_values(app.composed(ready, ready)))
            app.show_config(ready, args)
            return []
        if args.info:
            app.show_info(ready, args.info)
            return []
        _first_of_a_sweep(ready)
        task = partial(task, trusted=True) if trusts(ready) else task
        config = None if args.multirun else _composed(app, ready)
        if args.multirun or (app.is_sweep(ready) if config is None else sweeps(config)):
            composed = app.composed(ready, ready, sweep=True)
            _divide_cores(ready, _jobs(app, composed, ready))
            refuse_foreign(composed, "sweep")
            by_ray = ".hydra_ray_launcher." in str(composed.hydra.launcher.get("_target_"))
            with heard_beside_ray() if by_ray else nullcontext():
                batches = _launched(lambda: app.sweep(task, ready)) or []
            jobs = [job for batch in batches for job in (batch if isinstance(batch, list) else [batch])]
            return [(plain_overrides(list(job.overrides or [])), job.return_value) for job in jobs]
        # Composed and checked before Hydra makes the run's folder: a broken recipe leaves nothing behind.
        made = checked(app, ready, config)
        assert config is not None  # else `checked` has said what is wrong
        refuse_foreign(config, "run")
        return [(plain_overrides(ready), app.run(partial(task, made=made), config, ready).return_value)]


def _composed(app: App, ready: list[str]) -> DictConfig | None:
    """What the overrides are composed to; None where they cannot be, for they sweep, or something is wrong."""
    try:
        return app.composed(ready, ready)
    except RecipeError:
        return None


def _first_of_a_sweep(overrides: list[str]) -> None:
    """For `recipe=a,b`, make `a` the default.

    Hydra composes a sweep once without its swept values; without a recipe there are no groups then, and
    `model=onnx` beside the sweep would be refused as unknown.
    """
    for override in parsed(overrides):
        if override.key_or_group == "recipe" and override.is_sweep_override():
            patterns = globbed(override)
            names = swept_names(override, list(recipe_names()))
            if patterns is not None and not names:
                raise RecipeError(f"command line: recipe: no recipe is named like {', '.join(patterns)}")
            for name in names:
                recipe_name(name)
            set_default_recipe(names[0] if names else None)


def _jobs(app: App, composed: DictConfig, overrides: list[str]) -> int:
    """How many jobs a sweep has, those of `hydra.sweeper.params` included; 1 where its sweeper draws them.

    Raises:
        RecipeError: too many.
    """
    sweeper: Any = guarded(lambda: OmegaConf.to_container(composed.hydra.sweeper, resolve=True))
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
    return guarded(lambda: count_jobs(app.parsed([*params, *overrides])))


def _divide_cores(overrides: list[str], jobs: int) -> None:
    """Tell the jobs of a sweep, through OMP_NUM_THREADS, how many cores each may use, where their launcher does not.

    joblib and Ray divide the machine themselves; submitit's local jobs all start at once and would each take all
    of it. What the user set stands.
    """
    launcher = {item.key_or_group: str(item.value()) for item in parsed(overrides)}.get("hydra/launcher")
    if launcher != "submitit_local" or "OMP_NUM_THREADS" in os.environ:
        return
    os.environ["OMP_NUM_THREADS"] = str(max(1, available_cores() // jobs))


def _launched(work: Callable[[], Any]) -> Any:
    """A sweep's jobs. Jobs never raise, so what comes here is their launcher, or a job whose process died."""
    try:
        return work()
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


def _complete(overrides: list[str]) -> None:
    """Hydra's shell completion: install, uninstall or query."""
    usage = 'to install it: eval "$(edgepipe --shell-completion install=bash)"; also zsh and fish, and uninstall='
    verb, _, shell = overrides[0].partition("=") if len(overrides) == 1 else ("", "", "")
    if verb not in ("install", "uninstall", "query") or shell not in ("bash", "zsh", "fish"):
        raise RecipeError(f"command line: --shell-completion: {usage}")
    if verb == "query" and "COMP_LINE" not in os.environ:
        raise RecipeError(f"command line: --shell-completion: COMP_LINE is not set: only a shell asks; {usage}")
    with opened() as app:
        app.complete(overrides)
