"""How an ONNX file is read: whole, or without the weights that lie in files beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgepipe.errors import MeasureError

if TYPE_CHECKING:
    import onnx


def load(file: Path) -> onnx.ModelProto:
    """The model, its weights inside wherever they lay. The file is trusted: see `external_data` for another.

    Raises:
        MeasureError: it is not a readable ONNX file.
    """
    return _read(file, weights=True)


def load_structure(file: Path) -> onnx.ModelProto:
    """The model, of weights in files beside it only where they lie: what the graph alone tells needs no more.

    Raises:
        MeasureError: it is not a readable ONNX file.
    """
    return _read(file, weights=False)


def _read(file: Path, *, weights: bool) -> onnx.ModelProto:
    import onnx

    try:
        return onnx.load(file, load_external_data=weights)
    except Exception as error:  # protobuf's DecodeError has no public base below Exception
        raise MeasureError(f"{file}: not a readable ONNX file: {error}") from error
