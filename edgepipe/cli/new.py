"""`edgepipe new MODEL --data PLACE`: look at what is there, and write a recipe that runs."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from edgepipe.base.files import is_there, near, write_text
from edgepipe.errors import InputError, RecipeError
from edgepipe.report.terminal import Arguments, error_console, output_console, print_note
from edgepipe.start.draft import DROP, Draft, Wish, as_yaml, draft

STORE = Path("outputs/.store")


def options(verb: str, description: str) -> Arguments:
    """What `new` and `compress` take alike."""
    parser = Arguments(f"edgepipe {verb}", description=description)
    parser.add_argument("model", nargs="?", help="a model's file or folder, or the name of a network")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="of the recipe, as in data.channels=1")
    parser.add_argument("--data", metavar="PLACE", help="your examples: a folder, a .zip or a file")
    parser.add_argument("--task", help="what the outputs mean: `edgepipe list tasks`; default: as data and outputs say")
    parser.add_argument("--target", help="the device: `edgepipe list targets`; default: this machine")
    parser.add_argument("--drop", type=float, help=f"how much worse the first measure may become; default: {DROP}")
    return parser


def wish_of(verb: str, args: argparse.Namespace) -> Wish:
    """What was said; what was not is asked for where somebody sits at a terminal.

    Raises:
        RecipeError: the model or the data is not named, and nobody can be asked; or a setting is none.
    """
    asked = sys.stdin.isatty() and sys.stderr.isatty()
    model = args.model or (_ask("Model (file, folder or name of a network)", "") if asked else "")
    data = args.data or (_ask("Your examples (folder, .zip or file)", "") if asked else "")
    if not model or not data:
        lacking = "a model" if not model else "--data PLACE, your examples"
        raise RecipeError(f"command line: {verb}: say {lacking}: edgepipe {verb} MODEL --data PLACE")
    target = args.target or (_ask("Device (`edgepipe list targets`)", "host") if asked else "host")
    drop = args.drop
    if drop is None:
        drop = _number(_ask("How much worse may the first measure become", str(DROP))) if asked else DROP
    if not 0 <= drop <= 1:
        raise RecipeError(f"command line: {verb}: --drop: between 0 and 1, found {drop:g}")
    return Wish(model, data, args.task, None if target == "host" else target, drop, _settings(verb, args.settings))


def _ask(question: str, default: str) -> str:
    error_console().print(f"{question}{f' [{default}]' if default else ''}: ", end="")
    return sys.stdin.readline().strip() or default


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RecipeError(f"{text!r} is no number") from None


def _settings(verb: str, given: list[str]) -> dict[str, Any]:
    import yaml

    found: dict[str, Any] = {}
    for item in given:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise RecipeError(f"command line: {verb}: '{item}': settings are KEY=VALUE, as in data.image_size=320")
        if key == "trust_code":
            raise RecipeError(f"command line: {verb}: trust_code is said when the recipe runs")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise RecipeError(f"command line: {verb}: {key}: not YAML: {error}") from None
    return found


def drafted(wish: Wish) -> Draft:
    """The draft, each step of it told on standard error as it is done."""
    console = error_console()
    found = draft(wish, STORE, lambda text: console.print(f"  {text}", markup=False))
    for key in ("model", "data", "task"):
        console.print(f"{key}: {found.remarks[key]}", markup=False)
    for text in found.findings:
        print_note(text)
    return found


def write_recipe(found: Draft, path: Path, verb: str, argv: list[str]) -> None:
    """Write the draft as a recipe's file, with the command that made it.

    Raises:
        InputError: it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, as_yaml(found, shlex.join(["edgepipe", verb, *argv])))
    except OSError as error:
        raise InputError(f"command line: {verb}: --out: {path}: {error.strerror or error}") from None


def main_new(argv: list[str]) -> int:
    """`edgepipe new MODEL --data PLACE [--task …] [--target …] [--out FILE]`."""
    parser = options("new", "Look at a model and at examples, and write a commented recipe that runs.")
    parser.add_argument("--out", type=Path, help="the recipe's file; default: recipes/MODEL_int8.yaml")
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    args = parser.read(argv, mixed=True)
    if args is None:
        return 0
    wish = wish_of("new", args)
    found = drafted(wish)
    path = args.out or Path("recipes") / f"{found.name}.yaml"
    if path.suffix not in (".yaml", ".yml"):
        raise RecipeError(f"command line: new: --out: {path}: a recipe's file ends in .yaml")
    if is_there(path, "command line: new: --out") and not args.force:
        raise RecipeError(f"command line: new: {path} is there already: name another with --out, or say --force")
    write_recipe(found, path, "new", argv)
    output_console().print(f"recipe: {near(path)}\nrun it: edgepipe recipe={path}", markup=False)
    return 0
