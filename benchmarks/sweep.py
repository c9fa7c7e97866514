"""Time of a sweep over four prune ratios against four separate cold runs of the same jobs.

    python benchmarks/sweep.py [recipe] [passes.prune.ratio=0.1,0.3,0.5,0.7] [override ...]

Prints the ratios of wall and of processor time; below 1 because the jobs of a sweep share what is equal in them.
Where other work runs on the machine the wall clock says little. Takes about twelve minutes on two idle cores.
Further overrides hold for both sides, as data.image_size=32 for a quicker one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def processor_seconds() -> float:
    """Of all processes that were started here and have ended."""
    used = os.times()
    return used.children_user + used.children_system


def seconds(*argv: str) -> tuple[float, float]:
    """Wall and processor time of one command; a missed goal (exit 1) is no failure of the benchmark."""
    start, before = time.perf_counter(), processor_seconds()
    done = subprocess.run(
        [sys.executable, "-m", "edgepipe", *argv], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
    )
    if done.returncode not in (0, 1):
        sys.exit(done.stderr.decode())
    return time.perf_counter() - start, processor_seconds() - before


def main() -> None:
    """Run both and print."""
    given = sys.argv[1:]
    recipe, override = (*given[:2], *("resnet18_int8", "passes.prune.ratio=0.1,0.3,0.5,0.7")[len(given[:2]) :])
    more = given[2:]
    key, _, listed = override.partition("=")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cold, cold_processor = 0.0, 0.0
        for number, value in enumerate(listed.split(",")):
            one, processor = seconds(
                f"recipe={recipe}",
                f"{key}={value}",
                f"store.root={folder}/s{number}",
                f"hydra.run.dir={folder}/r{number}",
                *more,
            )
            print(f"cold run {key}={value}: {one:.0f} s, of the processor {processor:.0f} s", flush=True)
            cold += one
            cold_processor += processor
        together, processor = seconds(
            "-m", f"recipe={recipe}", override, f"store.root={folder}/shared", f"hydra.sweep.dir={folder}/sweep", *more
        )
    print(f"sweep: {together:.0f} s, separate cold runs: {cold:.0f} s, ratio {together / cold:.2f}")
    print(f"of the processor: {processor:.0f} s, {cold_processor:.0f} s, ratio {processor / cold_processor:.2f}")


if __name__ == "__main__":
    main()
