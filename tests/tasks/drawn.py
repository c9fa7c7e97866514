"""Drawn answers for the tests of tasks."""

from __future__ import annotations

import numpy as np

from edgepipe.contract import Answers, Signature, Task

SIGNATURE = Signature(input_shape=(4,), classes=("ant", "bee", "cat"))
DRAWN = np.random.default_rng(0)


def answers(task: Task, *outputs: np.ndarray) -> Answers:
    """What a task makes of outputs out0, out1, …"""
    return task.answers({f"out{i}": values for i, values in enumerate(outputs)}, SIGNATURE, "model.onnx")
