"""What a SavedModel's graph could do, read from its description before TensorFlow loads any of it.

A graph is a program, and TensorFlow runs parts of it while it loads: initializers of tables, functions that
restore an object, whatever an attribute with the right name holds, constants while it infers shapes. So nothing
here trusts a name: every function of the library may compute and nothing else. Only functions that nothing can
call, which is how TensorFlow keeps those that save and restore the weights, may hold the operators of saving too.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edgepipe.sources.converter import Refused

# TensorFlow's families of operators whose stateless members compute from their inputs, and its exceptions below.
_FAMILIES = """
    array bitwise control_flow count ctc functional image linalg list lookup manip math nn ragged_array
    ragged_conversion ragged_math random resource_variable rnn set sparse special_math spectral stateless_random
    stateless_random_ops_v2 string uniform_quant
"""
# The first maps a file into memory, the second ends the process.
_NEVER = {"ImmutableConst", "Abort"}
# What a stateful one changes or draws has to be the process's own memory: variables, tables, random numbers.
_STATEFUL = """
    Assert AssignAddVariableOp AssignSubVariableOp AssignVariableOp Case CheckNumerics CheckNumericsV2 CudnnRNN
    CudnnRNNV2 CudnnRNNV3 DeepCopy DestroyResourceOp DisableCopyOnRead Empty GuaranteeConst If Multinomial
    ParameterizedTruncatedNormal RandomCrop RandomGamma RandomPoisson RandomPoissonV2 RandomShuffle
    RandomStandardNormal RandomUniform RandomUniformInt ReadVariableOp ResourceGather ResourceGatherNd
    ResourceScatterAdd ResourceScatterDiv ResourceScatterMax ResourceScatterMin ResourceScatterMul
    ResourceScatterNdAdd ResourceScatterNdUpdate ResourceScatterSub ResourceScatterUpdate ResourceStridedSliceAssign
    RngReadAndSkip RngSkip SampleDistortedBoundingBox SampleDistortedBoundingBoxV2 StatefulPartitionedCall
    StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform StatefulUniformFullInt StatefulUniformInt
    StatelessRandomGetAlg TruncatedNormal VarHandleOp VarIsInitializedOp VariableShape While
    AnonymousHashTable AnonymousMutableDenseHashTable AnonymousMutableHashTable AnonymousMutableHashTableOfTensors
    HashTable HashTableV2 InitializeTableV2 LookupTableExportV2 LookupTableFindV2 LookupTableImportV2
    LookupTableInsertV2 LookupTableRemoveV2 LookupTableSizeV2 MutableDenseHashTableV2 MutableHashTableOfTensorsV2
    MutableHashTableV2
    TensorArrayCloseV3 TensorArrayConcatV3 TensorArrayGatherV3 TensorArrayGradV3 TensorArrayReadV3
    TensorArrayScatterV3 TensorArraySizeV3 TensorArraySplitV3 TensorArrayV3 TensorArrayWriteV3
"""
_COMPUTING = {"DynamicPartition", "DynamicStitch", "ParallelDynamicStitch"}
_SAVING = {"MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"}
_TEXT_TABLES = {"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"}


def check(saved: Any, folder: Path) -> None:
    """Refuse a graph that could reach beyond the process's own memory.

    Args:
        saved: the parsed `SavedModel` protobuf message.
        folder: where it lies; the only place it may read from.
    Raises:
        Refused: names the operator and the function it is in, or the file.
    """
    if len(saved.meta_graphs) != 1 or not saved.meta_graphs[0].HasField("object_graph_def"):
        raise Refused(
            "it was saved in the format of TensorFlow 1, which runs parts of the graph to load it. "
            "Save it again with tf.saved_model.save(model, DIR) of TensorFlow 2"
        )
    graph = saved.meta_graphs[0]
    _check_assets(graph, folder)
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    called = _callable(graph, functions)
    allowed = _computing_operators()
    for name, function in functions.items():
        for node in function.node_def:
            if node.op in allowed or _is_function(node.op, functions):
                continue
            if node.op in _SAVING and name not in called:
                continue
            if node.op in _TEXT_TABLES and _reads_own_asset(node, function, graph, functions):
                continue
            raise Refused(
                f"'{name}/{node.name}' is a {node.op}, which reaches beyond the model or is not known not to: such a "
                "graph is not loaded. Export only what computes the answers: model.export(DIR)"
            )


def _computing_operators() -> set[str]:
    from tensorflow.python.framework import op_def_registry

    found = set(_COMPUTING)
    for family in _FAMILIES.split():
        name = family if family.endswith("_v2") else f"{family}_ops"
        module = importlib.import_module(f"tensorflow.python.ops.gen_{name}")
        definitions = [op_def_registry.get(item) for item in vars(module) if item[0].isupper()]
        found |= {item.name for item in definitions if item is not None and not item.is_stateful}
    return (found | set(_STATEFUL.split())) - _NEVER - _TEXT_TABLES


def _is_function(operator: str, functions: dict[str, Any]) -> bool:
    """Whether a node calls a function of the library by its operator's name, and no operator has that name."""
    from tensorflow.python.framework import op_def_registry

    return operator in functions and op_def_registry.get(operator) is None


def _callable(graph: Any, functions: dict[str, Any]) -> set[str]:
    """Functions that TensorFlow or a signature may call, at any depth: what an object has, and what that calls."""
    waiting: list[str] = []
    for node in graph.object_graph_def.nodes:
        waiting += node.function.concrete_functions
        waiting += [node.bare_concrete_function.concrete_function_name, node.captured_tensor.concrete_function]
    # Functions with these attributes may be put in another's place when a graph is optimized.
    waiting += [name for name, function in functions.items() if "api_implements" in function.attr]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in functions and name not in found:
            found.add(name)
            waiting += _named(functions[name])
    return found


def _named(function: Any) -> Iterator[str]:
    """Everything a function's nodes and attributes name that might be a function."""
    yield from _in_attributes(function.attr.values())
    for node in function.node_def:
        yield node.op
        yield from _in_attributes(node.attr.values())


def _in_attributes(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        for text in (value.s, *value.list.s):
            yield text.decode("utf-8", "replace")
        for item in (value.func, *value.list.func):
            yield item.name
            yield from _in_attributes(item.attr.values())


def _check_assets(graph: Any, folder: Path) -> None:
    home = folder.resolve()
    for item in graph.asset_file_def:
        path = (home / "assets" / item.filename).resolve()
        if not path.is_relative_to(home):
            raise Refused(f"its asset '{item.filename}' lies outside its folder: such a model is not loaded")
    for node in graph.object_graph_def.nodes:
        if node.WhichOneof("kind") == "asset" and node.children:  # could give the asset another path
            raise Refused("one of its assets has attributes, which no honest asset has: such a model is not loaded")


def _reads_own_asset(node: Any, function: Any, graph: Any, functions: dict[str, Any]) -> bool:
    """Whether the file that fills a table is an asset: captured by the function, which no other one calls."""
    name = function.signature.name
    bound = list(graph.object_graph_def.concrete_functions[name].bound_inputs)
    arguments = [item.name for item in function.signature.input_arg]
    captured = dict(zip(arguments[len(arguments) - len(bound) :], bound, strict=False))
    if len(node.input) < 2 or node.input[1] not in captured or Counter(arguments)[node.input[1]] != 1:
        return False
    objects = graph.object_graph_def.nodes
    index = captured[node.input[1]]
    if not 0 <= index < len(objects) or objects[index].WhichOneof("kind") != "asset":
        return False
    return not any(name in _named(other) for other in functions.values())
