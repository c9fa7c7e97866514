"""Train a network to answer as the baseline does."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from edgepipe.contract import Job
from edgepipe.contract.artifact import Artifact, Kind
from edgepipe.contract.settings import Settings
from edgepipe.contract.traits import MASKED, SPARSE
from edgepipe.errors import PassError
from edgepipe.passes.teaching import TaughtPass
from edgepipe.torch.torchvision_networks import misfit, unknown_name
from edgepipe.training.settings import GRAD_NORM

if TYPE_CHECKING:
    from torch import Tensor, nn


class Student(Settings):
    """Another architecture to train from nothing, with the classes of the network that it replaces."""

    name: str = Field(description="a classification network of torchvision, as in mobilenet_v3_small")


class Distill(TaughtPass):
    """Train with the answers of the recipe's baseline beside the labels: the parent of a pruned network, or any other.

    Sources: Hinton et al., 2015, arXiv:1503.02531 (answers); Zagoruyko and Komodakis, ICLR 2017, arXiv:1612.03928
    (attention maps).
    """

    needs_teacher: ClassVar[bool] = True

    epochs: int = Field(8, ge=1, description="passes over the train split")
    lr: float = Field(0.02, gt=0, description="largest learning rate")
    # One step along a rare, long gradient can cost a trained network more than an epoch gives back.
    max_grad_norm: float | None = Field(1.0, gt=0, description=GRAD_NORM)
    # A teacher's answers are what keeps a student from learning its examples by heart.
    dropout: bool = Field(
        False,
        description="drop values and branches at random, as the network says (dropout, stochastic depth)",
    )
    student: Student | None = Field(None, description="train this network instead of the one that comes in")
    attention: float = Field(0.0, ge=0, description="weight of attention maps, compared where heights and widths agree")

    @model_validator(mode="after")
    def _a_new_network_has_no_statistics(self) -> Distill:
        if self.student is not None and self.freeze_batchnorm:
            raise ValueError("freeze_batchnorm keeps statistics, and a new student has none yet: set one of them")
        return self

    @model_validator(mode="after")
    def _int8_answers_have_no_maps(self) -> Distill:
        if self.attention > 0 and self.teacher_int8:
            raise ValueError("attention compares feature maps, and an int8 teacher gives answers only: set one of them")
        return self

    def problems(self) -> list[tuple[str, str]]:
        if self.student is None:
            return []

        wrong = unknown_name(self.student.name)
        return [] if wrong is None else [("student.name", wrong)]

    def misfits(self, input_shape: tuple[int, ...]) -> list[tuple[str, str]]:
        if self.student is None:
            return []

        wrong = misfit(self.student.name, input_shape)
        return [] if wrong is None else [("student.name", wrong)]

    def traits(self, before: frozenset[str]) -> frozenset[str]:
        return super().traits(before) - ({MASKED, SPARSE} if self.student is not None else set())

    def apply(self, model: Artifact, job: Job) -> Artifact:
        import torch

        from edgepipe.torch import artifact as torch_artifact
        from edgepipe.training.training import train

        assert job.teacher is not None
        if job.teacher.kind is not Kind.TORCH:
            raise PassError(
                f"passes.{job.label}: the baseline is {job.teacher.kind}, and a teacher must be torch: name an earlier "
                "step as baseline"
            )
        architecture = torch_artifact.read_architecture(model)
        if self.student is not None:
            with torch.no_grad():
                example = torch.zeros((2, *model.signature.input_shape))
                classes = torch_artifact.build(model)(example).shape[1]
            architecture = torch_artifact.new_architecture(
                {"source": "torchvision", "name": self.student.name, "num_classes": int(classes), "seed": job.seed}
            )
            network = torch_artifact.build_base(architecture["base"])
            self._try(network, example, job.label)
        else:
            network = torch_artifact.build(model)
        teacher = torch_artifact.build(job.teacher)
        torch_artifact.bake_masks(teacher)
        objective = self._lesson(network, teacher, job.teacher, job, self.attention)
        train(network, self, job, model.signature, objective)
        return torch_artifact.write(network, architecture, job.out, model.signature)

    def _try(self, network: nn.Module, example: Tensor, label: str) -> None:
        """Refuse a student that does not take such examples.

        Raises:
            PassError: it answers nothing, as a transformer made for 224 pixels.
        """
        assert self.student is not None
        network.eval()
        try:
            network(example)
        except (RuntimeError, ValueError, AssertionError) as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise PassError(
                f"passes.{label}.student.name: '{self.student.name}' does not take examples of shape "
                f"{tuple(example.shape[1:])}: {said}. Choose another network, or change data.image_size"
            ) from None
