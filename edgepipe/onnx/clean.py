"""Stripping from an ONNX file what does not change what it computes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx


TREES = "edgepipe.trees"
"""Metadata of a graph that holds trees: "averaged" or "boosted", which the graph alone does not tell."""


def clean_file(file: Path) -> None:
    """Strip stack traces, paths, doc strings and producer versions from an ONNX file, in place."""
    import onnx

    from edgepipe.onnx.files import load

    model = load(file)
    clean(model)
    onnx.save(model, file)


def clean(model: onnx.ModelProto) -> None:
    """Strip everything from a model that does not change what it computes."""
    model.producer_name, model.producer_version = "edgepipe", ""
    model.doc_string, model.domain = "", ""
    kept = [item for item in model.metadata_props if item.key == TREES]
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
