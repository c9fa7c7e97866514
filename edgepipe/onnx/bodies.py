"""What the bodies of If, Loop and Scan multiply: how often they run is known only from running them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import onnxruntime
from onnx import ModelProto, NodeProto

from edgepipe.base.scratch import scratch
from edgepipe.onnx.examples import ExampleShapes
from edgepipe.onnx.graph import Graph
from edgepipe.onnx.operators import Shape, macs
from edgepipe.onnx.session import Session
from edgepipe.onnx.session_options import measuring
from edgepipe.onnx.subgraphs import all_graphs

_KERNEL = "_kernel_time"


def ran_inside(graph: Graph, nodes: Sequence[NodeProto], example: ExampleShapes) -> dict[int, int | None]:
    """Multiply-accumulates of one run on `Graph.filled`, by the `id` of each node, all executions together.

    None: a shape that the count needs is not told. A body that did not run counts 0: If takes one of its two.
    """
    model = ModelProto()
    model.CopyFrom(graph.model)
    number, numbers = 0, {id(node): number for number, node in enumerate(graph.inner)}
    for body in list(all_graphs(model.graph))[1:]:  # in the order of `graph.inner`
        for node in body.node:
            node.name, number = f"inner{number}", number + 1
    with scratch("bodies") as folder:
        chosen = measuring(1)
        chosen.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        chosen.enable_profiling = True
        chosen.profile_file_prefix = str(folder / "profile")
        session = Session(model.SerializeToString(), chosen, name=graph.name)
        session.run(graph.filled(example))
        events = json.loads(session.end_profiling().read_text(encoding="utf-8"))
    found: dict[int, int | None] = {}
    for node in nodes:
        name = f"inner{numbers[id(node)]}{_KERNEL}"
        counts = []
        for event in (event for event in events if event.get("name") == name):
            outputs = shapes_in(event["args"], "output_type_shape")
            inputs = inputs_of(graph, node, shapes_in(event["args"], "input_type_shape"))
            counts.append(macs(node, inputs, outputs[0] if outputs else None))
        known = [count for count in counts if count is not None]
        found[id(node)] = sum(known) if len(known) == len(counts) else None
    return found


def shapes_in(arguments: Mapping[str, Any], key: str) -> list[Shape]:
    """Shapes of the tensors of an event of the profiler; `key`: input_type_shape or output_type_shape."""
    return [tuple(shape) for item in arguments.get(key, []) for shape in item.values()]


def inputs_of(graph: Graph, node: NodeProto, seen: Sequence[Shape]) -> list[Shape | None]:
    """Shape of each input of a node; the profiler leaves out constants that the kernel has packed already."""
    left = list(seen)
    found: list[Shape | None] = []
    for name in node.input:
        stored = graph.weight_behind(name) if name else None
        if not name or (stored is not None and (not left or prod(left[0]) != prod(stored.dims))):
            found.append(None if stored is None else tuple(stored.dims))
        else:
            found.append(left.pop(0) if left else None)
    return found
