"""Answers of a model, with onnxruntime and numpy alone; also run on an emulated processor.

python emulated.py MODEL PICTURES.npy LOGITS.npy
"""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime


def main() -> None:
    """One picture at a time in one thread, as on a device; a model with a fixed batch gets the picture repeated."""
    model, pictures, logits, how, most = sys.argv[1:]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if how == "exact":
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    wanted = session.get_inputs()[0]
    batch = wanted.shape[0] if isinstance(wanted.shape[0], int) else 1
    images = np.load(pictures, allow_pickle=False)[: int(most)]
    rows = [
        session.run(None, {wanted.name: np.repeat(images[row : row + 1], batch, axis=0)})[0][0]
        for row in range(len(images))
    ]
    np.save(logits, np.stack(rows), allow_pickle=False)


if __name__ == "__main__":
    main()
