"""`python -m edgepipe`: a recipe runs; everything else is a verb."""

from __future__ import annotations

import os
import signal
import sys

from edgepipe.cli.verbs import HELP, VERBS, WITHOUT_OPTIONS, verb


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
        if any(flag in args for flag in ("-h", "--help")) and (args[0] in WITHOUT_OPTIONS or args[0] not in VERBS):
            sys.stdout.write(HELP)
            return 0
        if args[0] in VERBS:
            return verb(args[0])(args[1:])
        if args[0][:1].isalpha() and "=" not in args[0]:
            from edgepipe.base.suggest import did_you_mean
            from edgepipe.report.terminal import print_error

            print_error(f"command line: unknown command '{args[0]}'.{did_you_mean(args[0], [*VERBS, 'recipe=NAME'])}")
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
