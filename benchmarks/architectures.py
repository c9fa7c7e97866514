"""What each pass does to each of several networks: accuracy, bytes and speed, failures included.

    python benchmarks/architectures.py "resnet18: model=torchvision model.name=resnet18 model.weights=CHECKPOINT" \\
        "vit: model=python ..." --common "data=image_folder data.root=cifar10.zip data.image_size=64" [--chains qat]

Each chain of passes is a recipe of its own, written under `--out`; training is short (the same share of an epoch for
all), so that the table says what works where, not what is best. Prints Markdown.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from edgepipe.errors import EdgepipeError
from edgepipe.records.metrics import Metrics, StepRecord, read_metrics
from edgepipe.report.table import markdown_rows, megabytes, percent, points, times

SHORT = {"epochs": 1, "epoch_share": 0.1, "batch_size": 64, "horizontal_flip": True, "crop_padding": 4}

CHAINS: dict[str, dict[str, dict[str, Any]]] = {
    "float16": {"half": {"pass": "to_float16"}},
    "dynamic": {"quantize": {"pass": "quantize_dynamic"}},
    "weights": {"quantize": {"pass": "quantize_weights"}},
    "fast": {"quantize": {"pass": "quantize_static"}},
    "accurate": {"quantize": {"pass": "quantize_static", "preset": "accurate"}},
    "qat": {"quantize": {"pass": "quantize_aware", **SHORT}},
    "zeros": {"prune": {"pass": "prune_weights", "amount": 0.5}},
    "two_of_four": {"prune": {"pass": "prune_weights", "pattern": [2, 4]}},
    "statistics": {
        "prune": {"pass": "prune_channels", "ratio": 0.25},
        "statistics": {"pass": "reestimate_batchnorm"},
    },
    "refit": {"prune": {"pass": "prune_channels", "ratio": 0.25, "refit_examples": 500}},
    "finetune": {
        "prune": {"pass": "prune_channels", "ratio": 0.25, "refit_examples": 500},
        "recover": {"pass": "finetune", **SHORT},
    },
    "distill": {
        "prune": {"pass": "prune_channels", "ratio": 0.25, "refit_examples": 500},
        "teach": {"pass": "distill", **SHORT},
        "quantize": {"pass": "quantize_static"},
    },
    "latency": {
        "table": {"pass": "tabulate_latency"},
        "prune": {"pass": "prune_channels", "scope": "latency", "times_faster": 1.5, "refit_examples": 500},
    },
    "swap": {
        "swap": {"pass": "swap_operators", "refit_examples": 500},
        "teach": {"pass": "distill", **SHORT},
        "quantize": {"pass": "quantize_static"},
    },
}


def main() -> None:
    """Run every chain on every network and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="+", metavar="NAME: OVERRIDES")
    parser.add_argument("--common", default="", help="overrides of all runs: the data, the store")
    parser.add_argument("--chains", default=",".join(CHAINS), help="which of them, in this order")
    parser.add_argument("--training", default="", help="settings of all that trains, as in max_grad_norm=null")
    parser.add_argument("--out", type=Path, default=Path("outputs/architectures"))
    args = parser.parse_args()
    wanted = args.chains.split(",")
    if unknown := [name for name in wanted if name not in CHAINS]:
        parser.error(f"--chains: unknown {', '.join(unknown)}; there are {', '.join(CHAINS)}")
    training = {key: yaml.safe_load(value) for key, _, value in (one.partition("=") for one in args.training.split())}
    rows = []
    for network in args.networks:
        name, _, overrides = network.partition(":")
        for chain in wanted:
            argv = [*shlex.split(args.common), *shlex.split(overrides)]
            passes = {
                label: settings | (training if settings.keys() >= SHORT.keys() else {})
                for label, settings in CHAINS[chain].items()
            }
            rows += [(name, chain, *cells) for cells in run(args.out / name / chain, passes, argv)]
            print(markdown_rows(COLUMNS, rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    print(markdown_rows(COLUMNS, rows))


COLUMNS = ("network", "chain", "after", "top-1", "drop (95%)", "MB", "smaller", "faster (95%)", "seconds")


def run(folder: Path, passes: dict[str, dict[str, Any]], argv: list[str]) -> list[tuple[str, ...]]:
    """The cells of each step that the chain names, or of why there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = folder.parent / f"{folder.name}.yaml"
    groups = ["/model: ???", "/data: ???", "/target: host", "_self_"]
    content = {"defaults": [yaml.safe_load(line) for line in groups], "description": folder.name, "passes": passes}
    recipe.write_text("# @package _global_\n" + yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "edgepipe", f"recipe={recipe}", *argv, f"hydra.run.dir={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        metrics = read_metrics(folder) if done.returncode in (0, 1) else None
    except EdgepipeError:
        metrics = None
    found = [_cells(step) for step in metrics.passes if step.label in passes and step.measurements] if metrics else []
    if metrics is None or metrics.failure is not None:
        found.append(("refused", _why(metrics, done.stderr), *[""] * 5))
    return found


def _why(metrics: Metrics | None, said: str) -> str:
    lines = said.strip().splitlines()
    text = metrics.failure.message if metrics and metrics.failure else lines[-1] if lines else "no output"
    return re.split(r"\.\s|: set |; ", text)[0]


def _cells(step: StepRecord) -> tuple[str, ...]:
    measured, versus = step.measurements, step.versus_baseline
    assert measured is not None
    assert versus is not None
    return (
        step.label,
        percent(measured.top1),
        points(versus.accuracy_drop or 0.0, versus.accuracy_drop_ci95),
        megabytes(measured.size_bytes),
        times(versus.times_smaller),
        times(versus.times_faster, versus.times_faster_ci95),
        f"{step.seconds:.0f}",
    )


if __name__ == "__main__":
    main()
