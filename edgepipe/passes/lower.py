"""Torch to ONNX, behind a parity gate."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from edgepipe.contract import Job, Pass, Split
from edgepipe.contract.artifact import ONNX_FILE, Artifact, Kind
from edgepipe.contract.traits import MASKED


class Lower(Pass):
    """Lower a torch network to one self-contained ONNX file and check that it answers the same.

    Masks become zeros, batch norm is folded by the exporter. The input is named `input`,
    float32 (batch, *input_shape); the output `logits`, float32 (batch, classes).
    Source: torch.onnx.export with dynamo=True, ONNX IR specification.
    """

    reads: ClassVar[Kind] = Kind.TORCH
    writes: ClassVar[Kind] = Kind.ONNX
    data: ClassVar[tuple[Split, ...]] = (Split.EVALUATION,)  # inputs only, for the parity gate
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "onnx", "onnxscript", "onnxruntime")
    removes: ClassVar[tuple[str, ...]] = (MASKED,)  # they become zeros

    opset: int = Field(20, ge=18, le=23, description="ONNX operator set")
    batch: Literal["dynamic"] | Annotated[int, Field(ge=1)] = Field(
        "dynamic", description="batch axis: dynamic, or a fixed number"
    )
    parity_tolerance: float = Field(1e-3, gt=0, description="largest logit difference, as a share of the largest logit")
    parity_examples: int = Field(256, ge=1, description="examples the two are compared on")

    def apply(self, model: Artifact, job: Job) -> Artifact:
        from edgepipe.onnx import answers
        from edgepipe.torch import artifact as torch_artifact
        from edgepipe.torch import lower

        network = torch_artifact.build(model)
        torch_artifact.bake_masks(network)
        job.progress(0.05, "exporting")
        file = job.out / ONNX_FILE
        lower.export(network, file, model.signature.input_shape, opset=self.opset, batch=self.batch)
        job.progress(0.7, "comparing")
        parity = answers.check_parity(
            lambda inputs: lower.answers_of(network, inputs),
            file,
            job.data,
            tolerance=self.parity_tolerance,
            examples=self.parity_examples,
            what=f"{job.label}: the ONNX file",
        )
        job.facts["parity"] = dict(parity)
        return job.seal(Kind.ONNX, model.signature)
