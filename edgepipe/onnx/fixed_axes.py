"""Axes with names, given numbers: what runtimes need that know no free axes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgepipe.onnx.files import load
from edgepipe.onnx.written import write


def fix_axes(file: Path, out: Path, lengths: Mapping[str, int]) -> None:
    """Write a copy of a graph in which every axis of these names has its number, inputs, outputs and between alike."""
    network = load(file)
    graph = network.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in lengths:
                dim.dim_value = lengths[dim.dim_param]
    write(network, out, str(file))
