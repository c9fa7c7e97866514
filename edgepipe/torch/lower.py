"""Exporting a network to ONNX, cleaning the file, and comparing two models on real examples."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgepipe.errors import PassError
from edgepipe.onnx.clean import clean_file

if TYPE_CHECKING:
    from torch import nn


def export(network: nn.Module, file: Path, input_shape: tuple[int, ...], *, opset: int, batch: str | int) -> None:
    """Write a network in eval mode as one ONNX file, byte-identical from run to run.

    Raises:
        PassError: the exporter cannot express the network.
    """
    import torch

    from edgepipe.torch.interface import zeros

    # The exporter specialises a batch of 1, so a dynamic batch needs an example of at least 2.
    example = zeros(network, 2 if batch == "dynamic" else int(batch), input_shape)
    shapes = ({0: torch.export.Dim("batch", min=1, max=65536)},) if batch == "dynamic" else None
    level = logging.getLogger("torch.onnx").level
    noise = io.StringIO()
    try:
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        logging.getLogger("onnxscript").setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network.eval(),
                (example,),
                file,
                dynamo=True,
                external_data=False,
                opset_version=opset,
                input_names=["input"],
                output_names=["logits"],
                dynamic_shapes=shapes,
                verbose=False,
            )
    except Exception as error:
        cause = error.__cause__ or error  # the exporter wraps what went wrong in advice on the exporter
        reason = re.sub(r"\x1b\[[0-9;]*m", "", str(cause)).strip().partition("\n")[0][:300]
        raise PassError(
            f"the network cannot be lowered to ONNX: {type(cause).__name__}: {reason}. {_remedy(network, input_shape)}"
        ) from error
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
    clean_file(file)


def _remedy(network: nn.Module, input_shape: tuple[int, ...]) -> str:
    """What to do about a network that was not lowered, by whether it runs at all."""
    import torch

    from edgepipe.torch.interface import zeros

    runs = []
    for count in (1, 2):
        try:
            with torch.no_grad():
                network(zeros(network, count, input_shape))
        except Exception:
            continue
        runs.append(count)
    if not runs:
        return (
            f"It does not take examples of shape {tuple(input_shape)} in PyTorch either: give it data of the shape "
            "that it is made for (data.image_size and data.channels of pictures)"
        )
    if runs == [1]:
        return "It takes one example at a time only: set lowering.batch=1"
    return "Try another lowering.opset, lowering.batch=1, or rewrite what torch.export cannot trace"


def answers_of(network: nn.Module, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of a torch network in eval mode: float32, (n, classes)."""
    import torch

    with torch.inference_mode():
        logits: NDArray[np.float32] = network(torch.from_numpy(np.ascontiguousarray(inputs))).float().numpy()
    return logits
