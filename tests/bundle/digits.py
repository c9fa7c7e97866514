"""A bundle over real pictures in seconds: a linear classifier of the digits, as a 1x1-channel ONNX network in int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import helper, numpy_helper

from edgepipe.__main__ import main
from edgepipe.contract import Split
from edgepipe.data.digits import DigitsData
from tests.measure.graphs import save


def digits_run(folder: Path, *more: str, softmax: bool = False) -> Path:
    """Run `ptq` on it, `softmax` as its last node if wanted; returns the run's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    data = DigitsData(image_size=16).open(folder / "cache")
    batch = next(data.batches(Split.TRAIN, data.count(Split.TRAIN)))
    inputs, labels = batch.only, batch.labels
    assert labels is not None
    grey = inputs[:, :1].reshape(len(inputs), 1, 4, 4, 4, 4).mean(axis=(3, 5)).reshape(len(inputs), -1)
    known = np.hstack([grey, np.ones((len(grey), 1))])
    wanted = np.eye(10)[labels] * 2 - 1
    solved = np.linalg.lstsq(known.T @ known + 5 * np.eye(known.shape[1]), known.T @ wanted, rcond=None)[0]
    kernel = np.zeros((10, 3, 16, 16), np.float32)
    kernel[:, 0] = 4 * np.kron(solved[:-1].T.reshape(10, 4, 4), np.ones((4, 4))) / 16
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="c"),
        helper.make_node("Flatten", ["c"], ["l" if softmax else "y"], name="f"),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["l"], ["y"], name="s", axis=1))
    stored = [
        numpy_helper.from_array(kernel, "w"),
        numpy_helper.from_array((4 * solved[-1]).astype(np.float32), "b"),
    ]
    save(folder / "m.onnx", nodes, stored, input_shape=("n", 3, 16, 16))
    argv = ["recipe=ptq", "model=onnx", f"model.path={folder}/m.onnx", "data=digits", "data.image_size=16", "~goal"]
    run = folder / "run"
    # The model is too small to gain from int8; the bundle of an int8 file is what is tested.
    settings = [
        "passes.quantize.keep_float=never",
        "measure.latency_seconds=0.1",
        f"store.root={folder}/store",
        f"hydra.run.dir={run}",
        *more,
    ]
    assert main([*argv, *settings]) == 0
    return run
