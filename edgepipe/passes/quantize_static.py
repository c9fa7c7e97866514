"""Float ONNX to int8, with calibration."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from edgepipe.artifact import ONNX_FILE, Artifact, Kind
from edgepipe.contract import Job, Pass, Split
from edgepipe.errors import PassError

if TYPE_CHECKING:
    import onnx

    from edgepipe.quant.placement import Placement
    from edgepipe.quant.qdq import QdqWriter

_PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"observer": "mse", "equalize": False, "rounding": "nearest", "bias_correction": False},
    "accurate": {"observer": "mse", "equalize": True, "rounding": "learned", "bias_correction": True},
}
_COLUMNS = 16_384
"""Columns that a layer's second moment is taken from; more change no answer and cost minutes on large pictures."""


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

    preset: Literal["fast", "accurate"] = Field(
        "fast", description="fast: seconds; accurate: ranges, rounding and biases fitted to what the layers compute"
    )
    observer: Literal["min_max", "moving_average", "percentile", "mse", "entropy", "least_error"] | None = Field(
        None,
        description="how the range of an activation is chosen; least_error: per tensor, by the error in the "
        "layers that read it; null: the preset's (mse)",
    )
    equalize: bool | None = Field(
        None, description="balance the channels between two layers first; null: the preset's (false, true)"
    )
    rounding: Literal["nearest", "learned"] | None = Field(
        None, description="learned: least error of what a layer computes; null: the preset's (nearest, learned)"
    )
    bias_correction: bool | None = Field(
        None, description="put the mean error of each channel into its bias; null: the preset's (false, true)"
    )
    percentile: float = Field(99.99, gt=50, le=100, description="share of values inside, for observer=percentile")
    per_channel: bool = Field(True, description="a scale for each output channel of a weight, or one for all")
    saturation_safe: bool = Field(True, description="weights that AVX2's 16-bit sums cannot overflow")
    weight_search: bool = Field(True, description="scale of least squared error per channel, not the largest weight")
    exclude: tuple[str, ...] = Field((), description="node names or operator types that stay float")
    keep_float: Literal["auto", "never"] = Field(
        "auto", description="auto: what int8 would not make faster stays float, by a table of kernel costs"
    )
    fitting_examples: int = Field(
        64, ge=1, description="calibration examples that equalization and observer=least_error look at"
    )
    batch_size: int = Field(25, ge=1, description="calibration examples per run")

    def apply(self, model: Artifact, job: Job) -> Artifact:
        import onnx

        from edgepipe.models.lower import clean
        from edgepipe.quant.curves import lookups
        from edgepipe.quant.exclude import excluded_nodes
        from edgepipe.quant.guards import guard_floats
        from edgepipe.quant.norms import norms_to_convolutions
        from edgepipe.quant.placement import NOT_WORTH_IT, place
        from edgepipe.quant.prepare import prepare
        from edgepipe.quant.qdq import QdqWriter

        chosen = self.resolved()
        network = prepare(model.onnx, job.label)
        norms_to_convolutions(network)
        excluded = excluded_nodes(network, self.exclude, job.label)
        if chosen["equalize"]:
            job.facts["equalized"] = len(self._equalize(network, job))
        placement = place(network, excluded, self.keep_float)
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
        ranges = placement.limited(self._ranges(network, placement, job, str(chosen["observer"])))
        job.progress(0.6, "quantizing")
        writer = QdqWriter(
            network, per_channel=self.per_channel, pair_safe=self.saturation_safe, search=self.weight_search
        )
        try:
            fitted = self._fit(writer, placement, ranges, job, chosen)
            parameters = writer.write(placement, ranges, **fitted)
        except ValueError as error:
            raise PassError(f"passes.{job.label}: {error}. The float model is broken there") from None
        lookups(network, placement)
        guard_floats(network)
        clean(network)
        onnx.checker.check_model(network, full_check=False)
        onnx.save(network, job.out / ONNX_FILE)
        job.facts["chosen"] = chosen
        job.facts["int8_nodes"] = len(placement.nodes)
        job.facts["quantized_tensors"] = len(parameters)
        return job.seal(Kind.ONNX, model.signature)

    def resolved(self) -> dict[str, Any]:
        """The settings that the preset decides where the recipe does not."""
        preset = _PRESETS[self.preset]
        return {name: getattr(self, name) if getattr(self, name) is not None else preset[name] for name in preset}

    def _equalize(self, network: onnx.ModelProto, job: Job) -> list[str]:
        from edgepipe.quant.equalize import equalize

        return equalize(
            network,
            job.data,
            examples=self.fitting_examples,
            batch_size=self.batch_size,
            progress=lambda share, text: job.progress(0.1 * share, text),
        )

    def _ranges(
        self, network: onnx.ModelProto, placement: Placement, job: Job, observer: str
    ) -> dict[str, tuple[float, float]]:
        from edgepipe.quant.calibrate import calibrate
        from edgepipe.quant.choose import choose_ranges

        observers = calibrate(
            network,
            [name for name in placement.tensors if name not in placement.same_as],
            job.data,
            batch_size=self.batch_size,
            histogram=observer not in ("min_max", "moving_average"),
            label=job.label,
            progress=lambda share, text: job.progress(0.1 + 0.3 * share, f"calibrating {text}"),
        )
        if observer != "least_error":
            return {name: watched.range(observer, self.percentile) for name, watched in observers.items()}  # type: ignore[arg-type]
        ranges, names = choose_ranges(
            network,
            placement,
            observers,
            job.data,
            percentile=self.percentile,
            examples=self.fitting_examples,
            batch_size=self.batch_size,
            progress=lambda share, text: job.progress(0.4 + 0.2 * share, text),
        )
        job.facts["observers"] = dict(sorted(names.items()))
        return ranges

    def _fit(
        self,
        writer: QdqWriter,
        placement: Placement,
        ranges: dict[str, tuple[float, float]],
        job: Job,
        chosen: dict[str, Any],
    ) -> dict[str, Any]:
        """Weights rounded and biases corrected to what the layers compute, as arguments of `QdqWriter.write`."""
        learned = chosen["rounding"] == "learned"
        if not learned and not chosen["bias_correction"]:
            return {}
        from edgepipe.quant.calibrate import stream
        from edgepipe.quant.fit import fit
        from edgepipe.quant.moments import watch

        parameters = writer.parameters(placement, ranges)
        layers = {node.name: (node, writer.wiring.constants[node.input[1]].dims) for node in writer.layers(placement)}
        examples = max(1, job.data.count(Split.CALIBRATION))
        moments, take = watch(layers, parameters, second=learned, per_example=-(-_COLUMNS // examples))
        stream(
            writer.model,
            sorted({node.input[0] for node, _ in layers.values()}),
            job.data,
            take,
            batch_size=self.batch_size,
            progress=lambda share, text: job.progress(0.6 + 0.2 * share, f"fitting {text}"),
        )
        weights, biases, gain = fit(
            writer,
            placement,
            parameters,
            moments,
            learned=learned,
            correct=bool(chosen["bias_correction"]),
            progress=lambda share, text: job.progress(0.8 + 0.2 * share, text),
        )
        job.facts["rounding_error_share"] = {name: round(share, 4) for name, share in gain.items()}
        return {"weights": weights, "biases": biases}
