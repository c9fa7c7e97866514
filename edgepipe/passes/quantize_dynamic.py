"""Float ONNX to int8 weights, activation ranges taken while it runs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from edgepipe.contract import Job, Pass
from edgepipe.contract.artifact import ONNX_FILE, Artifact, Kind
from edgepipe.contract.target import Target
from edgepipe.contract.traits import FLOAT, INT8
from edgepipe.errors import PassError
from edgepipe.onnx.clean import clean
from edgepipe.onnx.written import write

if TYPE_CHECKING:
    import onnx

_INT8 = ("MatMulInteger", "ConvInteger", "DynamicQuantizeLSTM")


class QuantizeDynamic(Pass):
    """Store the weights of matrix products and LSTMs as int8 and quantize their inputs on the fly; no calibration.

    Right for transformers and LSTMs; convolutions only on request, they get much slower, but for a transformer's first
    one over patches, which becomes a matrix product. For GRU and RNN, and for what lies inside a Loop or If, there is
    no int8 kernel: they compute in float, with weights stored as int8, those of convolutions there too.
    Source: ONNX Runtime, "Quantize ONNX models", dynamic quantization.
    """

    reads: ClassVar[Kind] = Kind.ONNX
    writes: ClassVar[Kind] = Kind.ONNX
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    requires: ClassVar[tuple[str, ...]] = (FLOAT,)
    provides: ClassVar[tuple[str, ...]] = (INT8,)
    removes: ClassVar[tuple[str, ...]] = (FLOAT,)

    convolutions: bool = Field(False, description="convolutions too; ONNX Runtime's ConvInteger is ten times slower")
    embeddings: bool = Field(True, description="tables of word vectors too, as int8 with a scale for each row")
    per_channel: bool = Field(True, description="a scale for each output channel of a weight, or one for all")
    reduce_range: bool = Field(True, description="7-bit weights, which cannot overflow AVX2's 16-bit sums")
    exclude: tuple[str, ...] = Field((), description="names of nodes that stay float")

    def on_target(self, target: Target) -> list[str]:
        del target
        return (
            ["convolutions become ConvInteger, which ONNX Runtime runs slower than float"] if self.convolutions else []
        )

    def apply(self, model: Artifact, job: Job) -> Artifact:

        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        from edgepipe.onnx.files import load
        from edgepipe.quant.place.exclude import named_nodes
        from edgepipe.quant.place.layers import check_weights
        from edgepipe.quant.rewrite.embeddings import quantize_tables
        from edgepipe.quant.rewrite.patches import patches_to_products
        from edgepipe.quant.rewrite.prepare import prepare
        from edgepipe.quant.rewrite.products import gemms_to_products, part_shared
        from edgepipe.quant.rewrite.recurrent import part_shared_recurrent, store_recurrent

        network = prepare(model.onnx, job.label)
        excluded = named_nodes(network, self.exclude, job.label)
        check_weights(network, job.label)
        patches_to_products(network, excluded)
        # The tool transposes the weight of a Gemm where it lies, once for each of its readers.
        gemms_to_products(network, 1, excluded)
        part_shared(network)
        part_shared_recurrent(network)
        stored = store_recurrent(network, excluded)
        kinds = ["MatMul", "Gemm", "LSTM", *(["Conv"] if self.convolutions else [])]
        # The quantizer's shape inference stumbles over stored inner shapes of dynamic batches.
        del network.graph.value_info[:]
        file = job.out / ONNX_FILE
        log = logging.getLogger()
        level = log.level
        log.setLevel(max(level, logging.ERROR))  # it advises what `prepare` has done
        try:
            quantize_dynamic(
                network,
                file,
                op_types_to_quantize=kinds,
                per_channel=self.per_channel,
                reduce_range=self.reduce_range,
                weight_type=QuantType.QInt8,
                # The tool writes a Gemm as a MatMul of this name before it looks at what to leave out.
                nodes_to_exclude=[
                    *excluded,
                    *(f"{name}_MatMul" for name in excluded),
                    *_other_products(network),
                ],
                # Its shape inference knows no operators of com.microsoft; what it quantizes is float32.
                extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
            )
        except Exception as error:
            raise PassError(
                f"passes.{job.label}: ONNX Runtime cannot quantize this model: {str(error)[:300]}"
            ) from error
        finally:
            log.setLevel(level)
        written = load(file)
        count = sum(node.op_type in _INT8 for node in written.graph.node)
        if count == 0 and stored == 0:
            file.unlink()
            raise PassError(
                f"passes.{job.label}: nothing to quantize: the model has no matrix product or LSTM with constant "
                "weights that is not excluded. For convolutions use quantize_static, or set convolutions=true (slower)"
            )
        if self.embeddings:
            job.facts["int8_tables"] = quantize_tables(written, excluded)
        clean(written)
        write(written, file, f"passes.{job.label}")
        job.facts["int8_nodes"] = count
        if stored:
            job.facts["int8_stored"] = stored
            job.add(
                "notes",
                f"{stored} {'layers compute' if stored > 1 else 'layer computes'} in float, with weights stored as "
                "int8: this runtime has no int8 kernel for GRU and RNN, nor this step for layers inside If or Loop",
            )
        return job.seal(Kind.ONNX, model.signature)


def _other_products(network: onnx.ModelProto) -> list[str]:
    """Names of MatMul whose weight is no constant matrix: ONNX Runtime's int8 kernel cannot run them."""
    from edgepipe.quant.rewrite.products import products

    able = products(network)
    return [node.name for node in network.graph.node if node.op_type == "MatMul" and node.name not in able]
