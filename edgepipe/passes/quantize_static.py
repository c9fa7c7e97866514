"""Float ONNX to int8, with calibration."""

from __future__ import annotations

import shutil
from typing import ClassVar, Literal

from pydantic import Field

from edgepipe.artifact import ONNX_FILE, Artifact, Kind
from edgepipe.contract import Job, Pass, Split
from edgepipe.errors import PassError


class QuantizeStatic(Pass):
    """Quantize weights and activations to 8 bits, activation ranges from calibration examples.

    Activations uint8 per tensor, weights int8 per channel, bias int32 with scale s_x * s_w. What has
    no int8 kernel stays float, and what would not be faster in int8.
    Source: ONNX Q/DQ; Jacob et al., CVPR 2018, arXiv:1712.05877.
    """

    reads: ClassVar[Kind] = Kind.ONNX
    writes: ClassVar[Kind] = Kind.ONNX
    data: ClassVar[tuple[Split, ...]] = (Split.CALIBRATION,)
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")

    observer: Literal["min_max", "moving_average", "percentile", "mse", "entropy"] = Field(
        "mse", description="how the range of an activation is chosen"
    )
    percentile: float = Field(99.99, gt=50, le=100, description="share of values inside, for observer=percentile")
    per_channel: bool = Field(True, description="a scale for each output channel of a weight, or one for all")
    saturation_safe: bool = Field(True, description="weights that AVX2's 16-bit sums cannot overflow")
    weight_search: bool = Field(True, description="scale of least squared error per channel, not the largest weight")
    exclude: tuple[str, ...] = Field((), description="node names or operator types that stay float")
    keep_float: Literal["auto", "never"] = Field(
        "auto", description="auto: what int8 would not make faster stays float, by a table of kernel costs"
    )
    batch_size: int = Field(25, ge=1, description="calibration examples per run")

    def apply(self, model: Artifact, job: Job) -> Artifact:
        import onnx

        from edgepipe.models.lower import clean
        from edgepipe.quant.calibrate import calibrate
        from edgepipe.quant.curves import lookups
        from edgepipe.quant.guards import guard_floats
        from edgepipe.quant.norms import norms_to_convolutions
        from edgepipe.quant.placement import NOT_WORTH_IT, place
        from edgepipe.quant.prepare import prepare
        from edgepipe.quant.qdq import QdqWriter

        network = prepare(model.onnx, job.label)
        norms_to_convolutions(network)
        placement = place(network, self._excluded(network, job.label), self.keep_float)
        job.facts["kept_float"] = dict(sorted(placement.kept_float.items()))
        if not placement.nodes and NOT_WORTH_IT in placement.kept_float.values():
            job.facts["notes"] = ["int8 would not be faster than float for this model: it stays float"]
            job.facts["int8_nodes"] = 0
            shutil.copyfile(model.onnx, job.out / ONNX_FILE)
            return job.seal(Kind.ONNX, model.signature)
        if not placement.nodes:
            raise PassError(
                f"passes.{job.label}: nothing to quantize: the model has no convolution or matrix product with "
                "constant float32 weights. Remove this step"
            )
        ranged = [name for name in placement.tensors if name not in placement.same_as]
        job.progress(0.1, "calibrating")
        observers = calibrate(
            network,
            ranged,
            job.data,
            batch_size=self.batch_size,
            histogram=self.observer in ("percentile", "mse", "entropy"),
            label=job.label,
            progress=job.progress,
        )
        ranges = {name: observer.range(self.observer, self.percentile) for name, observer in observers.items()}
        job.progress(0.8, "quantizing")
        writer = QdqWriter(
            network, per_channel=self.per_channel, pair_safe=self.saturation_safe, search=self.weight_search
        )
        try:
            parameters = writer.write(placement, placement.limited(ranges))
        except ValueError as error:
            raise PassError(f"passes.{job.label}: {error}. The float model is broken there") from None
        lookups(network, placement)
        guard_floats(network)
        clean(network)
        onnx.checker.check_model(network, full_check=False)
        onnx.save(network, job.out / ONNX_FILE)
        job.facts["int8_nodes"] = len(placement.nodes)
        job.facts["quantized_tensors"] = len(parameters)
        return job.seal(Kind.ONNX, model.signature)

    def _excluded(self, network, label: str) -> set[str]:  # type: ignore[no-untyped-def]
        from edgepipe.registry import did_you_mean

        names = {node.name for node in network.graph.node}
        kinds = {node.op_type for node in network.graph.node}
        found: set[str] = set()
        for wanted in self.exclude:
            if wanted not in names | kinds:
                raise PassError(
                    f"passes.{label}.exclude: no node or operator '{wanted}'.{did_you_mean(wanted, names | kinds)}"
                )
            found |= {node.name for node in network.graph.node if wanted in (node.name, node.op_type)}
        return found
