"""What is minimized: of a task whose examples have not one class each, the task's own loss."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from edgepipe.contract import Batch, Job, Moves, Signature, Split, Task
from edgepipe.errors import DataError, ModelError
from edgepipe.passes.train import Train
from edgepipe.tasks.classification import Classification
from edgepipe.tasks.regression import Regression
from edgepipe.tasks.segmentation import Segmentation
from edgepipe.training import examples as its_examples
from edgepipe.training.examples import Examples, augment
from edgepipe.training.objective import TaskObjective
from edgepipe.training.training import train
from tests.passes.workbench import Workbench


class Bright:
    """Noise of 8 pixels; a pixel is of class 1 where its red is above 0."""

    signature = Signature(input_shape=(3, 8, 8), task="segmentation")

    def __init__(self) -> None:
        self.inputs = np.random.default_rng(0).standard_normal((24, 3, 8, 8)).astype(np.float32)
        self.masks = (self.inputs[:, 0] > 0).astype(np.uint8)
        self.masks[:, 0] = 255

    def count(self, _split: Split) -> int:
        return 24

    def digest(self, _split: Split) -> str:
        return "0" * 64

    def labels(self, _split: Split) -> NDArray[Any]:
        return self.masks

    def batches(self, _split: Split, batch_size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
        rows = np.arange(24) if indices is None else np.asarray(indices, np.intp)
        for start in range(0, len(rows), batch_size):
            some = rows[start : start + batch_size]
            yield Batch({"input": self.inputs[some]}, self.masks[some])


def _job(folder: Path, data: Any, task: Task) -> Job:
    (folder / "out").mkdir()
    return Job(out=folder / "out", state=folder / "state", data=data, seed=0, label="it", task=task)


def test_masks_are_learned_by_the_loss_of_their_task_and_move_with_their_pictures(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, data = nn.Conv2d(3, 2, 1), Bright()
    settings = Train(
        epochs=40,
        lr=0.3,
        batch_size=8,
        crop_padding=2,
        horizontal_flip=True,
        validation_share=0.25,
        precision="float32",
    )
    job = _job(tmp_path, data, Segmentation())
    curve = train(network, settings, job, data.signature)
    assert set(curve[0]) == {"epoch", "loss", "validation_loss", "seconds"}
    with torch.no_grad():
        said = network(torch.from_numpy(data.inputs)).argmax(1).numpy()
    # Masks that stayed where they were while pictures moved would be learned as noise.
    assert np.mean((said == data.masks)[:, 1:]) > 0.97
    assert curve[-1]["validation_loss"] < 0.3 * curve[0]["validation_loss"]


def test_masks_too_large_to_keep_are_read_with_their_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Bright()
    kept = Examples(data, data.signature, task=Segmentation())
    monkeypatch.setattr(its_examples, "_KEPT_BYTES", 100)
    monkeypatch.setattr(data, "labels", lambda _split: pytest.fail("all masks were asked for at once"))
    streamed = Examples(data, data.signature, task=Segmentation())
    order = [3, 1, 22, 7, 0]
    for one, other in zip(kept.batches(order, 2), streamed.batches(order, 2), strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_what_moved_is_told() -> None:
    pictures = torch.arange(2 * 36.0).reshape(2, 1, 6, 6)
    generator = torch.Generator().manual_seed(1)
    found, moves = augment(pictures, Train(epochs=1, lr=0.1, crop_padding=2, horizontal_flip=True), generator)
    assert isinstance(moves, Moves)
    assert torch.equal(Segmentation().moved(pictures[:, 0], moves), found[:, 0])
    assert augment(torch.zeros(2, 5), Train(epochs=1, lr=0.1), generator)[1] is None


def test_a_network_of_several_outputs_hands_all_of_them_to_the_loss_in_float32() -> None:
    class Two(nn.Module):
        def forward(self, inputs: torch.Tensor) -> dict[str, Any]:
            maps = inputs.to(torch.bfloat16)
            return {"out": maps, "aux": (maps,)}

    seen: list[Any] = []

    class Seeing(Segmentation):
        def loss(self, outputs: Any, _targets: Any) -> Any:
            seen.append(outputs)
            return outputs["out"].sum()

    loss, _ = TaskObjective(Seeing())(Two(), torch.ones(1, 2, 2, 2), torch.zeros(1, 2, 2))
    assert float(loss) == 8.0
    assert seen[0]["out"].dtype == seen[0]["aux"][0].dtype == torch.float32

    class Slip(Regression):
        def loss(self, outputs: Any, _targets: Any) -> Any:
            return outputs

    with pytest.raises(ModelError, match="task Slip: loss"):
        TaskObjective(Slip())(nn.Identity(), torch.ones(2, 1), torch.ones(2, 1))


def test_labels_are_learned_as_the_task_encodes_them() -> None:
    class Doubled(Regression):
        def encoded(self, raw: NDArray[Any], _signature: Signature) -> NDArray[Any]:
            if raw.min() < 0:
                raise DataError("below zero")
            return 2 * raw

    data: Any = Bright()
    data.masks = np.linspace(0, 1, 24, dtype=np.float32)[:, None]
    examples = Examples(data, data.signature, task=Doubled())
    assert next(examples.batches([23], 1))[1].tolist() == [[2.0]]


def test_a_classifier_is_trained_to_the_bit_as_before_tasks_had_losses(tmp_path: Path) -> None:
    """Two runs, with the task and, as before, without one: cross-entropy with the labels, smoothed."""
    torch.set_num_threads(1)
    bench = Workbench(tmp_path, small=True)
    found = []
    for task in (None, Classification()):
        made, job = bench.do(Train(epochs=1, lr=0.05, precision="float32", epoch_share=0.3), bench.loaded, task=task)
        weights = made.path / "weights.safetensors"
        found.append((hashlib.sha256(weights.read_bytes()).hexdigest(), job.facts["curve"][0]["accuracy"]))
    assert found[0] == found[1]
