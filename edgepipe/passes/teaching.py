"""What the passes share that learn from a teacher's answers; imports pydantic only."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from edgepipe.contract import Job, Split
from edgepipe.contract.artifact import ONNX_FILE, Artifact, Kind, seal
from edgepipe.errors import PassError
from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.training.training_pass import TrainingPass

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from edgepipe.onnx.answers import Answers
    from edgepipe.training.objective import Objective

_OPSET = 20
_LEAST_AGREEMENT = 0.97


class TaughtPass(TrainingPass):
    """A training pass whose loss holds a teacher's answers.

    Source: Hinton et al., Distilling the Knowledge in a Neural Network, 2015, arXiv:1503.02531.
    """

    data: ClassVar[tuple[Split, ...]] = (Split.TRAIN, Split.CALIBRATION)  # the latter with teacher_int8 only
    libraries: ClassVar[tuple[str, ...]] = (*TrainingPass.libraries, "onnx", "onnxscript", "onnxruntime")

    teacher_weight: float = Field(0.7, ge=0, le=1, description="share of the teacher's answers in the loss")
    temperature: float = Field(4.0, gt=0, description="softness of the teacher's answers")
    teacher_int8: bool = Field(
        False,
        description="the teacher answers in int8 in ONNX Runtime, several times faster on a CPU; refused where its "
        f"answers on calibration examples agree with its own in float on less than {_LEAST_AGREEMENT:.0%}",
    )

    def one_class_only(self) -> bool:  # soft answers are of classes
        return True

    def splits(self) -> tuple[Split, ...]:
        return self.data if self.teacher_int8 else tuple(s for s in self.data if s is not Split.CALIBRATION)

    def _lesson(
        self, student: nn.Module, teacher: nn.Module, model: Artifact, job: Job, attention: float = 0.0
    ) -> Objective:
        """What to minimize.

        Args:
            student: the network that will be trained; teacher: the float network.
            model: the artifact that it was made from; torch or ONNX.
        """
        from edgepipe.training.distillation import Distillation, RuntimeTeacher

        answers = None
        if self.teacher_int8:
            answers = self._int8_answers(teacher, model, job)
        elif attention == 0:
            answers = self._runtime_answers(student, teacher, model, job)
        if answers is not None:
            teacher = RuntimeTeacher(answers)
        return Distillation(
            teacher,
            model.signature,
            weight=self.teacher_weight,
            temperature=self.temperature,
            label_smoothing=self.label_smoothing,
            attention=attention,
            label=job.label,
        )

    def _runtime_answers(self, student: nn.Module, teacher: nn.Module, model: Artifact, job: Job) -> Answers | None:
        """The float teacher in ONNX Runtime, which folds batch norm and activations into its convolutions.

        On a processor it answers an EfficientNet-B0's pictures in half of torch's time. None where torch computes in
        fewer bits or on a GPU, and where the network cannot be lowered.
        """
        import torch

        from edgepipe.onnx.alike import alike
        from edgepipe.onnx.answers import session_answers
        from edgepipe.torch.interface import drawn
        from edgepipe.torch.lower import answers_of
        from edgepipe.training.training import takes_bf16

        if torch.cuda.is_available() or takes_bf16(student, self):
            return None
        job.progress(0.0, "lowering the teacher")
        folder, examples = job.state / "teacher", drawn(teacher, 2, model.signature.input_shape).numpy()
        try:
            answers = session_answers(self._lowered(teacher, model, folder).onnx)
            wanted, got = answers_of(teacher.eval(), examples), answers(examples)
        except Exception:
            return None  # whatever it is that the runtime lacks, torch has
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # the session holds what it needs
        return answers if alike(wanted, got).share <= 1e-3 else None

    def _lowered(self, network: nn.Module, model: Artifact, folder: Path) -> Artifact:
        """The artifact of a network as ONNX, under `folder` unless it is that already."""
        from edgepipe.torch.lower import export

        shutil.rmtree(folder, ignore_errors=True)  # of a killed run
        if model.kind is Kind.ONNX:
            return model
        (out := folder / "float").mkdir(parents=True)
        export(network, out / ONNX_FILE, model.signature.input_shape, opset=_OPSET, batch="dynamic")
        return seal(out, Kind.ONNX, model.signature)

    def _int8_answers(self, network: nn.Module, model: Artifact, job: Job) -> Answers:
        """The teacher quantized by quantize_static as it comes.

        Raises:
            PassError: it cannot be lowered or quantized, or answers otherwise then.
        """
        from edgepipe.onnx.alike import alike
        from edgepipe.onnx.answers import session_answers
        from edgepipe.torch.lower import answers_of

        job.progress(0.0, "quantizing the teacher")
        folder = job.state / "teacher"
        model, out = self._lowered(network, model, folder), folder / "int8"
        out.mkdir(parents=True)
        QuantizeStatic().apply(model, replace(job, out=out, facts={}, progress=_silent))
        answers = session_answers(out / ONNX_FILE)
        count, same = job.data.count(Split.CALIBRATION), 0
        network.eval()
        for batch in job.data.batches(Split.CALIBRATION, 32):
            same += int(alike(answers_of(network, batch.only), answers(batch.only)).same.sum())
        shutil.rmtree(folder)  # the session holds what it needs
        job.facts["teacher_agreement"] = same / count
        if same < _LEAST_AGREEMENT * count:
            raise PassError(
                f"passes.{job.label}.teacher_int8: in int8 the teacher answers {count - same} of {count} calibration "
                "examples otherwise than in float. Set teacher_int8=false"
            )
        return answers


def _silent(_share: float, _text: str) -> None:
    """The bar shows training."""
