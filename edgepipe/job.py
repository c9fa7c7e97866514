"""One job of the command line: a composed config in, a finished run folder with its report out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from edgepipe.compose import current_job, launch, to_recipe, to_yaml
from edgepipe.errors import EdgepipeError
from edgepipe.metrics import Metrics, read_metrics
from edgepipe.run import describe, run
from edgepipe.terminal import LiveWatcher, error_console, output_console, print_error


def job(config: DictConfig) -> dict[str, Any]:
    """Run one composed recipe in Hydra's output folder. Never raises for a user's error: a sweep goes on.

    Returns:
        `exit_code`, `folder` (absolute) and `error` (a message, or None); plain values, so that any
        launcher can carry them between processes.
    """
    choices, overrides, folder = current_job()
    folder = folder.absolute()
    try:
        recipe, plan = to_recipe(config, choices, overrides)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.yaml").write_text(to_yaml(describe(recipe)), encoding="utf-8")
        (folder / "overrides.yaml").write_text(to_yaml({"overrides": overrides}), encoding="utf-8")
        with LiveWatcher() as watcher:
            outcome = run(recipe, plan, folder, overrides=overrides, watcher=watcher)
        _publish(outcome.metrics, folder)
    except EdgepipeError as error:
        print_error(str(error))
        return {"exit_code": error.exit_code, "folder": str(folder), "error": str(error)}
    except OSError as error:
        text = f"{folder}: {error.strerror or error}. Choose a writable folder with hydra.run.dir=DIR"
        print_error(text)
        return {"exit_code": 1, "folder": str(folder), "error": text}
    failure = outcome.metrics.failure
    return {"exit_code": outcome.exit_code, "folder": str(folder), "error": failure.message if failure else None}


def _publish(metrics: Metrics, folder: Path) -> None:
    from edgepipe.report.card import model_card
    from edgepipe.report.html import write_report
    from edgepipe.report.table import rich_table

    write_report(metrics, folder / "report.html")
    final = folder / "final"
    if final.is_dir():
        from edgepipe.artifact import open_artifact

        card = model_card(metrics, open_artifact(final, verify=False).signature)
        (final / "README.md").write_text(card, encoding="utf-8")
    console = output_console()
    console.print()
    console.print(rich_table(metrics, console.width), soft_wrap=True)
    if metrics.failure is not None:
        where = f"passes.{metrics.failure.step}: " if metrics.failure.step else ""
        text = metrics.failure.message
        print_error(text if text.startswith(where) else where + text)
    console.print(f"report: {_near(folder / 'report.html')}", markup=False, soft_wrap=True)


def _near(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def run_command(argv: list[str]) -> int:
    """`edgepipe recipe=… [overrides] [-m]`: run it, and for a sweep write its summary."""
    argv = ["require_verify=true" if item == "--require-verify" else item for item in argv]
    jobs = launch(argv, job)
    if not jobs:
        return 0
    if len(jobs) > 1 or _is_sweep(argv):
        _summarise(jobs)
    codes = [int(result["exit_code"]) for _, result in jobs]
    if len(codes) == 1:
        return codes[0]
    return 1 if any(codes) else 0


def _is_sweep(argv: list[str]) -> bool:
    return any(flag in argv for flag in ("-m", "--multirun"))


def _summarise(jobs: list[tuple[list[str], dict[str, Any]]]) -> None:
    from edgepipe.report.sweep import rich_sweep, write_sweep

    runs: list[tuple[list[str], Metrics | None, Path]] = []
    for overrides, result in jobs:
        path = Path(result["folder"]) / "metrics.json"
        metrics = read_metrics(path) if path.is_file() else None
        runs.append((overrides, metrics, Path(result["folder"])))
    folder = Path(os.path.commonpath([str(path) for _, _, path in runs]))
    if len(runs) == 1:
        folder = folder.parent
    write_sweep(runs, folder)
    console = output_console()
    console.print()
    console.print(rich_sweep(runs), soft_wrap=True)
    console.print(f"sweep: {_near(folder / 'sweep.html')}", markup=False, soft_wrap=True)
    failed = [(overrides, result) for overrides, result in jobs if result["exit_code"]]
    if failed:
        error_console().print(f"{len(failed)} of {len(jobs)} jobs did not end well", style="red")
