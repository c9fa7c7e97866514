"""`edgepipe targets`: what verification needs here; `targets install NAME …` prepares it."""

from __future__ import annotations

from edgepipe.base.suggest import did_you_mean
from edgepipe.errors import RecipeError
from edgepipe.report.terminal import Arguments, output_console, print_note
from edgepipe.verify.settings import TARGETS
from edgepipe.verify.targets import INSTALLERS, target_of


def main_targets(argv: list[str]) -> int:
    """`edgepipe targets`: what this machine can verify; `targets install NAME ...` prepares it."""
    parser = Arguments("edgepipe targets", description="What `verify` can run here, and how to get what is lacking.")
    parser.add_argument("do", nargs="?", choices=["install"], help=f"prepare {' or '.join(INSTALLERS)}")
    parser.add_argument("names", nargs="*", help="what to install")
    parser.add_argument("--missing", action="store_true", help="leave what is installed already as it is")
    args = parser.read(argv, mixed=True)
    if args is None:
        return 0
    if args.do == "install" and not args.names:
        raise RecipeError(f"command line: targets install: say what, one of: {', '.join(INSTALLERS)}")
    for name in args.names:
        if name not in INSTALLERS:
            hint = did_you_mean(name, INSTALLERS)
            if name in TARGETS:
                lacking = target_of(name).lacking()
                hint = " It is ready here" if lacking is None else f" It lacks: {lacking}"
            raise RecipeError(f"command line: targets install: nothing to install for '{name}'.{hint}")
    console = output_console()
    for name in args.names:
        if args.missing and target_of(name).lacking() is None:
            continue
        place = INSTALLERS[name](print_note)
        console.print(f"{name}: installed in {place}", markup=False)
    if args.do is None:
        for name in TARGETS:
            lacking = target_of(name).lacking()
            places = ", ".join(place.name for place in target_of(name).places())
            console.print(f"{name}: {lacking or 'ready: ' + places}", markup=False)
    return 0
