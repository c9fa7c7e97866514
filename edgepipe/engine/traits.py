"""Whether a model is what a pass promised: the traits that can be read off its files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

from edgepipe.base.files import read_plain
from edgepipe.contract.artifact import ARCHITECTURE_FILE, Artifact, Kind
from edgepipe.contract.traits import FILES, HALF, INT8, MASKED

_FEW_BITS = ("INT8", "UINT8", "INT4", "UINT4", "INT2", "UINT2")


def lacking(artifact: Artifact, promised: Iterable[str]) -> str | None:
    """What of the promised traits the files do not show, in a few words; None: nothing. Words of others are believed.

    Raises:
        MeasureError: its graph cannot be read.
    """
    for trait in promised:
        if trait in FILES:
            if FILES[trait] not in artifact.manifest.files:
                return f"{trait}, and there is no {FILES[trait]} in it"
        elif (artifact.kind, trait) in _SHOWN:
            shows, what = _SHOWN[artifact.kind, trait]
            if not shows(artifact):
                return f"{trait}, and {what}"
    return None


def _stored_as(*types: str) -> Callable[[Artifact], bool]:
    """Whether a graph stores a weight, not a single number, in one of these types."""

    def shows(artifact: Artifact) -> bool:
        from math import prod

        from onnx import TensorProto

        from edgepipe.onnx.files import load_structure
        from edgepipe.onnx.subgraphs import all_graphs

        wanted = {TensorProto.DataType.Value(name) for name in types}
        return any(
            tensor.data_type in wanted and prod(tensor.dims) > 1
            for graph in all_graphs(load_structure(artifact.onnx).graph)
            for tensor in graph.initializer
        )

    return shows


def _masked(artifact: Artifact) -> bool:
    """Whether the edits of an architecture hold masks."""
    edits = json.loads(read_plain(artifact.path / ARCHITECTURE_FILE)).get("edits", [])
    return any(edit.get("op") == "mask" for edit in edits)


_SHOWN: Mapping[tuple[Kind, str], tuple[Callable[[Artifact], bool], str]] = {
    (Kind.ONNX, INT8): (_stored_as(*_FEW_BITS), "none of its weights has 8 bits or fewer"),
    (Kind.ONNX, HALF): (_stored_as("FLOAT16"), "none of its weights is float16"),
    (Kind.TORCH, MASKED): (_masked, "none of its layers has a mask"),
}
