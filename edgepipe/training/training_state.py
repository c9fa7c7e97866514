"""What a killed training needs to go on: whole or absent, and no pickle."""

from __future__ import annotations

import copy
import hashlib
import io
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgepipe.base.files import is_file, replacing

_CHECKPOINT = "epoch.pt"
_DIGEST_BYTES = 32

Curve = list[dict[str, float | int]]


def write_checkpoint(file: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values, their SHA-256 in front, on the disk before the old file goes."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with replacing(file, alone=True, on_disk=True) as part, part.open("wb") as stream:
        stream.write(hashlib.sha256(buffer.getbuffer()).digest())
        stream.write(buffer.getbuffer())


def read_checkpoint(file: Path) -> dict[str, Any]:
    """What `write_checkpoint` wrote; a flipped byte in a weight would otherwise be trained on.

    Raises:
        ValueError: the content does not match its SHA-256.
    """
    saved = file.read_bytes()
    if hashlib.sha256(saved[_DIGEST_BYTES:]).digest() != saved[:_DIGEST_BYTES]:
        raise ValueError(f"{file}: damaged: its content does not match its SHA-256")
    return dict(torch.load(io.BytesIO(saved[_DIGEST_BYTES:]), map_location="cpu", weights_only=True))


class TrainingState:
    """Network, optimizer, averaged and best weights after each finished epoch, in a folder.

    Attributes:
        epoch: epochs finished.
        epochs, share: epochs to do, and what part of the examples each of them sees; settled once, so that a resumed
            run keeps its time budget.
        best: weights of the epoch of lowest validation loss, and how many epochs ago that was.
    """

    def __init__(self, folder: Path, network: nn.Module, optimizer: Any, average: nn.Module | None) -> None:
        self.file = folder / _CHECKPOINT
        self.network, self.optimizer, self.average = network, optimizer, average
        self.epoch = 0
        self.epochs: int | None = None
        self.share = 1.0
        self.curve: Curve = []
        self.best: dict[str, torch.Tensor] | None = None
        self.best_loss = float("inf")
        self.since_best = 0

    @property
    def kept(self) -> nn.Module:
        """The network that is judged and kept."""
        return self.average if self.average is not None else self.network

    def judge(self, validation_loss: float) -> None:
        """Keep the weights if this is the lowest loss so far."""
        if validation_loss < self.best_loss:
            self.best_loss, self.since_best = validation_loss, 0
            self.best = {key: value.detach().cpu().clone() for key, value in self.kept.state_dict().items()}
        else:
            self.since_best += 1

    def save(self) -> None:
        """Tensors and plain values only, so that reading it back needs no pickle.

        Raises:
            OSError: no space left; what was half written is removed.
        """
        content = {
            "epoch": self.epoch,
            "epochs": self.epochs,
            "share": self.share,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "curve": self.curve,
            "best": self.best,
            "best_loss": self.best_loss,
            "since_best": self.since_best,
        }
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(self.file, content)

    def resume(self) -> bool:
        """Take up the saved state, if there is one that can be read."""
        if not is_file(self.file):
            return False
        fresh = copy.deepcopy(self.network.state_dict())
        try:
            content = read_checkpoint(self.file)
            self.network.load_state_dict(content["network"])
            self.optimizer.load_state_dict(content["optimizer"])
            if self.average is not None:
                self.average.load_state_dict(content["average"])
            self.epoch, self.epochs = int(content["epoch"]), int(content["epochs"])
            self.share = float(content["share"])
            self.curve, self.best = list(content["curve"]), content["best"]
            self.best_loss, self.since_best = float(content["best_loss"]), int(content["since_best"])
        except Exception:  # a checkpoint that cannot be read costs time, never the run
            self.file.unlink()
            self.network.load_state_dict(fresh)
            return False
        return True
