"""Float ONNX to few-bit weights of matrix products; the arithmetic stays float."""

from __future__ import annotations

import logging
from typing import ClassVar, Literal

from pydantic import Field

from edgepipe.contract import Job, Pass
from edgepipe.contract.artifact import ONNX_FILE, Artifact, Kind
from edgepipe.contract.traits import FLOAT, INT8
from edgepipe.errors import PassError
from edgepipe.onnx.clean import clean
from edgepipe.onnx.written import write


class QuantizeWeights(Pass):
    """Store the weights of matrix products in 4 or 8 bits, a scale for each block; no calibration.

    For transformers where bytes matter more than speed: ONNX Runtime's MatMulNBits multiplies floats, so small
    models do not get faster. Products whose weight has fewer than `smallest` elements stay float.
    Source: ONNX Runtime, contrib operator com.microsoft.MatMulNBits; Frantar et al., GPTQ, arXiv:2210.17323 (its
    baseline, rounding to nearest per block).
    """

    reads: ClassVar[Kind] = Kind.ONNX
    writes: ClassVar[Kind] = Kind.ONNX
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    requires: ClassVar[tuple[str, ...]] = (FLOAT,)
    provides: ClassVar[tuple[str, ...]] = (INT8,)
    removes: ClassVar[tuple[str, ...]] = (FLOAT,)

    bits: Literal[4, 8] = Field(4, description="bits of a weight")
    block_size: Literal[16, 32, 64, 128, 256] = Field(32, description="weights of one column that share a scale")
    symmetric: bool = Field(True, description="no zero points: smaller; false: follows one-sided blocks better")
    accuracy_level: Literal[0, 1, 4] = Field(
        4, description="of the arithmetic: 0 the runtime chooses, 1 float32, 4 activations rounded to int8 by block"
    )
    smallest: int = Field(4096, ge=1, description="weights with fewer elements stay float")
    exclude: tuple[str, ...] = Field((), description="names of nodes that stay float")

    def apply(self, model: Artifact, job: Job) -> Artifact:

        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

        from edgepipe.onnx.subgraphs import all_graphs
        from edgepipe.quant.place.exclude import named_nodes
        from edgepipe.quant.place.layers import check_weights
        from edgepipe.quant.rewrite.patches import patches_to_products
        from edgepipe.quant.rewrite.prepare import prepare
        from edgepipe.quant.rewrite.products import gemms_to_products, products

        network = prepare(model.onnx, job.label)
        excluded = named_nodes(network, self.exclude, job.label)
        check_weights(network, job.label)
        patches_to_products(network, excluded)
        gemms_to_products(network, self.smallest, excluded)
        chosen = [name for name, size in products(network).items() if size >= self.smallest and name not in excluded]
        if not chosen:
            raise PassError(
                f"passes.{job.label}: nothing to quantize: no matrix product that is not excluded has a constant "
                f"weight of {self.smallest} elements. Lower `smallest`, or use quantize_static for convolutions"
            )
        job.progress(0.2, "rounding weights")
        logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer").setLevel(logging.ERROR)
        quantizer = MatMulNBitsQuantizer(
            network,
            bits=self.bits,
            block_size=self.block_size,
            is_symmetric=self.symmetric,
            accuracy_level=self.accuracy_level,
            # What is named as included adds to what the tool takes anyway; only excluding keeps a node float.
            # What lies in the branches of an If stays float: no setting could name it.
            nodes_to_exclude=[
                node.name for graph in all_graphs(network.graph) for node in graph.node if node.name not in chosen
            ],
        )
        quantizer.process()
        network = quantizer.model.model
        done = sum(node.op_type == "MatMulNBits" for node in network.graph.node)
        if done != len(chosen):
            raise PassError(f"passes.{job.label}: ONNX Runtime quantized {done} of {len(chosen)} matrix products")
        clean(network)
        write(network, job.out / ONNX_FILE, f"passes.{job.label}")
        job.facts["quantized_products"] = done
        return job.seal(Kind.ONNX, model.signature)
