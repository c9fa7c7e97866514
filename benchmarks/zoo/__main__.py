"""A table of the world: networks of many kinds, small or in small inputs, through the recipes that ship.

    python -m benchmarks.zoo                                     all; goes on where it was stopped
    python -m benchmarks.zoo --only "mobilenet*" --again          some, anew
    python -m benchmarks.zoo --packages FOLDER                    with the models of packages that lie below it
    python -m benchmarks.record zoo-world -- python -m benchmarks.zoo     and the result is kept

Each has random weights by a seed, settled so that its answers are no constant, and a process of its own with a bound
on its time. It goes through `ptq` (tokens and states: `ptq_dynamic`), and a torch network of pictures also through
`prune_channels` and `quantize_static`. `helps`: smaller, not slower, and answers as before; `works`: answers as
before; `off`: it does not; `refused`: with what was said; `failed`: an error of the tool, or no end in time. Prints
Markdown.
"""

from __future__ import annotations

import argparse
import fnmatch
import multiprocessing
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from benchmarks.zoo.brought import Network
from benchmarks.zoo.one import child
from benchmarks.zoo.outcome import COLUMNS, Outcome, Row, cells, summary
from benchmarks.zoo.world import by_name


def main(argv: list[str] | None = None) -> int:
    """Run what is not there yet and print the table; 1 where a network failed."""
    parser = argparse.ArgumentParser("python -m benchmarks.zoo", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("outputs/zoo"), help="keeps each network's row and log")
    parser.add_argument("--packages", type=Path, help="folder with unpacked packages; default: those installed")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN", help="of names, as in 'timm *'")
    parser.add_argument("--again", action="store_true", help="run those anew that are there already")
    parser.add_argument("--seconds", type=float, default=300, help="bound on the time of a network")
    parser.add_argument("--jobs", type=int, default=1, help="networks at once; times are taken alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="print names and kinds, and run nothing")
    args = parser.parse_args(argv)
    world = by_name(args.packages)
    wanted = {name: network for name, network in world.items() if any(fnmatch.fnmatch(name, one) for one in args.only)}
    if not wanted:
        parser.error(f"--only: no network is called so; there are {len(world)}: see --list")
    if args.list:
        print("\n".join(f"{name}  ({network.family})" for name, network in wanted.items()))
        return 0
    rows = run_all(wanted, args.out, args.packages, args.seed, args.seconds, again=args.again, jobs=args.jobs)
    print(summary(rows), file=sys.stderr)
    print("| " + " | ".join(COLUMNS) + " |\n|" + " --- |" * len(COLUMNS))
    for row in rows:
        print("| " + " | ".join(cells(row)) + " |")
    return int(any(item.verdict == "failed" for row in rows for item in row.chains.values()))


def run_all(
    wanted: dict[str, Network], out: Path, packages: Path | None, seed: int, seconds: float, *, again: bool, jobs: int
) -> list[Row]:
    """Rows of all networks, in order; those that a folder of `out` holds are read."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Each process is forked from one that has imported what all need, and computed nothing yet.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.zoo.preloaded"])

    def row(network: Network) -> Row:
        folder = out / "".join(letter if letter.isalnum() else "_" for letter in network.name)
        kept = folder / "row.json"
        if again:
            kept.unlink(missing_ok=True)
        if not kept.is_file():
            process = context.Process(target=child, args=(network.name, str(folder), packages and str(packages), seed))
            process.start()
            process.join(seconds)
            if process.is_alive():
                with suppress(ProcessLookupError):
                    os.killpg(process.pid or 0, signal.SIGKILL)  # with what it has started
                process.kill()
                process.join()
        if kept.is_file():
            found = Row.model_validate_json(kept.read_text(encoding="utf-8"))
        else:  # and is not kept: on a machine with less to do it may end the next time
            why = f"no end within {seconds:g} s, or killed"
            ended = Outcome(verdict="failed", why=why)
            found = Row(name=network.name, family=network.family, chains={"int8": ended})
        verdicts = "  ".join(_shown(chain, item) for chain, item in found.chains.items())
        print(f"{network.name}: {verdicts}", file=sys.stderr, flush=True)
        return found

    with ThreadPoolExecutor(jobs) as threads:
        return list(threads.map(row, wanted.values()))


def _shown(chain: str, item: Outcome) -> str:
    kept = "" if item.kept is None else f" kept {item.kept:.3f}, {item.smaller:.2f}x smaller, {item.faster:.2f}x faster"
    return f"{chain} {item.verdict}{kept}{f' ({item.why})' if item.why else ''}, {item.seconds:.0f} s"


if __name__ == "__main__":
    raise SystemExit(main())
