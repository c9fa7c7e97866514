"""Float ONNX to int8, trained with the rounding that the deployed graph will have."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from edgepipe.contract import Job, Split
from edgepipe.contract.artifact import ONNX_FILE, Artifact, Kind
from edgepipe.contract.signature import one_input
from edgepipe.contract.traits import FLOAT, INT8
from edgepipe.errors import ParityError, PassError
from edgepipe.onnx.clean import clean
from edgepipe.onnx.written import write
from edgepipe.passes.teaching import TaughtPass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgepipe.quant.place.placement import Placement
    from edgepipe.quant.train.simulate import SimulatedNetwork
    from edgepipe.training.objective import Objective

_PARITY_EXAMPLES = 1000


class QuantizeAware(TaughtPass):
    """Quantize to 8 bits and train on, so that the weights learn to live with the rounding.

    The graph itself is trained, batch norm folded, with the placement of `quantize_static`: uint8 activations per
    tensor, int8 weights per channel, no pair of which AVX2's 16-bit sums could overflow. Zeros of a pruned weight stay.
    The teacher is the float model. Sources: Jacob et al., CVPR 2018, arXiv:1712.05877; Esser et al., LSQ, ICLR 2020,
    arXiv:1902.08153.
    """

    reads: ClassVar[Kind] = Kind.ONNX
    writes: ClassVar[Kind] = Kind.ONNX
    data: ClassVar[tuple[Split, ...]] = (Split.TRAIN, Split.CALIBRATION, Split.EVALUATION)  # the last for parity only
    libraries: ClassVar[tuple[str, ...]] = ("torch", "lightning-fabric", "onnx", "onnxruntime")
    requires: ClassVar[tuple[str, ...]] = (FLOAT,)
    provides: ClassVar[tuple[str, ...]] = (INT8,)
    removes: ClassVar[tuple[str, ...]] = (FLOAT,)

    epochs: int = Field(4, ge=1, description="passes over the train split")
    # Folding batch norm scales channels by orders of magnitude: one rate of plain SGD does not fit them all.
    optimizer: Literal["sgd", "adamw"] = Field("adamw", description="sgd with Nesterov momentum, or adamw")
    lr: float = Field(5e-5, gt=0, description="largest learning rate; a trained network bears little more")
    weight_decay: float = Field(1e-5, ge=0, description="decay of weights; biases and norms are spared")
    steps_learned: bool = Field(
        False, description="train the step sizes too (LSQ) until they are frozen; else they follow the batches"
    )
    frozen_share: float = Field(0.3, ge=0, le=1, description="last share of training with step sizes that stay")
    temperature: float = Field(2.0, gt=0, description="softness of the float model's answers")
    observer: Literal["min_max", "percentile", "mse"] = Field("mse", description="how the first ranges are chosen")
    saturation_safe: bool = Field(True, description="weights that AVX2's 16-bit sums cannot overflow")
    exclude: tuple[str, ...] = Field((), description="node names or operator types that stay float")
    far_apart: Literal["float", "int8"] = Field(
        "float", description="what has a few steps of an int8 scale that larger values share: as in quantize_static"
    )
    parity: float = Field(0.995, ge=0, le=1, description="share of answers on which simulation and file must agree")

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> QuantizeAware:
        if not self.dropout or self.freeze_batchnorm:
            raise ValueError(
                f"{'freeze_batchnorm' if self.freeze_batchnorm else 'dropout'} has no effect here: the graph drops "
                "nothing, and its batch norm is folded. Remove it"
            )
        return self

    def inputs_misfit(self, names: Sequence[str]) -> list[tuple[str, str]]:
        return [("pass", one_input(names))] if len(names) > 1 else []

    def apply(self, model: Artifact, job: Job) -> Artifact:
        import onnx

        from edgepipe.quant.rewrite.prepare import prepare
        from edgepipe.quant.write.deploy import deploy
        from edgepipe.torch.from_onnx import OnnxNetwork
        from edgepipe.training.training import train

        graph = prepare(model.onnx, job.label)
        placement = self._placed(graph, job)
        if not placement.nodes:
            raise PassError(
                f"passes.{job.label}: nothing to quantize: the model has no convolution or matrix product with "
                "constant float32 weights. Remove this step"
            )
        teacher = OnnxNetwork(graph, job.label)
        self._takes_batches(teacher, graph, model, job)
        network = self._simulated(graph, placement, job)
        train(network, self, job, model.signature, self._objective(network, teacher, model, job), network.before_step)
        network.settle_sums()
        network.store(graph)
        deploy(graph, placement, network)
        clean(graph)
        onnx.checker.check_model(graph, full_check=False)
        write(graph, job.out / ONNX_FILE, f"passes.{job.label}")
        job.facts["int8_nodes"] = len(placement.nodes)
        job.facts["kept_float"] = dict(sorted(placement.kept_float.items()))
        job.facts["parity"] = dict(self._compare(network, job))
        return job.seal(Kind.ONNX, model.signature)

    def _placed(self, graph, job: Job) -> Placement:  # type: ignore[no-untyped-def]
        """What runs in int8; no tensor in which some values have too few steps, since no training gives them more."""
        from edgepipe.quant.place.exclude import excluded_nodes
        from edgepipe.quant.place.placement import place
        from edgepipe.quant.study.answers import batch_of
        from edgepipe.quant.write.apart import shared_scales
        from edgepipe.quant.write.static import How, StaticQuantizer, without_apart

        excluded = excluded_nodes(graph, self.exclude, job.label)
        placement = place(graph, excluded)
        pays = bool(placement.nodes)
        if not pays:
            placement = place(graph, excluded, "never")
            if placement.nodes:
                job.add("notes", "int8 would not be faster than float for this model: it is trained for the bytes")
        how = How(observer=self.observer, batch_size=batch_of(graph, job.data, 25))
        quantizer = StaticQuantizer(graph, job.data, how, job.label, lambda _share, text: job.progress(0.0, text))
        if not shared_scales(graph, placement) and not quantizer.far_channels(placement):
            return placement  # calibrated by the training alone
        placement, _, said = without_apart(
            quantizer,
            placement,
            None
            if self.far_apart == "int8"
            else lambda barred: place(graph, excluded, "auto" if pays else "never", barred),
        )
        for text in said:
            job.add("notes", text)
        return placement

    def _takes_batches(self, network, graph, model: Artifact, job: Job) -> None:  # type: ignore[no-untyped-def]
        """Training shows more than one example at once, and a graph made for one may have that in its constants.

        Raises:
            PassError: it has.
        """
        import torch

        fixed = graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value
        if not fixed:
            return
        count = fixed + 1
        try:
            with torch.no_grad():
                answers = network.eval()(torch.zeros((count, *model.signature.input_shape)))
        except RuntimeError:
            answers = None
        if answers is None or len(answers) != count:
            raise PassError(
                f"passes.{job.label}: the graph is made for a batch of {fixed} and cannot be trained with others. Set "
                "lowering.batch=dynamic, or export the ONNX file with a dynamic batch"
            )

    def _simulated(self, graph, placement: Placement, job: Job) -> SimulatedNetwork:  # type: ignore[no-untyped-def]
        from edgepipe.quant.calibrate.observers import UNLIMITED
        from edgepipe.quant.calibrate.run import calibrate
        from edgepipe.quant.study.answers import batch_of
        from edgepipe.quant.train.simulate import SimulatedNetwork

        observers = calibrate(
            graph,
            [name for name in placement.tensors if name not in placement.same_as],
            job.data,
            batch_size=batch_of(graph, job.data, 25),
            histogram=self.observer != "min_max",
            label=job.label,
            progress=lambda _share, text: job.progress(0.0, text),
        )
        return SimulatedNetwork(
            graph,
            placement,
            {
                name: observer.range(self.observer, limits=placement.limits.get(name, UNLIMITED))
                for name, observer in observers.items()
            },
            pair_safe=self.saturation_safe,
            learned=self.steps_learned,
            frozen_share=self.frozen_share,
            label=job.label,
        )

    def splits(self) -> tuple[Split, ...]:
        return self.data

    def _objective(self, network, teacher, model: Artifact, job: Job) -> Objective:  # type: ignore[no-untyped-def]
        from edgepipe.training.objective import Objective

        if self.teacher_weight == 0:
            return Objective(self.label_smoothing)
        return self._lesson(network, teacher, model, job)

    def _compare(self, network: SimulatedNetwork, job: Job) -> dict[str, float]:
        """The simulation against the file in ONNX Runtime; a single differing answer is always allowed."""
        from edgepipe.onnx.alike import alike
        from edgepipe.onnx.answers import session_answers
        from edgepipe.torch.lower import answers_of

        answers = session_answers(job.out / ONNX_FILE)
        count = min(_PARITY_EXAMPLES, job.data.count(Split.EVALUATION))
        same = 0
        for batch in job.data.batches(Split.EVALUATION, 32, range(count)):
            same += int(alike(answers_of(network, batch.only), answers(batch.only)).same.sum())
        if count - same > max(1.0, (1 - self.parity) * count):
            remedy = "name its operator in exclude, or use quantize_static"
            raise ParityError(
                f"passes.{job.label}: ONNX Runtime answers {count - same} of {count} examples otherwise than the "
                f"network that was trained. Some layer rounds differently there: "
                f"{remedy if self.saturation_safe else '16-bit sums overflow here; set saturation_safe=true'}"
            )
        return {"examples": count, "agreement": same / count}
