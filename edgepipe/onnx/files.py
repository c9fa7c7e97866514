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


def load_with_files(file: Path) -> tuple[onnx.ModelProto, tuple[Path, ...]]:
    """As `load`, and the files that it was read from: its own first, then those its weights lay in.

    Raises:
        MeasureError: it is not a readable ONNX file.
    """
    from onnx import TensorProto
    from onnx.external_data_helper import load_external_data_for_model

    from edgepipe.onnx.subgraphs import all_graphs

    model = load_structure(file)
    outside = {
        entry.value
        for graph in all_graphs(model.graph)
        for tensor in graph.initializer
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    try:
        load_external_data_for_model(model, str(file.parent))
    except Exception as error:  # of several libraries
        raise MeasureError(f"{file}: its weights outside the file cannot be read: {error}") from error
    return model, (file, *(file.parent / name for name in sorted(outside)))


def metadata_of(file: Path) -> dict[str, str]:
    """What the file says of itself under `metadata_props`, by name.

    Raises:
        MeasureError: it is not a readable ONNX file.
    """
    return {item.key: item.value for item in load_structure(file).metadata_props}


def _read(file: Path, *, weights: bool) -> onnx.ModelProto:
    import onnx

    try:
        return onnx.load(file, load_external_data=weights)
    except Exception as error:  # protobuf's DecodeError has no public base below Exception
        raise MeasureError(f"{file}: not a readable ONNX file: {error}") from error
