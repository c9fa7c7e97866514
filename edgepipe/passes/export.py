"""Package an ONNX model for deployment."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, JsonValue, field_validator

from edgepipe.contract import Format, Job, Pass, Settings, Split
from edgepipe.contract.artifact import ONNX_FILE, Artifact, Kind
from edgepipe.errors import PassError, RecipeError
from edgepipe.onnx.clean import clean
from edgepipe.onnx.written import write
from edgepipe.plugins import find

if TYPE_CHECKING:
    from edgepipe.onnx.answers import NamedAnswers

_ONNX = "onnx"
"""What every run writes; no format of the registry."""


def _formats(chosen: Sequence[str | Mapping[str, JsonValue]]) -> dict[str, Format]:
    """The formats beside ONNX, by name.

    Raises:
        ValueError: one is unknown, named twice, or has settings that it does not take.
    """
    found: dict[str, Format] = {}
    for each in chosen:
        settings = dict(each) if isinstance(each, Mapping) else {"name": each}
        name = settings.pop("name", None)
        if name == _ONNX and not settings:
            continue
        try:
            kind = find("formats", name)
        except RecipeError as error:
            raise ValueError(str(error)) from None
        if str(name) in found:
            raise ValueError(f"'{name}' is named twice")
        found[str(name)] = kind.model_validate(settings)
    return found


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
        (_ONNX,),
        min_length=1,
        description="onnx is always written; the others as `edgepipe list formats` shows them, by name or as "
        "{name: ..., its settings}",
    )
    batch: Literal["keep", "dynamic"] | Annotated[int, Field(ge=1)] = Field(
        "keep", description="batch axis: keep, dynamic, or a fixed number"
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
        _formats(value)
        return value

    def uses(self) -> tuple[Settings, ...]:
        return tuple(_formats(self.formats).values())

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
        others: dict[str, JsonValue] = {}
        for name, form in _formats(self.formats).items():
            others |= self._other(name, form, source, file, job)
        if others:
            job.facts["formats"] = others
        return job.seal(Kind.ONNX, model.signature)

    def _exact(self, source: NamedAnswers, file: Path, job: Job) -> dict[str, JsonValue]:
        """Compare a file that rounds as the model does with that model."""
        from edgepipe.onnx.answers import check_parity

        job.progress(0.5, f"comparing {file.name}")
        what = f"{job.label}: {file.name}"
        return dict(check_parity(source, file, job.data, tolerance=self.tolerance, examples=256, what=what))

    def _other(self, name: str, form: Format, source: NamedAnswers, file: Path, job: Job) -> dict[str, JsonValue]:
        """Write the file of another runtime, compare it there, and say what is worth recording, by its name."""
        from edgepipe.formats.parity import compare
        from edgepipe.onnx.answers import named_answers
        from edgepipe.quant.place.layers import int8_layers

        for module, remedy in form.needs.items():
            if importlib.util.find_spec(module) is None:
                raise PassError(f"{job.label}: {name} needs {module}, not installed here: {remedy}")
        job.progress(0.7, f"writing {name}")
        int8 = int8_layers(file)
        written = form.write(file, job.out, int8)
        parity = compare(
            source if form.exact else named_answers(file),
            written.answers,
            job.data,
            int8=int8 > 0 and not form.exact,
            tolerance=self.tolerance,
            agreement=self.agreement,
            examples=256,
            what=f"{job.label}: {written.files[0].name}",
        )
        files: dict[str, JsonValue] = {path.name: path.stat().st_size for path in written.files}
        return {name: {"files": files, **written.facts, "parity": dict(parity)}}
