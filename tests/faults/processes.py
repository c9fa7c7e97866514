"""Real edgepipe processes, to be killed, raced and starved."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

RECIPE = """# @package _global_
defaults:
  - /model: onnx
  - /data: npz
  - _self_
passes:
  quantize: {pass: quantize_static}
  export: {pass: export}
"""

TRAINING = """# @package _global_
defaults:
  - /model: python
  - /data: digits
  - _self_
model:
  factory: own_network:net
data:
  image_size: 16
  workers: 0
baseline: train
passes:
  train: {pass: train, epochs: 6, lr: 0.05}
  prune: {pass: prune_channels, ratio: 0.3, round_to: 4}
  recover: {pass: finetune, epochs: 4, lr: 0.02}
  quantize: {pass: quantize_static}
  export: {pass: export}
measure: {latency_seconds: 0.05, audit_runs: 2, probe_runs: 1}
"""

NETWORK = """
import torch
from torch import nn
def net():
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
                         nn.Flatten(), nn.Linear(32, 10))
"""


def training_project(folder: Path) -> Path:
    """A folder with a tiny recipe that trains, prunes, recovers, quantizes and exports."""
    (folder / "recipes").mkdir(parents=True)
    (folder / "recipes" / "tiny.yaml").write_text(TRAINING)
    (folder / "own_network.py").write_text(NETWORK)
    return folder


def start(*argv: str, cwd: Path, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "edgepipe", *argv],
        cwd=cwd,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Started in the background of a script, this process ignores the keyboard, and its children would inherit that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    """Wait; its standard error."""
    _, err = process.communicate(timeout=900)
    assert process.returncode == code, err
    assert "Traceback" not in err
    return err


_IMPORTED = [
    "edgepipe.cli.job",
    "edgepipe.measure.measure",
    "edgepipe.passes.quantize_static",
    "edgepipe.training.training",
]


def fork(*argv: str, cwd: Path, log: Path) -> BaseProcess:
    """Start a run in a process that has imported everything already: for many runs, of which Python's start is no part.

    Its output goes to `log`.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    process = context.Process(target=_forked, args=(argv, cwd, log))
    process.start()
    return process


def _forked(argv: tuple[str, ...], cwd: Path, log: Path) -> None:
    from edgepipe.__main__ import main

    with log.open("w") as stream:
        for descriptor in (1, 2):
            os.dup2(stream.fileno(), descriptor)
    os.chdir(cwd)
    sys.path.insert(0, str(cwd))  # as `python -m` does
    sys.exit(main(list(argv)))


def join(process: BaseProcess, log: Path) -> None:
    """Wait for a forked run, which has to end well."""
    process.join(900)
    said = log.read_text()
    assert process.exitcode == 0, said
    assert "Traceback" not in said
