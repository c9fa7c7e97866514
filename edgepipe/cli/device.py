"""`edgepipe device run ssh://USER@HOST BUNDLE`: the bundle on a real device, and what it said there."""

from __future__ import annotations

from pathlib import Path

from edgepipe.base.disk import refuse_unwritable
from edgepipe.base.files import is_file
from edgepipe.bundle.manifest import bundle_folder
from edgepipe.errors import RecipeError
from edgepipe.report.terminal import Arguments, output_console, print_error

_MOST_RUNS, _MOST_THREADS = 1_000_000, 1024


def main_device(argv: list[str]) -> int:
    """`edgepipe device run ssh://USER@HOST[:PORT] BUNDLE`."""
    parser = Arguments(
        "edgepipe device",
        description="Copy a bundle to a device, check its golden outputs and measure its time there. Of a run, the "
        "result goes into its metrics.json and report. The device needs Python 3 with onnxruntime and numpy.",
    )
    parser.add_argument("do", choices=["run"], help="copy, check, measure")
    parser.add_argument("place", help="ssh://USER@HOST or ssh://USER@HOST:PORT; keys as ssh has them, no passwords")
    parser.add_argument("what", type=Path, help="a run's folder or a bundle")
    parser.add_argument("--python", default="python3", help="the device's Python (default: python3)")
    parser.add_argument("--runs", type=int, default=50, help="timed runs (default: 50)")
    parser.add_argument("--threads", type=int, default=1, help="threads of the runtime there (default: 1)")
    parser.add_argument("--most-minutes", type=float, default=30, help="how long all of it may take (default: 30)")
    parser.add_argument("--ssh-option", action="append", default=[], help="as ssh's -o, e.g. IdentityFile=KEY")
    args = parser.read(argv)
    if args is None:
        return 0
    if args.runs < 1 or args.threads < 1:
        raise RecipeError("command line: device run: --runs and --threads must be at least 1")
    if args.runs > _MOST_RUNS or args.threads > _MOST_THREADS:
        raise RecipeError(
            f"command line: device run: --runs are {_MOST_RUNS:,} at most, and --threads {_MOST_THREADS:,}"
        )
    if not 0 < args.most_minutes <= 1e5:  # NaN is neither
        raise RecipeError(
            f"command line: device run: --most-minutes: {args.most_minutes:g}: a number above 0 is wanted"
        )
    from edgepipe.bundle.device import Asked, device_of, record, run_on
    from edgepipe.bundle.verify import damage, judged

    device = device_of(args.place, args.ssh_option)
    folder = bundle_folder(args.what)
    bundle, wrong = damage(folder)
    for text in wrong:
        print_error(f"{folder}: {text}")
    if wrong:
        return 1
    bundle = judged(folder, bundle)
    run = folder.parent
    if is_file(run / "metrics.json"):
        refuse_unwritable("device run", run, "The result goes into its metrics.json: copy the run to a writable place")
    asked = Asked(args.python, args.runs, args.threads, args.most_minutes)
    found = run_on(device, folder, bundle, asked)
    output_console().print(
        f"{found.device}: {found.machine}, {found.cores} cores, onnxruntime {found.onnxruntime}: golden outputs "
        f"{found.golden} ({found.match}), {found.latency_p50_ms:.2f} ms p50, {found.latency_p90_ms:.2f} ms p90, "
        f"{found.threads} thread(s)",
        markup=False,
    )
    if is_file(run / "metrics.json"):
        record(run, found)
    return 0 if found.golden == "ok" else 1
