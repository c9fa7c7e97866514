"""`python -m edgepipe`: a recipe runs; everything else is a verb."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

HELP = """edgepipe: declarative, verified compression of neural networks for small devices

Run a recipe:
  edgepipe recipe=NAME [key=value ...]        run recipes/NAME.yaml (or a path to a .yaml file)
  edgepipe -m recipe=NAME key=a,b,c           sweep: one run per value, one summary at the end
  edgepipe recipe=NAME --cfg job              print the composed recipe

  edgepipe search recipe=NAME KEY=a,b ...     sample settings, cheap trials first; the best recipe as YAML

Look before you run:
  edgepipe plan recipe=NAME [key=value ...]   the typed steps, and every problem found
  edgepipe list passes|recipes|models|data|targets
  edgepipe sensitivity recipe=NAME ...        what each layer alone costs in int8, or pruned with --prune RATIO
  edgepipe doctor                             versions, CPU instruction sets, what extras are missing

After a run:
  edgepipe check RUN --baseline FILE          the regression gate for CI
  edgepipe verify RUN --on x86_avx2,arm64     run the deployed file on other processors and runtimes
  edgepipe targets                            what verification needs here; targets install arm64|browser_wasm
  edgepipe bundle verify|serve RUN            check what is deployed; try it in a browser
  edgepipe device run ssh://USER@HOST RUN     copy it to a device, check and time it there
  edgepipe accept RUN --baseline FILE         write or update the baseline
  edgepipe compare RUN RUN ... [--out DIR]    one page over several runs
  edgepipe report RUN                         write report.html again from metrics.json
  edgepipe explain RUN                        for each step, why it was reused or computed
  edgepipe track RUN ...                      log finished runs to MLflow, as tracking=mlflow does
  edgepipe store ls|verify|gc                 look after the stored steps
  edgepipe schema                             JSON Schema of metrics.json

Exit codes: 0 good, 1 a pass, goal or check failed, 2 a bad recipe or command line.
Start here: edgepipe recipe=resnet18_int8
"""


_WITHOUT_OPTIONS = ("plan", "list", "doctor", "schema")
"""Verbs whose whole help is the page above; the others have options of their own to explain."""


def _verbs() -> dict[str, Callable[[list[str]], int]]:
    def plan(argv: list[str]) -> int:
        from edgepipe.cli.listing import main_plan

        return main_plan(argv)

    def listing(argv: list[str]) -> int:
        from edgepipe.cli.listing import main_list

        return main_list(argv)

    def doctor(argv: list[str]) -> int:
        from edgepipe.cli.listing import main_doctor

        return main_doctor(argv)

    def check(argv: list[str]) -> int:
        from edgepipe.cli.check import main_check

        return main_check(argv)

    def accept(argv: list[str]) -> int:
        from edgepipe.cli.check import main_accept

        return main_accept(argv)

    def compare(argv: list[str]) -> int:
        from edgepipe.cli.listing import main_compare

        return main_compare(argv)

    def report(argv: list[str]) -> int:
        from edgepipe.cli.listing import main_report

        return main_report(argv)

    def search(argv: list[str]) -> int:
        from edgepipe.search.study import main_search

        return main_search(argv)

    def sensitivity(argv: list[str]) -> int:
        from edgepipe.search.sensitivity import main_sensitivity

        return main_sensitivity(argv)

    def explain(argv: list[str]) -> int:
        from edgepipe.cli.store import main_explain

        return main_explain(argv)

    def store(argv: list[str]) -> int:
        from edgepipe.cli.store import main_store

        return main_store(argv)

    def verify(argv: list[str]) -> int:
        from edgepipe.cli.verify import main_verify

        return main_verify(argv)

    def targets(argv: list[str]) -> int:
        from edgepipe.cli.verify import main_targets

        return main_targets(argv)

    def track(argv: list[str]) -> int:
        from edgepipe.tracking import main_track

        return main_track(argv)

    def bundle(argv: list[str]) -> int:
        from edgepipe.cli.bundle import main_bundle

        return main_bundle(argv)

    def device(argv: list[str]) -> int:
        from edgepipe.cli.device import main_device

        return main_device(argv)

    def schema(argv: list[str]) -> int:
        from edgepipe.cli.listing import main_schema

        return main_schema(argv)

    return {
        "plan": plan,
        "list": listing,
        "doctor": doctor,
        "check": check,
        "accept": accept,
        "compare": compare,
        "report": report,
        "search": search,
        "sensitivity": sensitivity,
        "explain": explain,
        "store": store,
        "verify": verify,
        "targets": targets,
        "bundle": bundle,
        "device": device,
        "track": track,
        "schema": schema,
    }


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    args = sys.argv[1:] if argv is None else argv
    if not args or args[0] in ("-h", "--help", "help"):
        sys.stdout.write(HELP)
        return 0
    if "--version" in args:
        from edgepipe import __version__

        sys.stdout.write(f"edgepipe {__version__}\n")
        return 0
    from edgepipe.base.stopping import listening

    with listening() as ears:
        code = _caught(args)
        # Told to end by the system, it says so whatever became of it; a page served until Ctrl-C has ended well.
        return code if ears.number in (None, signal.SIGINT) else 128 + int(ears.number or 0)


def _caught(args: list[str]) -> int:
    from edgepipe.errors import EdgepipeError

    try:
        verbs = _verbs()
        if any(flag in args for flag in ("-h", "--help")) and (args[0] in _WITHOUT_OPTIONS or args[0] not in verbs):
            sys.stdout.write(HELP)
            return 0
        if args[0] in verbs:
            return verbs[args[0]](args[1:])
        if args[0][:1].isalpha() and "=" not in args[0]:
            from edgepipe.plugins import did_you_mean
            from edgepipe.report.terminal import print_error

            print_error(f"command line: unknown command '{args[0]}'.{did_you_mean(args[0], [*verbs, 'recipe=NAME'])}")
            return 2
        from edgepipe.cli.job import run_command

        return run_command(args)
    except EdgepipeError as error:
        from edgepipe.report.terminal import print_error

        print_error(str(error))
        return error.exit_code
    except KeyboardInterrupt as stopped:
        from edgepipe.base.stopping import code_of, words_of

        sys.stderr.write(f"{words_of(stopped)}\n")
        return code_of(stopped)
    except BrokenPipeError:  # `edgepipe list passes | head`
        # What is still buffered would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("EDGEPIPE_DEBUG"):
            raise
        from edgepipe.base.text import shown

        sys.stderr.write(
            f"error: internal error: {type(error).__name__}: {shown(str(error))}\n"
            "  This is a defect of edgepipe. EDGEPIPE_DEBUG=1 shows the traceback to put into a bug report\n"
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
