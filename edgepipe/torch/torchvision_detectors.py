"""Detectors of torchvision as ONNX files: what they answer, padded to lists of a fixed length.

They choose their boxes inside, by suppression whose lengths depend on the picture. `torch.export` does not trace that
(data-dependent guards); the exporter that records operators does, of one picture at a time.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgepipe.errors import ModelError
from edgepipe.onnx.clean import clean_file

OUTPUTS = ("boxes", "labels", "scores")
_OPSET = 18
_ALIKE = 0.95
"""Share of PyTorch's boxes that the exported file must give too: equal scores may be in another order."""
_SCORE = 1e-3
_PIXELS = 0.5


class Listed(nn.Module):
    """A detector of torchvision for one picture of the input's own size.

    Takes (1, 3, height, width) in [0, 1]; gives boxes (1, most, 4) in pixels, labels (1, most) and scores (1, most),
    best first. Rows of score 0 fill up. The network's own resizing is left out: the data has done it.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.most = int(getattr(network, "roi_heads", network).detections_per_img)
        network.transform.resize = lambda picture, target: (picture, target)
        network.transform.postprocess = lambda found, *_sizes: found

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = self.network([pictures[0]])[0]
        return tuple(self._padded(found[name]) for name in OUTPUTS)

    def _padded(self, rows: torch.Tensor) -> torch.Tensor:
        last = (4,) * (rows.dim() - 1)  # a number, that the shapes of the outputs are known
        return torch.cat([rows, rows.new_zeros((self.most, *last))])[: self.most].reshape(1, self.most, *last)


def own_size(network: Any) -> tuple[int, int | None]:
    """(shorter side, longer side or None) in pixels that torchvision makes of a picture for it."""
    transform = network.transform
    if transform.fixed_size is not None:
        width, height = transform.fixed_size
        return min(width, height), max(width, height)
    return int(transform.min_size[-1]), None


def export(network: Any, file: Path, size: tuple[int, int]) -> Listed:
    """Write a detector as one ONNX file, for pictures of (height, width) pixels; what PyTorch asks in its stead.

    Raises:
        ModelError: it does not take such pictures, or the exporter cannot express it.
    """
    wrapped = Listed(network.eval()).eval()
    example = torch.rand((1, 3, *size), generator=torch.Generator().manual_seed(0))
    noise = io.StringIO()
    try:
        with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(noise):
            warnings.simplefilter("ignore")
            wrapped(example)
            torch.onnx.export(
                wrapped,
                (example,),
                str(file),
                dynamo=False,
                opset_version=_OPSET,
                input_names=["input"],
                output_names=list(OUTPUTS),
            )
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise ModelError(
            f"cannot be exported for pictures of {size[0]}x{size[1]} pixels: {type(error).__name__}: {said}. Try "
            "another data.image_size"
        ) from error
    clean_file(file)
    return wrapped


def answers_alike(wrapped: Listed, file: Path, size: tuple[int, int]) -> float:
    """Share of PyTorch's boxes that the file gives too, of a drawn picture: same label, place and score.

    Raises:
        ModelError: it is less than 95%.
    """
    from edgepipe.onnx.answers import named_answers

    picture = torch.rand((1, 3, *size), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = [value.numpy()[0] for value in wrapped(picture)]
    given = named_answers(file)(picture.numpy())
    share = _found(wanted, [np.asarray(given[name])[0] for name in OUTPUTS])
    if share < _ALIKE:
        raise ModelError(
            f"the exported file gives {share:.1%} of PyTorch's boxes for a drawn picture, and {_ALIKE:.0%} are "
            "wanted: its weights may hold very large values"
        )
    return share


def _found(wanted: list[NDArray[Any]], given: list[NDArray[Any]]) -> float:
    boxes, labels, scores = wanted
    there = scores > 0
    if not there.any():
        return float(not (given[2] > _SCORE).any())
    near = np.abs(boxes[there][:, None] - given[0][None]).max(-1) <= _PIXELS
    near &= labels[there][:, None] == given[1][None]
    near &= np.abs(scores[there][:, None] - given[2][None]) <= _SCORE
    return float(near.any(1).mean())
