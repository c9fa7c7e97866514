"""Did the compression become real? The graph that ONNX Runtime runs after its own optimizations.

Two sources, both of the runtime itself: the optimized graph (which nodes are left, with their weights)
and its profile (what each node took, and the shapes it really saw).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from onnx import NodeProto

from edgepipe.base.scratch import scratch
from edgepipe.errors import MeasureError
from edgepipe.measure.macs import Layer, uncounted
from edgepipe.measure.match import match
from edgepipe.onnx.bodies import inputs_of, shapes_in
from edgepipe.onnx.graph import Graph
from edgepipe.onnx.operators import INT8_LAYERS, LAYERS, Shape, macs
from edgepipe.onnx.session import Given, Session
from edgepipe.onnx.session_options import measuring
from edgepipe.records.metrics import Audit, Int8Share, LayerCost, OperatorTime

_QDQ = {"QuantizeLinear", "DequantizeLinear"}
_KERNEL = "_kernel_time"


@dataclass(frozen=True)
class _Ran:
    """A node of the optimized graph as it ran: types and shapes of its tensors, milliseconds per run."""

    name: str
    operator: str
    input_types: list[str]
    inputs: list[Shape]
    outputs: list[Shape]
    milliseconds: float


def audit(
    graph: Graph, example: Given, original: Sequence[Layer], *, threads: int = 1, runs: int = 7
) -> tuple[Audit, Int8Share]:
    """Run the model under the runtime's profiler.

    Args:
        graph: read from a file, which is what runs.
        example: what one run takes of an example, (1, …) by input.
        original: the layers of the file, from `macs.layers`; their costs are completed with the
            operator that really runs, its time and whether it multiplies 8-bit integers.
        runs: profiled runs; the first is not counted, the others give a median per node.
    Returns:
        The audit, and the share of multiply-accumulates done in int8.
    """
    with scratch("audit") as folder:
        optimized, ran = _profile(graph.files[0], example, folder, threads, runs)
    nodes = list(optimized.model.graph.node)
    aligned = len(nodes) == len(ran) and all(n.op_type == r.operator for n, r in zip(nodes, ran, strict=True))
    timed = dict(zip(map(id, nodes), ran, strict=True)) if aligned else _by_name(nodes, ran)
    multiplying = [node for node in (*nodes, *optimized.inner) if node.op_type in LAYERS]
    pairs = match(original, multiplying, optimized)
    layers = []
    for layer in original:
        node = pairs.get(id(layer))
        layers.append(layer.cost if node is None else _completed(layer.cost, node, timed.get(id(node))))
    sources = _sources(nodes, optimized)
    unknown = uncounted(graph, original)
    result = Audit(
        operators=_operators([(sources.get(id(n), n.op_type), timed[id(n)]) for n in nodes if id(n) in timed]),
        layers=layers,
        leftover_qdq=sum(node.op_type in _QDQ for node in nodes),
        leftover_casts=sum(node.op_type == "Cast" for node in nodes),
        uncounted=unknown,
    )
    if unknown:  # a share of what is not known is none
        return result, Int8Share()
    costs = {id(node): layer.cost.macs for layer in original if (node := pairs.get(id(layer))) is not None}
    return result, _int8_share(multiplying, costs, timed, optimized)


def _profile(path: Path, example: Given, folder: Path, threads: int, runs: int) -> tuple[Graph, list[_Ran]]:
    chosen = measuring(threads)
    chosen.enable_profiling = True
    chosen.profile_file_prefix = str(folder / "profile")
    chosen.optimized_model_filepath = str(folder / "optimized.onnx")
    session = Session(path, chosen)
    fed = session.fit(example)
    for _ in range(runs):
        session.run(fed)
    profile = session.end_profiling()
    try:
        events = json.loads(profile.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MeasureError(f"{path}: ONNX Runtime wrote no readable profile: {error}") from error
    return Graph.load(folder / "optimized.onnx"), _nodes_that_ran(events)


def _nodes_that_ran(events: list[dict[str, Any]]) -> list[_Ran]:
    """One entry per node in execution order; its time is the median over all runs but the first."""
    ends = [event["ts"] + event["dur"] for event in events if event.get("name") == "model_run"]
    start = ends[0] if len(ends) > 1 else 0
    seen: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL) and event["ts"] >= start:
            seen.setdefault((event["args"].get("node_index", ""), event["name"]), []).append(event)
    return [
        _Ran(
            name=times[0]["name"].removesuffix(_KERNEL),
            operator=times[0]["args"]["op_name"],
            input_types=[kind for item in times[0]["args"].get("input_type_shape", []) for kind in item],
            inputs=shapes_in(times[0]["args"], "input_type_shape"),
            outputs=shapes_in(times[0]["args"], "output_type_shape"),
            milliseconds=median(event["dur"] for event in times) / 1000,  # the profiler counts microseconds
        )
        for times in seen.values()
    ]


def _by_name(nodes: list[NodeProto], ran: list[_Ran]) -> dict[int, _Ran]:
    """With If or Loop bodies the two sequences differ; names still tell."""
    known = {entry.name: entry for entry in ran}
    return {id(node): known[node.name] for node in nodes if node.name in known}


def _completed(cost: LayerCost, node: NodeProto, ran: _Ran | None) -> LayerCost:
    return cost.model_copy(
        update={
            "operator": node.op_type,
            "int8": node.op_type in INT8_LAYERS,
            "milliseconds": None if ran is None else ran.milliseconds,
        }
    )


def _sources(nodes: list[NodeProto], optimized: Graph) -> dict[int, str]:
    """Operators of the file that the runtime replaced by several of its own, by the id of each replacement.

    HardSwish runs as HardSigmoid and Mul; a user who reads those two would look for them in vain.
    """
    found: dict[int, str] = {}
    for node in nodes:
        for tensor in (*node.input, *node.output):
            if tensor.startswith("_inlfunc_"):
                found[id(node)] = tensor.removeprefix("_inlfunc_").split("_")[0]
        # Layout changes rename those tensors, so HardSwish is also told by its form and its lack of a name.
        users = optimized.users.get(node.output[0], []) if node.op_type == "HardSigmoid" and not node.name else []
        if len(users) == 1 and users[0][0].op_type == "Mul" and node.input[0] in users[0][0].input:
            found[id(node)] = found[id(users[0][0])] = "HardSwish"
    return found


def _operators(timed: list[tuple[str, _Ran]]) -> list[OperatorTime]:
    total = sum(ran.milliseconds for _, ran in timed) or 1.0
    groups: dict[str, list[_Ran]] = {}
    for operator, ran in timed:
        groups.setdefault(operator, []).append(ran)
    rows = []
    for operator, members in groups.items():
        spent = sum(ran.milliseconds for ran in members)
        rows.append(
            OperatorTime(
                operator=operator,
                nodes=len(members),
                milliseconds=spent,
                share=min(spent / total, 1.0),
                # MaxPool or Transpose occur in both kinds; the row says what most of them do.
                int8=2 * sum(_computes_int8(ran) for ran in members) > len(members),
            )
        )
    return sorted(rows, key=lambda row: (-row.milliseconds, row.operator))


def _computes_int8(ran: _Ran) -> bool:
    if ran.operator in INT8_LAYERS:
        return True
    return ran.operator not in _QDQ and ran.input_types[:1] in (["uint8"], ["int8"])


def _int8_share(nodes: list[NodeProto], costs: dict[int, int], timed: dict[int, _Ran], optimized: Graph) -> Int8Share:
    """Of the nodes that multiply; null where one of them is not counted."""
    total = {"conv": 0, "matmul": 0}
    int8 = {"conv": 0, "matmul": 0}
    for node in nodes:
        family = LAYERS[node.op_type].family
        # The file's own count where the layer is known: blocked layouts pad channels.
        count = costs.get(id(node))
        if count is None:
            ran = timed.get(id(node))
            seen = inputs_of(optimized, node, ran.inputs) if ran else []
            count = macs(node, seen, ran.outputs[0] if ran and ran.outputs else None)
        if count is None:
            return Int8Share()
        total[family] += count
        int8[family] += count if node.op_type in INT8_LAYERS else 0
    shares = {family: int8[family] / total[family] for family in total if total[family]}
    return Int8Share(**shares, layers=sum(int8.values()) / sum(total.values()) if shares else None)
