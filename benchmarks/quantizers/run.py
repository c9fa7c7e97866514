"""Running a tool: a fresh process, its wall time, processor time and peak memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.quantizers.tools import Tool

_HERE = Path(__file__).parent
ROOT = _HERE.parents[1]
"""The checkout, so that the edgepipe beside this benchmark is the one that runs."""


class ToolFailed(Exception):
    """The tool ended without a model; says why in a line."""


@dataclass(frozen=True)
class Ran:
    """A tool's result and what it took.

    Attributes:
        seconds: wall time from the start of the process to its end, imports included.
        cpu_seconds: processor time of all its processes; what a busy machine does not change much.
        peak_bytes: resident memory of its largest process.
        pass_seconds: for edgepipe, whose command also measures every step, of the quantization alone.
    """

    model: Path
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    pass_seconds: float | None = None


def run(tool: Tool, python: Path, model: Path, calibration: Path, evaluation: Path, out: Path, *, limit: int) -> Ran:
    """Quantize `model` with one tool.

    Args:
        calibration: .npz with `images`, float32, (n, channels, height, width), preprocessed.
        evaluation: the same with `labels`; only edgepipe gets it, because its command measures what it made.
        out: folder for the result and the log.
        limit: seconds after which the tool is ended.
    Raises:
        ToolFailed: it failed or took too long.
    """
    out.mkdir(parents=True, exist_ok=True)
    if tool.script is None:
        for made in ("run", "store"):  # by an earlier call: its answers would be found, and not computed
            shutil.rmtree(out / made, ignore_errors=True)
        command = _edgepipe(tool, python, model, calibration, evaluation, out)
        result = out / "run" / "final" / "model.onnx"
    else:
        assert tool.environment is not None
        result = out / "model.onnx"
        result.unlink(missing_ok=True)
        script = str(_HERE / "scripts" / tool.script)
        command = [str(python), script, str(model), str(calibration), str(result), tool.mode]
        # A cold disk is not the tool's fault: its libraries are read once before the clock starts.
        subprocess.run([str(python), "-c", f"import {tool.environment.imports}"], capture_output=True, check=False)
    log, watched = out / "log.txt", out / "watched.json"
    started = time.time()
    subprocess.run(
        [sys.executable, "-I", str(_HERE / "watch.py"), str(watched), str(log), str(limit), *command],
        cwd=out,
        env={**os.environ, "PYTHONPATH": str(ROOT) if tool.script is None else ""},
        check=True,
    )
    took = json.loads(watched.read_text())
    if took["code"] == -9 and took["seconds"] >= limit - 1:
        raise ToolFailed(f"not done after {limit} s")
    if took["code"] != 0 or not result.is_file() or result.stat().st_mtime < started - 1:
        raise ToolFailed(f"failed: {_reason(log)}")
    return Ran(result, took["seconds"], took["cpu_seconds"], took["peak_bytes"], _pass_seconds(tool, out))


def _edgepipe(tool: Tool, python: Path, model: Path, calibration: Path, evaluation: Path, out: Path) -> list[str]:
    """The command a user types, with a store of its own so that nothing is found there."""
    return [
        *(str(python), "-m", "edgepipe", "recipe=ptq", "model=onnx", f"model.path={model}", "data=npz"),
        *(f"data.calibration={calibration}", f"data.evaluation={evaluation}", "~goal"),
        *(f"hydra.run.dir={out / 'run'}", f"store.root={out / 'store'}"),
        *([f"passes.quantize.preset={tool.mode}"] if tool.mode else []),
    ]


def _pass_seconds(tool: Tool, out: Path) -> float | None:
    if tool.script is not None:
        return None
    metrics = json.loads((out / "run" / "metrics.json").read_text(encoding="utf-8"))
    return float(next(step["seconds"] for step in metrics["passes"] if step["label"] == "quantize"))


def _reason(log: Path) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if "rror" in line] or lines or ["it wrote nothing"]
    return telling[-1][:200]
