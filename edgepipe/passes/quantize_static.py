"""Float ONNX to int8, with calibration."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from edgepipe.contract import Job, Pass, Split
from edgepipe.contract.artifact import ONNX_FILE, Artifact, Kind
from edgepipe.contract.target import Target
from edgepipe.contract.traits import FLOAT, INT8, INT8_TIMES
from edgepipe.errors import PassError
from edgepipe.onnx.clean import clean
from edgepipe.onnx.written import write

if TYPE_CHECKING:
    from collections.abc import Collection

    import onnx

    from edgepipe.quant.place.placement import Placement
    from edgepipe.quant.write.static import StaticQuantizer

_PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"observer": "relative_mse", "equalize": False, "rounding": "nearest", "bias_correction": True},
    "accurate": {"observer": "relative_mse", "equalize": True, "rounding": "learned", "bias_correction": True},
}


_PERCENTILE = 99.99


class QuantizeStatic(Pass):
    """Quantize weights and activations to 8 bits, activation ranges from calibration examples.

    Activations uint8 per tensor, weights int8 per channel, bias int32 with scale s_x * s_w. What has no int8 kernel
    stays float, what would not be faster in int8, and what follows the last layers: boxes, scores, soft-max.
    Source: ONNX Q/DQ; Jacob et al., CVPR 2018, arXiv:1712.05877.
    """

    reads: ClassVar[Kind] = Kind.ONNX
    writes: ClassVar[Kind] = Kind.ONNX
    data: ClassVar[tuple[Split, ...]] = (Split.CALIBRATION,)
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    requires: ClassVar[tuple[str, ...]] = (FLOAT,)
    provides: ClassVar[tuple[str, ...]] = (INT8,)
    removes: ClassVar[tuple[str, ...]] = (FLOAT,)

    preset: Literal["fast", "accurate"] = Field(
        "fast", description="fast: seconds; accurate: ranges, rounding and biases fitted to what the layers compute"
    )
    observer: (
        Literal["min_max", "moving_average", "percentile", "mse", "relative_mse", "entropy", "least_error"] | None
    ) = Field(
        None,
        description="how the range of an activation is chosen; mse: least squared error; relative_mse: the same, but "
        "an odd example, of many times the energy of most, counts no more than another; least_error: per "
        "tensor, by the error in the layers that read it; null: the preset's (relative_mse)",
    )
    equalize: bool | None = Field(
        None, description="balance the channels between two layers first; null: the preset's (false, true)"
    )
    rounding: Literal["nearest", "learned"] | None = Field(
        None, description="learned: least error of what a layer computes; null: the preset's (nearest, learned)"
    )
    bias_correction: bool | None = Field(
        None, description="put the mean error of each channel into its bias; null: the preset's (true)"
    )
    percentile: float = Field(_PERCENTILE, gt=50, le=100, description="share of values inside, for observer=percentile")
    per_channel: bool = Field(True, description="a scale for each output channel of a weight, or one for all")
    saturation_safe: bool = Field(True, description="weights that AVX2's 16-bit sums cannot overflow")
    weight_search: bool = Field(True, description="scale of least squared error per channel, not the largest weight")
    embeddings: bool = Field(True, description="tables of word vectors too, as int8 with a scale for each row")
    exclude: tuple[str, ...] = Field((), description="node names or operator types that stay float")
    keep_float: Literal["auto", "never", "measured"] = Field(
        "auto",
        description="auto: what int8 would not make faster stays float, by a table of kernel costs, and small last "
        "convolutions, whose results are answers; never: neither; measured: as a time_int8 before this step found "
        "fastest",
    )
    far_apart: Literal["float", "int8"] = Field(
        "float",
        description="what a Concat joins, a Slice or Split takes out, or a layer weighs most, though it has a few "
        "steps of the one int8 scale: float leaves that region as it is; int8 quantizes it, and small values are lost",
    )
    keep_worst: int = Field(
        0, ge=0, description="so many layers stay float: those that alone in int8 hurt most, on calibration examples"
    )
    fitting_examples: int = Field(
        64, ge=1, description="calibration examples that equalization, observer=least_error and keep_worst look at"
    )
    batch_size: int = Field(25, ge=1, description="calibration examples per run")

    def needs(self) -> dict[str, str]:
        times = {INT8_TIMES: "keep_float=measured"} if self.keep_float == "measured" else {}
        return {**super().needs(), **times}

    def behind(self, before: Pass | None) -> str | None:
        from edgepipe.passes.time_int8 import TimeInt8

        if self.keep_float != "measured" or not isinstance(before, TimeInt8):
            return None
        if set(before.exclude) != set(self.exclude):
            return "exclude differs from that of the time_int8 before it, whose times are then of another graph"
        return None

    def on_target(self, target: Target) -> list[str]:
        return target.int8_saves_little()

    def apply(self, model: Artifact, job: Job) -> Artifact:
        import onnx

        from edgepipe.quant.place.placement import NOT_WORTH_IT, TOO_FAR_APART
        from edgepipe.quant.rewrite.recurrent import ADVICE, kinds_in

        quantizer, excluded = self.quantizer(model, job)
        placement = self.placed(quantizer.network, excluded, model, job.label)
        placement, barred = self._without_apart(quantizer, placement, excluded, model, job)
        if self.keep_worst and placement.nodes:
            placement = self._without_worst(quantizer, placement, excluded, barred, model, job)
        if self.percentile != _PERCENTILE and quantizer.how.observer not in ("percentile", "least_error"):
            job.add(
                "notes",
                f"percentile={self.percentile:g} changes nothing with observer={quantizer.how.observer}: "
                "set observer=percentile, or leave it out",
            )
        job.facts["kept_float"] = dict(sorted(placement.kept_float.items()))
        reasons, recurrent = set(placement.kept_float.values()), kinds_in(quantizer.network)
        if recurrent:
            job.add("notes", f"{' and '.join(recurrent)} stay float here: {ADVICE['LSTM' in recurrent]}")
        if not placement.nodes:
            self._say_why(placement, job, NOT_WORTH_IT in reasons, TOO_FAR_APART in reasons)
            job.facts["int8_nodes"] = 0
            if self._tables(quantizer.network, excluded, job):
                clean(quantizer.network)
                write(quantizer.network, job.out / ONNX_FILE, f"passes.{job.label}")
            else:
                shutil.copyfile(model.onnx, job.out / ONNX_FILE)
            return job.seal(Kind.ONNX, model.signature)
        quantizer.calibrate([placement])
        job.progress(0.6, "quantizing")
        if not self.keep_worst:  # else it is fitted already
            quantizer.fit(placement)
            placement = self._without_first(quantizer, placement, excluded, barred, model, job)
        network, tensors = quantizer.write(placement)
        self._tables(network, excluded, job)
        onnx.checker.check_model(network, full_check=False)
        write(network, job.out / ONNX_FILE, f"passes.{job.label}")
        if quantizer.observers:
            job.facts["observers"] = dict(sorted(quantizer.observers.items()))
        if quantizer.gain:
            job.facts["rounding_error_share"] = {name: round(share, 4) for name, share in quantizer.gain.items()}
        job.facts["chosen"] = self.resolved()
        job.facts["int8_nodes"] = len(placement.nodes)
        job.facts["quantized_tensors"] = tensors
        return job.seal(Kind.ONNX, model.signature)

    def _say_why(self, placement: Placement, job: Job, unworthy: bool, told: bool) -> None:
        """Why the whole model stays float.

        Args:
            unworthy: int8 would not be faster.
            told: it is told already.
        """
        if unworthy:
            job.add(
                "notes",
                "int8 would not be faster than float for this model: it stays float. "
                f"passes.{job.label}.keep_float=never makes it int8 all the same: a quarter of its weights' bytes",
            )
        elif not told:
            why = next((f"'{name}': {reason}" for name, reason in placement.kept_float.items()), None)
            job.add(
                "notes",
                "nothing is quantized, the model stays float: "
                + (
                    f"no convolution or matrix product has an int8 kernel here ({why})"
                    if why
                    else "it has no convolution or matrix product"
                ),
            )

    def _tables(self, network: onnx.ModelProto, excluded: set[str], job: Job) -> int:
        """Word vectors to int8, in place, and a note on the large ones that stay float; returns how many changed."""
        from edgepipe.quant.rewrite.embeddings import float_tables, quantize_tables

        count = quantize_tables(network, excluded) if self.embeddings else 0
        if count:
            job.facts["int8_tables"] = count
        for name, size in float_tables(network).items():
            job.add(
                "notes",
                f"the table '{name}' stays float, {size / 1e6:.1f} MB: "
                + (
                    "another node reads it too, or its Gather is excluded. Stored once for each reader it can be int8"
                    if self.embeddings
                    else "embeddings=true stores it as int8"
                ),
            )
        return count

    def placed(
        self,
        network: onnx.ModelProto,
        excluded: set[str],
        model: Artifact,
        label: str,
        barred: Collection[str] = (),
    ) -> Placement:
        """What runs in int8.

        Args:
            network: `model`, prepared.
            barred: activation tensors that are not quantized.
        Raises:
            PassError: keep_float=measured, and no time_int8 has measured directly before.
        """
        from edgepipe.passes.time_int8 import measured_times
        from edgepipe.quant.place.placement import NOT_WORTH_IT, Placement, place

        mode = measured_times(model, label).choice if self.keep_float == "measured" else self.keep_float
        if mode == "float":
            able = place(network, excluded, "never", barred)
            return Placement(kept_float=dict.fromkeys(able.nodes, NOT_WORTH_IT) | able.kept_float)
        return place(network, excluded, mode, barred)

    def quantizer(self, model: Artifact, job: Job) -> tuple[StaticQuantizer, set[str]]:
        """The model prepared and equalized, not yet calibrated; and the names of the nodes that `exclude` names."""
        from edgepipe.onnx.unrolled import unrolled
        from edgepipe.quant.place.exclude import excluded_nodes
        from edgepipe.quant.rewrite.norms import norms_to_convolutions
        from edgepipe.quant.rewrite.prepare import prepare
        from edgepipe.quant.study.answers import batch_of
        from edgepipe.quant.write.equalize import equalize
        from edgepipe.quant.write.static import How, StaticQuantizer

        chosen = self.resolved()
        network = prepare(model.onnx, job.label)
        norms_to_convolutions(network)
        excluded = excluded_nodes(network, self.exclude, job.label)
        data = unrolled(job.data, model.onnx)
        batch_size = batch_of(network, data, self.batch_size)
        if chosen["equalize"]:
            equalized = equalize(
                network,
                data,
                examples=self.fitting_examples,
                batch_size=batch_size,
                progress=lambda share, text: job.progress(0.1 * share, text),
            )
            job.facts["equalized"] = len(equalized)
        how = How(
            observer=chosen["observer"],
            percentile=self.percentile,
            per_channel=self.per_channel,
            saturation_safe=self.saturation_safe,
            weight_search=self.weight_search,
            learned=chosen["rounding"] == "learned",
            bias_correction=chosen["bias_correction"],
            examples=self.fitting_examples,
            batch_size=batch_size,
        )
        return StaticQuantizer(network, data, how, job.label, job.progress), excluded

    def _without_apart(
        self, quantizer: StaticQuantizer, placement: Placement, excluded: set[str], model: Artifact, job: Job
    ) -> tuple[Placement, set[str]]:
        """The placement without tensors in which some values have too few steps, and these tensors; says which."""
        from edgepipe.quant.write.static import without_apart

        placement, barred, said = without_apart(
            quantizer,
            placement,
            None
            if self.far_apart == "int8"
            else lambda barred: self.placed(quantizer.network, excluded, model, job.label, barred),
        )
        for text in said:
            job.add("notes", text)
        if barred and self.keep_float == "measured":
            job.add("notes", "time_int8 timed the placement with them in int8: compare the speeds of the steps")
        return placement, barred

    def _without_worst(
        self,
        quantizer: StaticQuantizer,
        placement: Placement,
        excluded: set[str],
        barred: set[str],
        model: Artifact,
        job: Job,
    ) -> Placement:
        """The placement with the layers in float that hurt most alone; measured on calibration examples."""
        from edgepipe.quant.study.answers import answers, examples_of
        from edgepipe.quant.study.sensitivity import alone, layer_effects, why_float

        singles = {name: single for name, single in alone(quantizer).items() if name in placement.nodes}
        if self.keep_worst >= len(singles):
            raise PassError(
                f"passes.{job.label}.keep_worst: {self.keep_worst} of {len(singles)} layers that run in int8 would "
                "leave none. Choose fewer, or remove this step"
            )
        quantizer.calibrate([placement, *singles.values()])
        quantizer.fit(placement)
        task = job.task if len(quantizer.network.graph.output) == 1 else None
        with examples_of(quantizer.data, Split.CALIBRATION, self.fitting_examples, task) as examples:
            wanted = answers(quantizer.network, examples.rows)
            effects = layer_effects(quantizer, placement, singles, examples, wanted, job.progress)
        worst = effects[: self.keep_worst]
        job.facts["sensitivity"] = [item.model_dump(mode="json") for item in effects]
        job.facts["kept_worst"] = [str(item.node) for item in worst]
        for item in worst:
            job.add("notes", why_float(item))
        if self.keep_float == "measured":
            job.add(
                "notes", "time_int8 timed the placement without these layers in float: compare the speeds of the steps"
            )
        kept = {str(item.node): "keep_worst: alone in int8 it hurts most" for item in worst}
        without = self.placed(quantizer.network, excluded | kept.keys(), model, job.label, barred)
        without.kept_float.update(kept)
        more = [name for name in singles if name not in without.nodes and name not in kept]
        if more:
            job.add(
                "notes",
                f"{len(more)} of the {len(singles) - len(kept)} other layers stay float with them: between float "
                "neighbours int8 would not be faster. keep_float=never keeps them in int8",
            )
        return without

    def _without_first(
        self,
        quantizer: StaticQuantizer,
        placement: Placement,
        excluded: set[str],
        barred: set[str],
        model: Artifact,
        job: Job,
    ) -> Placement:
        """The placement without the first layers where these make most of the error; says which."""
        from edgepipe.quant.study.first import without_first

        if self.keep_float != "auto":
            return placement
        placement, said = without_first(
            quantizer,
            placement,
            lambda names: self.placed(quantizer.network, excluded | names, model, job.label, barred),
        )
        if said:
            job.add("notes", said)
            job.facts["kept_float"] = dict(sorted(placement.kept_float.items()))
        return placement

    def resolved(self) -> dict[str, Any]:
        """The settings that the preset decides where the recipe does not."""
        preset = _PRESETS[self.preset]
        return {name: getattr(self, name) if getattr(self, name) is not None else preset[name] for name in preset}
