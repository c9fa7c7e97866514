"""Package an ONNX model for deployment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from edgepipe.contract import Job, Pass, Settings, Split
from edgepipe.contract.artifact import ONNX_FILE, Artifact, Kind, canonical_json
from edgepipe.contract.signature import one_input
from edgepipe.errors import PassError
from edgepipe.formats.export import ONNX, Wanted, chosen, write_as
from edgepipe.formats.fixed import fixed
from edgepipe.onnx.clean import clean
from edgepipe.onnx.written import write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgepipe.onnx.answers import NamedAnswers


FORMATS_FILE = "formats.json"
"""What `job.facts` says of the formats, beside their files."""


class Export(Pass):
    """Write the files that are deployed: cleaned ONNX, and what other runtimes and devices take.

    Each file is opened in its own runtime and must answer as the model it came from; a format that cannot keep int8
    layers int8 is refused.
    Source: ONNX IR specification; ONNX Runtime, "ORT model format" and "Custom build".
    """

    reads: ClassVar[Kind] = Kind.ONNX
    writes: ClassVar[Kind] = Kind.ONNX
    data: ClassVar[tuple[Split, ...]] = (Split.EVALUATION,)  # inputs only, for the parity gate
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")

    formats: tuple[str | dict[str, JsonValue], ...] = Field(
        (ONNX,),
        min_length=1,
        description="onnx is always written; the others as `edgepipe list formats` shows them, by name or as "
        "{name: ..., its settings}",
    )
    batch: Literal["keep", "dynamic"] | Annotated[int, Field(ge=1)] = Field(
        "keep", description="batch axis: keep, dynamic, or a fixed number"
    )
    shapes: dict[str, Annotated[int, Field(ge=1)]] = Field(
        {},
        description="numbers for axes with names, as in {length: 128}, in the files of other formats, of which some "
        "need them; model.onnx keeps its axes free",
    )
    opset: int | None = Field(None, ge=13, le=23, description="convert to this operator set; null: as it is")
    tolerance: float = Field(1e-3, gt=0, description="largest logit difference, as a share of the largest logit")
    agreement: float = Field(
        0.98,
        ge=0,
        le=1,
        description="share of answers that an int8 file of another runtime shares with the ONNX file; of vectors the "
        "mean cosine, of single values R2",
    )

    @field_validator("formats")
    @classmethod
    def _known_formats(cls, value: tuple[str | dict[str, JsonValue], ...]) -> tuple[str | dict[str, JsonValue], ...]:
        chosen(value)
        return value

    @model_validator(mode="after")
    def _shapes_of_a_format(self) -> Export:
        if self.shapes and not chosen(self.formats):
            raise ValueError("shapes are those of the files of other formats: name one in formats, or leave shapes out")
        return self

    def uses(self) -> tuple[Settings, ...]:
        return tuple(chosen(self.formats).values())

    def inputs_misfit(self, names: Sequence[str]) -> list[tuple[str, str]]:
        return [("batch", one_input(names))] if self.batch != "keep" and len(names) > 1 else []

    def apply(self, model: Artifact, job: Job) -> Artifact:
        from onnx import version_converter

        from edgepipe.onnx.answers import named_answers, session_answers
        from edgepipe.onnx.files import load
        from edgepipe.onnx.fixed_batch import set_batch
        from edgepipe.onnx.sequences import SequenceSession
        from edgepipe.onnx.session_options import asking
        from edgepipe.onnx.unrolled import Unrolled

        network = load(model.onnx)
        if self.opset is not None:
            try:
                network = version_converter.convert_version(network, self.opset)
            except Exception as error:
                raise PassError(
                    f"{job.label}: cannot be converted to opset {self.opset}: {str(error)[:200]}"
                ) from error
        signature = job.data.signature
        if signature.state:  # each run of an example is compared, with the state that the model came to
            steps = SequenceSession(model.onnx, signature.state, signature.steps or 1, asking())
            job = replace(job, data=Unrolled(job.data, steps))
        source = named_answers(model.onnx)
        if self.batch != "keep":
            count = min(4, job.data.count(Split.EVALUATION))
            rows = next(job.data.batches(Split.EVALUATION, count, range(count))).only
            told = set_batch(network, self.batch, session_answers(model.onnx), rows, job.label)
            if told:
                job.add("notes", *told)
        clean(network)
        file = job.out / ONNX_FILE
        write(network, file, job.label)
        job.facts["parity"] = self._exact(source, file, job)
        asked = Wanted(self.tolerance, self.agreement, self.shapes)
        others: dict[str, JsonValue] = {}
        with fixed(file, job.data, self.shapes, job.label) as given:
            for name, form in chosen(self.formats).items():
                others[name] = write_as(name, form, source, file, given, asked, job)
        if others:
            job.facts["formats"] = others
        if self.shapes:  # deployed with the files, of which nothing else says so
            (job.out / FORMATS_FILE).write_text(canonical_json(others), encoding="utf-8")
        return job.seal(Kind.ONNX, model.signature)

    def _exact(self, source: NamedAnswers, file: Path, job: Job) -> dict[str, JsonValue]:
        """Compare a file that rounds as the model does with that model."""
        from edgepipe.onnx.answers import check_parity

        job.progress(0.5, f"comparing {file.name}")
        what = f"{job.label}: {file.name}"
        return dict(check_parity(source, file, job.data, tolerance=self.tolerance, examples=256, what=what))
