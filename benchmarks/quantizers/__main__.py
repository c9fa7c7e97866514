"""One command, one table: edgepipe and the other tools on one model. See README, "Against other tools".

    python -m benchmarks.quantizers --model M.onnx --data cifar10.zip
    python -m benchmarks.quantizers --model M.onnx --calibration C.npz --evaluation E.npz --tools ort_u8s8,edgepipe

The table goes to standard output and to OUT/table.md; every tool's log and model stay in OUT.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.quantizers.environments import CannotInstall, python_of
from benchmarks.quantizers.judge import QEMU, Judge
from benchmarks.quantizers.run import Ran, ToolFailed, run
from benchmarks.quantizers.table import Row, table
from benchmarks.quantizers.tools import TOOLS, Tool
from edgepipe.contract import Dataset, Split
from edgepipe.data.image_folder import ImageFolderData
from edgepipe.data.npz import NpzData
from edgepipe.targets.host import cpu_name, instruction_sets

REFERENCE = "ort_u8s8"
"""The tool whose model the others' speed is also compared with directly."""


def main(argv: list[str] | None = None) -> int:
    """Make, run, judge, print. Returns 1 when one of edgepipe's own rows failed."""
    asked = _parser().parse_args(argv)
    out: Path = asked.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    tools = [_tool(name) for name in asked.tools.split(",")]
    model = asked.model.resolve()
    calibration, evaluation = _pictures(asked, out)
    made = {tool.name: _run(tool, asked, model, calibration, evaluation, out) for tool in tools}
    data = NpzData(evaluation=evaluation, calibration=calibration).open(out / "hashes")
    judge = Judge(
        model,
        data,
        old_cpu_pictures=min(asked.haswell_size, data.count(Split.EVALUATION)),
        seconds=asked.seconds,
        work=out / "logits",
    )
    known = made.get(REFERENCE)
    rows = []
    for tool in tools:
        print(f"judging {tool.name}", file=sys.stderr, flush=True)
        ran = made[tool.name]
        if isinstance(ran, str):
            rows.append(Row(tool, failure=ran))
            continue
        reference = known.model if isinstance(known, Ran) and tool.name != REFERENCE else None
        judged = judge.judge(ran.model, tool.name, reference)
        rows.append(Row(tool, ran, judged))
        plain = json.dumps(asdict(judged), default=lambda record: record.model_dump(), indent=1)
        (out / tool.name / "judged.json").write_text(plain, encoding="utf-8")
    text = table(
        rows,
        float_top1=judge.float_top1,
        float_bytes=model.stat().st_size,
        float_old_cpu=judge.old_cpu(model, "float"),
        pictures=(data.count(Split.CALIBRATION), data.count(Split.EVALUATION), asked.haswell_size),
        where=f"{datetime.date.today().isoformat()}, {cpu_name()}, {' '.join(instruction_sets())}",
    )
    if judge_without_emulator(rows):
        text += f"\nNo Haswell columns: {QEMU} is not installed (Debian: qemu-user-static).\n"
    (out / "table.md").write_text(text, encoding="utf-8")
    print(f"    python -m benchmarks.quantizers {shlex.join(argv or sys.argv[1:])}\n\n{text}")
    return int(any(row.failure and row.tool.script is None for row in rows))


def judge_without_emulator(rows: list[Row]) -> bool:
    """Whether a model was judged without the emulated processor."""
    return any(row.judged is not None and row.judged.old_cpu is None for row in rows)


def _run(
    tool: Tool, asked: argparse.Namespace, model: Path, calibration: Path, evaluation: Path, out: Path
) -> Ran | str:
    """What it made, or the reason why not."""
    print(f"running {tool.name}", file=sys.stderr, flush=True)
    try:
        python = python_of(tool.environment, asked.venvs.resolve())
        return run(tool, python, model, calibration, evaluation, out / tool.name, limit=asked.limit)
    except (CannotInstall, ToolFailed) as failure:
        return str(failure)


def _pictures(asked: argparse.Namespace, out: Path) -> tuple[Path, Path]:
    """Calibration and evaluation as .npz, preprocessed, which is what every tool can be given."""
    if asked.data is None:
        return asked.calibration.resolve(), asked.evaluation.resolve()
    source = ImageFolderData(
        root=asked.data,
        image_size=asked.image_size,
        calibration_size=asked.calibration_size,
        evaluation_size=asked.evaluation_size,
        seed=asked.seed,
    ).open(out / "hashes")
    return _saved(source, Split.CALIBRATION, out), _saved(source, Split.EVALUATION, out)


def _saved(source: Dataset, split: Split, out: Path) -> Path:
    path = out / f"{split}.npz"
    images = np.concatenate([batch.only for batch in source.batches(split, 256)])
    # Shuffled, so that the first few hundred, which the emulated processor gets, hold every class.
    order = np.random.default_rng(0).permutation(len(images))
    labels = source.labels(split)
    assert labels is not None
    np.savez(path, images=images[order], labels=labels[order])
    return path


def _tool(name: str) -> Tool:
    if name not in TOOLS:
        raise SystemExit(f"--tools: no tool '{name}'; there are: {', '.join(TOOLS)}")
    return TOOLS[name]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantizers", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--model", type=Path, required=True, help="float ONNX classifier")
    pictures = parser.add_mutually_exclusive_group(required=True)
    pictures.add_argument("--data", type=Path, help="class folders of pictures, or a .zip: train is calibrated with")
    pictures.add_argument("--evaluation", type=Path, help=".npz with images and labels, preprocessed")
    add("--calibration", type=Path, help=".npz with images, preprocessed; with --evaluation")
    add("--image-size", type=int, default=64, help="pixels after resizing, for --data")
    add("--calibration-size", type=int, default=200, help="pictures drawn from train, for --data")
    add("--evaluation-size", type=int, default=2500, help="pictures drawn from test, for --data")
    add("--haswell-size", type=int, default=400, help="evaluation pictures for the Haswell")
    add("--seed", type=int, default=0, help="of the draws")
    add("--seconds", type=float, default=4.0, help="budget of a paired latency measurement")
    add("--limit", type=int, default=1800, help="seconds after which a tool is ended")
    add("--tools", default=",".join(TOOLS), help="comma-separated; default: all")
    add("--out", type=Path, default=Path("outputs/quantizers"), help="folder for results")
    add("--venvs", type=Path, default=Path("outputs/bench_venvs"), help="folder for the tools' environments")
    return parser


if __name__ == "__main__":
    sys.exit(main())
