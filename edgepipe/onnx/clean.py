"""Stripping from an ONNX file what does not change what it computes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx


TREES = "edgepipe.trees"
"""Metadata of a graph that holds trees: "averaged" or "boosted", which the graph alone does not tell."""


_TOOLS = ("pkg.", "onnx.")
"""How metadata begins that the exporter and ONNX Runtime's quantizer leave behind."""


def clean_file(file: Path) -> None:
    """Strip stack traces, paths, doc strings and producer versions from an ONNX file, in place."""
    import onnx

    from edgepipe.onnx.files import load

    model = load(file)
    clean(model)
    onnx.save(model, file)


def clean(model: onnx.ModelProto) -> None:
    """Strip everything from a model that does not change what it computes, but for what its metadata says."""
    model.producer_name, model.producer_version = "edgepipe", ""
    model.doc_string, model.domain = "", ""
    # What the user's file says of itself its own runtime reads: the symbols of a recognizer, the names of a detector.
    kept = [item for item in model.metadata_props if not item.key.startswith(_TOOLS)]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    graph: Any = model.graph
    graph.doc_string, graph.name = "", "main"
    del graph.metadata_props[:]
    # Shapes of inner values are re-inferred by whoever needs them, and upset onnxruntime's quantizer.
    del graph.value_info[:]
    for item in [*graph.node, *graph.initializer, *graph.input, *graph.output]:
        item.doc_string = ""
        del item.metadata_props[:]
