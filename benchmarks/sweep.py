"""Time of a sweep over four prune ratios against four separate cold runs of the same jobs.

    python benchmarks/sweep.py [recipe] [passes.prune.ratio=0.1,0.3,0.5,0.7] [override ...]

Prints the ratio; below 1 because the jobs of a sweep share what is equal in them. Takes about twelve
minutes on two idle cores. Further overrides hold for both sides, as data.image_size=32 for a quicker one.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds(*argv: str) -> float:
    """Wall time of one command; a missed goal (exit 1) is no failure of the benchmark."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "edgepipe", *argv], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
    )
    if done.returncode not in (0, 1):
        sys.exit(done.stderr.decode())
    return time.perf_counter() - start


def main() -> None:
    """Run both and print."""
    given = sys.argv[1:]
    recipe, override = (*given[:2], *("resnet18_int8", "passes.prune.ratio=0.1,0.3,0.5,0.7")[len(given[:2]) :])
    more = given[2:]
    key, _, listed = override.partition("=")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cold = 0.0
        for number, value in enumerate(listed.split(",")):
            one = seconds(
                f"recipe={recipe}",
                f"{key}={value}",
                f"store.root={folder}/s{number}",
                f"hydra.run.dir={folder}/r{number}",
                *more,
            )
            print(f"cold run {key}={value}: {one:.0f} s", flush=True)
            cold += one
        together = seconds(
            "-m", f"recipe={recipe}", override, f"store.root={folder}/shared", f"hydra.sweep.dir={folder}/sweep", *more
        )
    print(f"sweep: {together:.0f} s, separate cold runs: {cold:.0f} s, ratio {together / cold:.2f}")


if __name__ == "__main__":
    main()
