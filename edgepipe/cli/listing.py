"""The verbs that only look: plan, list, doctor, schema, report, compare. None of them imports torch."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from edgepipe.base.files import is_folder, is_there
from edgepipe.base.marks import claim, ran_here
from edgepipe.base.text import printable
from edgepipe.errors import InputError, RecipeError
from edgepipe.plugins import DATA, MODELS, did_you_mean, pass_class, pass_names, source_class
from edgepipe.recipe.files import read_yaml
from edgepipe.recipe.plan import unusable
from edgepipe.recipe.schema import Recipe
from edgepipe.report.terminal import Arguments, PlainConsole, output_console, print_error
from edgepipe.sources.settings import is_path


def _console() -> Console:
    return PlainConsole(soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 160)


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _type_name(annotation: Any) -> str:
    return getattr(annotation, "__name__", None) or str(annotation).replace("typing.", "").replace("NoneType", "null")


def _settings_table(kind: type[BaseModel]) -> Table:
    table = Table(box=None, padding=(0, 2), show_header=False)
    for name, field in kind.model_fields.items():
        if name == "trust_code":
            continue
        annotation = str(field.annotation) if "[" in str(field.annotation) or "|" in str(field.annotation) else None
        kind_name = (annotation or _type_name(field.annotation)).replace("typing.", "").replace("None", "null")
        default = (
            "required" if field.is_required() else json.dumps(field.get_default(call_default_factory=True), default=str)
        )
        table.add_row(f"  {name}", kind_name, default, field.description or "", style=None)
    return table


def _named_classes(what: str) -> dict[str, type[BaseModel]]:
    if what == "passes":
        return {name: pass_class(name) for name in sorted(pass_names())}
    names = MODELS if what == "models" else DATA
    return {name: source_class(what.removesuffix("s"), name) for name in sorted(names)}


Listed = TypeVar("Listed")


def _only(what: str, known: Mapping[str, Listed], wanted: Sequence[str]) -> dict[str, Listed]:
    """Those that are asked for; all if none is."""
    for name in wanted:
        if name not in known:
            raise RecipeError(f"command line: list {what}: unknown '{name}'.{did_you_mean(name, known)}")
    return {name: known[name] for name in wanted or known}


def _facts(target: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(name, value, source) of what a target states."""
    for name, fact in target.items():
        for each in fact if isinstance(fact, list) else [fact]:
            if isinstance(each, dict) and "source" in each:
                yield f"  {name}", _plain(each.get("value")), str(each["source"])
            elif isinstance(each, dict):
                yield from ((f"  {name}.{key}", _plain(value), "") for key, value in each.items())
            elif name not in ("name", "description"):
                yield f"  {name}", _plain(each), ""


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def main_list(argv: list[str]) -> int:
    """`edgepipe list passes|recipes|models|data|targets [NAME]`."""
    whats = ("passes", "recipes", "models", "data", "targets")
    if not argv or argv[0] not in whats:
        found = f"'{argv[0]}' is unknown.{did_you_mean(argv[0], whats)}" if argv else "say what to list."
        raise RecipeError(f"command line: list: {found} One of: {', '.join(whats)}")
    console = _console()
    what = argv[0]
    if what in ("recipes", "targets"):
        import yaml

        from edgepipe.recipe.lookup import group_options, recipe_names

        table = Table(box=None, padding=(0, 2), show_header=False)
        paths = recipe_names() if what == "recipes" else group_options("target")
        for name, path in sorted(_only(what, paths, argv[1:]).items()):
            try:
                content = read_yaml(path)
            except (OSError, ValueError, yaml.YAMLError):
                content = None
            described = isinstance(content, dict)
            table.add_row(name, str(content.get("description", "")) if described else f"not a recipe: {path}")
            if what == "targets" and argv[1:] and described:
                for row in _facts(content):
                    table.add_row(*row)
        console.print(table)
        return 0
    classes = _only(what, _named_classes(what), argv[1:])
    for name, kind in classes.items():
        kinds = f"  [{kind.reads} -> {kind.writes}]" if what == "passes" else ""  # type: ignore[attr-defined]
        console.print(f"{name}{kinds}  {_first_line(kind.__doc__)}", markup=False, style="bold")
        console.print(_settings_table(kind))
    if what == "models":
        from edgepipe.recipe.lookup import group_options

        console.print(
            f"shortcuts: {', '.join(f'model={name}' for name in sorted(group_options('model')))}", markup=False
        )
    return 0


def main_plan(argv: list[str]) -> int:
    """`edgepipe plan recipe=NAME [overrides]`: the typed steps; problems exit 2."""
    from edgepipe.recipe.compose import compose

    recipe, plan = compose(argv)
    table = Table(box=None, padding=(0, 2))
    for column in ("#", "step", "pass", "reads", "writes", "settings"):
        table.add_column(column)
    for number, step in enumerate(plan.steps):
        settings = step.settings or recipe.model.settings
        changed = {
            name: getattr(settings, name) for name in type(settings).model_fields if name in settings.model_fields_set
        }
        changed.pop("trust_code", None)
        said = (
            "inserted by the plan" if step.inserted else ", ".join(f"{key}={value}" for key, value in changed.items())
        )
        splits = ", ".join(str(split) for split in step.settings.splits()) if step.settings else ""
        reads = f"{step.reads or step.name}" + (f" + {splits} data" if splits else "")
        mark = "  (baseline)" if step.label == plan.baseline else ""
        table.add_row(
            str(number), step.label + mark, step.name if step.settings else "load", reads, str(step.writes), said
        )
    console = _console()
    console.print(f"{recipe.name}: {recipe.description}", markup=False)
    console.print(
        f"model: {recipe.model.source}   data: {recipe.data.source}   store: {recipe.store.root}", markup=False
    )
    console.print(table)
    said = ", ".join(f"{key} {value}" for key, value in recipe.goals.items())
    console.print(f"goal: {said or 'none'}", markup=False)
    _preflight(recipe, console)
    lacking = list(_lacking(recipe))
    for text in lacking:
        print_error(text)
    return RecipeError.exit_code if lacking else 0


def _lacking(recipe: Recipe) -> Iterator[str]:
    """Files, folders and networks that the recipe names and that are not there."""
    yield from (f"{recipe.name}: {text}" for text in unusable(recipe))
    for part, source, settings in (
        ("model", recipe.model.source, recipe.model.settings),
        ("data", recipe.data.source, recipe.data.settings),
    ):
        for name, value in settings:
            named = isinstance(value, Path) or (name in ("path", "weights") and isinstance(value, str))
            if not named or source == "cifar10":  # which may be downloaded
                continue
            if name == "weights" and not is_path(str(value)):
                continue  # the name of published weights
            where = f"{recipe.name}: {part}.{name}"
            try:
                if not is_there(Path(value), where):
                    yield f"{where}: there is no {value} here"
            except InputError as error:
                yield str(error)


def _preflight(recipe: Recipe, console: Console) -> None:
    """What will be slow, unsupported or unproven on the target."""
    from edgepipe.targets.estimate import warnings
    from edgepipe.verify.targets import target_of

    console.print(f"target: {recipe.target.name}: {recipe.target.description}", markup=False)
    steps = [(label, step.name, step.settings.settings()) for label, step in recipe.passes.items()]
    for text in warnings(recipe.target, steps, recipe.verify):
        console.print(f"  note: {text}", markup=False)
    for name in recipe.verify:
        lacking = target_of(name).lacking()
        console.print(f"verify: {name}: {f'will be skipped: {lacking}' if lacking else 'ready'}", markup=False)


def _nothing_more(verb: str, argv: list[str]) -> None:
    if argv:
        raise RecipeError(f"command line: {verb}: takes nothing more; found '{argv[0]}'")


def main_doctor(argv: list[str]) -> int:
    """`edgepipe doctor`: versions, instruction sets, threads, missing extras."""
    _nothing_more("doctor", argv)
    from edgepipe.targets.doctor import doctor

    table = Table(box=None, padding=(0, 2), show_header=False)
    colours = {"ok": "", "warning": "yellow", "missing": "red"}
    for row in doctor():
        table.add_row(row.topic, row.name, row.value, row.status, row.remedy, style=colours[row.status])
    _console().print(table)
    return 0


def main_schema(argv: list[str]) -> int:
    """`edgepipe schema`: the JSON Schema of metrics.json."""
    _nothing_more("schema", argv)
    from edgepipe.records.metrics import Metrics

    sys.stdout.write(json.dumps(Metrics.model_json_schema(), indent=1) + "\n")
    return 0


def main_report(argv: list[str]) -> int:
    """`edgepipe report RUN`: write report.html again from metrics.json."""
    from edgepipe.records.metrics import read_metrics
    from edgepipe.report.html import write_report

    parser = Arguments("edgepipe report", description="Write report.html again from metrics.json.")
    parser.add_argument("run", type=Path, help="a run's folder, or its metrics.json")
    args = parser.read(argv)
    if args is None:
        return 0
    target = (args.run if is_folder(args.run) else args.run.parent) / "report.html"
    metrics = read_metrics(args.run)
    try:
        write_report(metrics, target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from None
    sys.stdout.write(f"{printable(str(target))}\n")
    return 0


def main_compare(argv: list[str]) -> int:
    """`edgepipe compare RUN RUN … [--out DIR]`: the sweep page over any runs."""
    from edgepipe.records.metrics import read_metrics
    from edgepipe.report.sweep import Run, rich_sweep, write_sweep

    parser = Arguments("edgepipe compare", description="One table and one page over several runs.")
    parser.add_argument("runs", nargs="+", type=Path, help="run folders, or their metrics.json")
    parser.add_argument("--out", type=Path, help="write sweep.html, .json, .csv and .md here")
    args = parser.read(argv)
    if args is None:
        return 0
    runs: list[Run] = []
    for given in args.runs:
        metrics = read_metrics(given)
        folder = (given if is_folder(given) else given.parent).resolve()  # `.` has no name
        named = any(item.startswith("recipe=") for item in metrics.overrides)
        runs.append(([*([] if named else [f"recipe={metrics.recipe}"]), *metrics.overrides], metrics, folder))
    console = output_console()
    console.print(rich_sweep(runs), soft_wrap=True)
    if args.out is not None:
        try:
            claim(args.out, "results", "command line: --out", ran_here)
            write_sweep(runs, args.out)
        except OSError as error:
            raise InputError(f"{args.out}: cannot be written: {error.strerror or error}") from None
        console.print(f"page: {args.out / 'sweep.html'}", markup=False)
    return 0
