"""A recipe that trains, beside its float baseline trained on for the same time: what did compression itself cost?

    python benchmarks/equal_time.py RECIPE override ... [--minutes M] [--float-lr 0.02]

Runs RECIPE, adds up what its training steps took, and runs `recipe=train_float` on the same checkpoint and pictures
for as long. A float baseline that improves by more training is no gain of the recipe: both stand in the table.
Overrides of passes hold for the recipe only. `--minutes` fixes the time of the float training instead.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from edgepipe.records.metrics import Metrics, read_metrics

OUT = Path("outputs/equal_time")


def run(folder: Path, *argv: str) -> Metrics:
    """A finished run, its progress shown; a missed goal (exit 1) is no failure of the benchmark."""
    done = subprocess.run([sys.executable, "-m", "edgepipe", *argv, f"hydra.run.dir={folder}"], check=False)
    if done.returncode not in (0, 1):
        sys.exit(done.returncode)
    return read_metrics(folder)


def training_seconds(metrics: Metrics) -> float:
    """Of the epochs of all steps."""
    total = 0.0
    for step in metrics.passes:
        curve = step.facts.get("curve")
        for point in curve if isinstance(curve, list) else []:
            assert isinstance(point, dict)
            total += float(point["seconds"])  # type: ignore[arg-type]
    return total


def main() -> None:
    """Run both and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--minutes", type=float, help="of the float training; default: as long as the recipe trained")
    parser.add_argument("--float-lr", type=float, default=0.02)
    args = parser.parse_args()
    name = Path(args.recipe).stem
    compressed = run(OUT / name, f"recipe={args.recipe}", *args.overrides)
    seconds = training_seconds(compressed)
    minutes = args.minutes or seconds / 60
    shared = [item for item in args.overrides if not item.lstrip("+~").startswith(("passes.", "goal"))]
    groups = [item for item in ("model=resnet18_checkpoint", "data=image_folder") if not _names(shared, item)]
    trained_on = run(
        OUT / f"{name}_float",
        "recipe=train_float",
        *groups,
        *shared,
        f"passes.train.minutes={minutes:.4f}",
        f"passes.train.lr={args.float_lr}",
        "passes.train.batch_size=64",
    )
    print(f"\n| {name} | top-1 | smaller | faster | training, minutes | whole run, minutes |")
    print("|:---|---:|---:|---:|---:|---:|")
    start, end, more = compressed.passes[0], compressed.passes[-1], trained_on.passes[1]
    first, last, after = start.measurements, end.measurements, more.measurements
    assert first and last and after and end.versus_baseline
    versus, whole = end.versus_baseline, sum(step.seconds for step in compressed.passes) / 60
    print(f"| float baseline | {first.top1:.2%} | 1.00x | 1.00x | | |")
    print(
        f"| compressed | {last.top1:.2%} | {versus.times_smaller:.2f}x | {versus.times_faster:.2f}x "
        f"| {seconds / 60:.1f} | {whole:.1f} |"
    )
    print(f"| equal-time float | {after.top1:.2%} | 1.00x | | {training_seconds(trained_on) / 60:.1f} | |")


def _names(overrides: list[str], group: str) -> bool:
    return any(item.partition("=")[0] == group.partition("=")[0] for item in overrides)


if __name__ == "__main__":
    main()
