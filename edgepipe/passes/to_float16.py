"""Float32 weights to float16."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from edgepipe.contract import Job, Pass
from edgepipe.contract.artifact import ONNX_FILE, Artifact, Kind
from edgepipe.contract.target import Target
from edgepipe.contract.traits import FLOAT, HALF
from edgepipe.errors import PassError
from edgepipe.onnx.clean import clean
from edgepipe.onnx.written import write


class ToFloat16(Pass):
    """Store weights as float16; half the bytes.

    `storage` casts them to float32 when the model is opened: float32 speed on every processor.
    `compute` also computes in float16, for accelerators that do. Source: IEEE 754-2008, binary16.
    """

    reads: ClassVar[Kind] = Kind.ONNX
    writes: ClassVar[Kind] = Kind.ONNX
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    provides: ClassVar[tuple[str, ...]] = (HALF,)

    mode: Literal["storage", "compute"] = Field("storage", description="storage: float32 arithmetic; compute: float16")
    smallest: int = Field(16, ge=1, description="weights with fewer elements stay float32 (storage mode)")

    def needs(self) -> dict[str, str]:
        return {FLOAT: "mode=compute"} if self.mode == "compute" else {}

    def traits(self, before: frozenset[str]) -> frozenset[str]:
        return super().traits(before) - ({FLOAT} if self.mode == "compute" else set())

    def on_target(self, target: Target) -> list[str]:
        fact = target.float16_native
        if fact is None or fact.value:
            return []
        return [f"no float16 arithmetic there ({fact.source}): it saves bytes, and casts cost time"]

    def apply(self, model: Artifact, job: Job) -> Artifact:
        import numpy as np
        import onnx
        from onnx import numpy_helper

        from edgepipe.onnx.files import load
        from edgepipe.quant.rewrite.prepare import QUANTIZED

        network = load(model.onnx)
        if self.mode == "compute" and any(node.op_type in QUANTIZED for node in network.graph.node):
            raise PassError(
                f"passes.{job.label}: the model is quantized already, and float16 between its int8 kernels would undo "
                "them. mode=storage halves the bytes of what stayed float"
            )
        for item in network.graph.initializer:
            # Scalars are bounds and masks, -3.4e38 for one: storage leaves them alone, compute clips them.
            if item.data_type == onnx.TensorProto.FLOAT and np.prod(item.dims) >= self.smallest:
                value = numpy_helper.to_array(item)
                largest = float(np.abs(value).max()) if value.size else 0.0
                if np.isnan(largest):
                    raise PassError(
                        f"passes.{job.label}: the weight '{item.name}' holds NaN. The float model is broken there"
                    )
                if largest > float(np.finfo(np.float16).max):
                    raise PassError(
                        f"passes.{job.label}: the weight '{item.name}' reaches {largest:.3g}, beyond "
                        "float16's 65504. Keep this model in float32, or rescale that layer"
                    )
        if self.mode == "compute":
            network = _computing_in_float16(network, job.label)
        else:
            job.facts["tensors"] = _store_as_float16(network, self.smallest)
        clean(network)
        write(network, job.out / ONNX_FILE, f"passes.{job.label}")
        return job.seal(Kind.ONNX, model.signature)


def _computing_in_float16(network, label: str):  # type: ignore[no-untyped-def]
    """The graph with float16 between its operators; those that ONNX defines for float32 alone stay as they are."""
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    from edgepipe.onnx.subgraphs import all_graphs

    opset = next((item.version for item in network.opset_import if item.domain in ("", "ai.onnx")), 1)
    for graph in all_graphs(network.graph):
        _constants_as_tensors(graph)
    nodes = [node for graph in all_graphs(network.graph) for node in graph.node]
    float_only = {*DEFAULT_OP_BLOCK_LIST, *(node.op_type for node in nodes if not _knows_float16(node, opset))}
    within = [node for graph in all_graphs(network.graph) if graph is not network.graph for node in graph.node]
    stuck = next((node for node in within if node.op_type in float_only), None)
    if stuck is not None:  # the tool puts the casts around it into the graph outside
        raise PassError(
            f"passes.{label}: inside of an If, Loop or Scan stands {stuck.op_type} "
            f"('{stuck.name or stuck.output[0]}'), "
            "which has no float16. mode=storage halves the bytes without computing in float16"
        )
    try:
        return convert_float_to_float16(
            network,
            keep_io_types=True,
            disable_shape_infer=False,
            op_block_list=sorted(float_only),
        )
    except Exception as error:
        raise PassError(
            f"passes.{label}: ONNX Runtime's tool cannot write this model in float16: {str(error)[:200]}. "
            "mode=storage halves the bytes without computing in float16"
        ) from error


def _knows_float16(node, opset: int) -> bool:  # type: ignore[no-untyped-def]
    """Whether the operator's definition takes float16 wherever it takes float32, as far as a definition is known."""
    import onnx

    try:
        schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    except onnx.defs.SchemaError:
        return True
    allowed = [set(constraint.allowed_type_strs) for constraint in schema.type_constraints]
    return all("tensor(float16)" in types for types in allowed if "tensor(float)" in types)


def _constants_as_tensors(graph) -> None:  # type: ignore[no-untyped-def]
    """Write constants that are given as plain numbers as tensors, which the tool converts."""
    import numpy as np
    from onnx import helper, numpy_helper

    for node in graph.node:
        for item in node.attribute if node.op_type == "Constant" else ():
            if item.name in ("value_float", "value_floats"):
                value = np.asarray(helper.get_attribute_value(item), np.float32)
                del node.attribute[:]
                node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(value)))
                break


def _too_fine(value) -> bool:  # type: ignore[no-untyped-def]
    """Whether float16 rounds a tensor to a few values: below 6e-5 its steps do not get finer."""
    import numpy as np

    whole = np.asarray(value, np.float64)
    lost = whole - value.astype(np.float16).astype(np.float64)
    return bool(np.square(lost).sum() > 1e-4 * np.square(whole).sum())


def _store_as_float16(network, smallest: int) -> int:  # type: ignore[no-untyped-def]
    """Replace float32 initializers by float16 ones and a Cast, which ONNX Runtime folds when it loads."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    from edgepipe.onnx.names import fresh, tensor_names

    taken = tensor_names(network.graph)
    casts = []
    kept = []
    for item in network.graph.initializer:
        value = numpy_helper.to_array(item)
        if item.data_type != onnx.TensorProto.FLOAT or value.size < smallest or _too_fine(value):
            kept.append(item)
            continue
        half = fresh(f"{item.name}_half", taken)
        kept.append(numpy_helper.from_array(value.astype(np.float16), half))
        casts.append(helper.make_node("Cast", [half], [item.name], f"{item.name}_Cast", to=onnx.TensorProto.FLOAT))
    nodes = list(network.graph.node)
    del network.graph.node[:]
    network.graph.node.extend([*casts, *nodes])
    del network.graph.initializer[:]
    network.graph.initializer.extend(kept)
    return len(casts)
