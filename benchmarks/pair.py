"""Two runs side by side: accuracy, bytes, and the speed of their final files in turns, A B A B.

    python benchmarks/pair.py RUN OTHER_RUN [--seconds 10]

Two runs at different hours are timed against their own baselines on a machine that was not the same; here one process
times both final files. Both runs have to judge the same pictures.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from edgepipe.contract.artifact import ONNX_FILE, open_artifact
from edgepipe.measure.latency import paired_latency
from edgepipe.records.metrics import read_metrics


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0, help="budget of the paired latency measurement")
    args = parser.parse_args()
    runs = [read_metrics(folder) for folder in (args.run, args.other)]
    if len({str(metrics.inputs.data.get("evaluation")) for metrics in runs}) > 1:
        sys.exit("the runs judge other pictures: nothing to compare")
    files = [folder / "final" / ONNX_FILE for folder in (args.run, args.other)]
    shape = open_artifact(args.run / "final").signature.input_shape
    example = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    timed = paired_latency(files[0], files[1], example, seconds=args.seconds)
    for folder, metrics, ms in zip((args.run, args.other), runs, (timed.baseline, timed.step), strict=True):
        final = metrics.final
        assert final is not None
        assert final.top1 is not None
        assert final.top1_ci95 is not None
        low, high = final.top1_ci95
        print(
            f"{folder}: top-1 {final.top1:.2%} [{low:.2%}, {high:.2%}] of {final.examples:,}, "
            f"{final.size_bytes:,} bytes, {ms.p50_ms:.3f} ms"
        )
    low, high = timed.times_faster_ci95
    print(f"{args.other} is {timed.times_faster:.3f}x [{low:.3f}, {high:.3f}] as fast, {timed.rounds} paired rounds")


if __name__ == "__main__":
    main()
