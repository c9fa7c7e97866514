"""`edgepipe targets`: what verification needs here; `targets install NAME …` prepares it."""

from __future__ import annotations

from edgepipe.base.suggest import did_you_mean
from edgepipe.contract import Place
from edgepipe.errors import RecipeError
from edgepipe.plugins import loadable
from edgepipe.report.terminal import Arguments, output_console, print_note


def main_targets(argv: list[str]) -> int:
    """`edgepipe targets`: what this machine can verify; `targets install NAME ...` prepares it."""
    parser = Arguments("edgepipe targets", description="What `verify` can run here, and how to get what is lacking.")
    parser.add_argument("do", nargs="?", choices=["install"], help="prepare a place that lacks more than packages")
    parser.add_argument("names", nargs="*", help="what to install")
    parser.add_argument("--missing", action="store_true", help="leave what is installed already as it is")
    args = parser.read(argv, mixed=True)
    if args is None:
        return 0
    places: dict[str, Place] = {name: kind() for name, kind in loadable("places").items()}
    installed = [name for name, place in places.items() if place.installs]
    if args.do == "install" and not args.names:
        raise RecipeError(f"command line: targets install: say what, one of: {', '.join(installed)}")
    for name in args.names:
        if name not in installed:
            hint = did_you_mean(name, installed)
            if name in places:
                lacking = places[name].lacking()
                hint = " It is ready here" if lacking is None else f" It lacks: {lacking}"
            raise RecipeError(f"command line: targets install: nothing to install for '{name}'.{hint}")
    console = output_console()
    for name in args.names:
        if args.missing and places[name].lacking() is None:
            continue
        folder = places[name].install(print_note)
        console.print(f"{name}: installed in {folder}", markup=False)
    if args.do is None:
        for name, place in places.items():
            lacking = place.lacking()
            processors = ", ".join(processor.name for processor in place.processors())
            console.print(f"{name}: {lacking or 'ready: ' + processors}", markup=False)
    return 0
