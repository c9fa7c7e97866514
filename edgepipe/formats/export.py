"""Which formats an export wants, and writing one: asked for what it needs, written, compared, put on record."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import JsonValue

from edgepipe.contract import Format, Job
from edgepipe.errors import PassError, RecipeError
from edgepipe.formats.fixed import From, declared, free_axes
from edgepipe.plugins import find

if TYPE_CHECKING:
    from edgepipe.onnx.answers import NamedAnswers

ONNX = "onnx"
"""What every run writes; no format of the registry."""


def chosen(named: Sequence[str | Mapping[str, JsonValue]]) -> dict[str, Format]:
    """The formats beside ONNX, by name.

    Raises:
        ValueError: one is unknown, named twice, or has settings that it does not take.
    """
    found: dict[str, Format] = {}
    for each in named:
        settings = dict(each) if isinstance(each, Mapping) else {"name": each}
        name = settings.pop("name", None)
        if name == ONNX and not settings:
            continue
        try:
            kind = find("formats", name)
        except RecipeError as error:
            raise ValueError(str(error)) from None
        if str(name) in found:
            raise ValueError(f"'{name}' is named twice")
        found[str(name)] = kind.model_validate(settings)
    return found


class Wanted(NamedTuple):
    """How near a file must answer, as `export` has it; `shapes`: numbers for axes with names."""

    tolerance: float
    agreement: float
    shapes: Mapping[str, int]


def write_as(
    name: str, form: Format, source: NamedAnswers, file: Path, given: From, wanted: Wanted, job: Job
) -> JsonValue:
    """Write the file of another runtime, compare it there, and say what is worth recording.

    Args:
        source: answers of the model that was exported; `file`: the ONNX file that was written of it.
        given: what the format is written from and compared on.
    Raises:
        PassError: something is missing here, an axis has no number, or the format cannot express the model.
        ParityError: it answers otherwise.
    """
    from edgepipe.formats.parity import compare
    from edgepipe.onnx.answers import named_answers
    from edgepipe.quant.place.layers import int8_layers
    from edgepipe.tasks.agreement import Agreement

    for module, remedy in form.needs.items():
        if importlib.util.find_spec(module) is None:
            raise PassError(f"{job.label}: {name} needs {module}, not installed here: {remedy}")
    if form.fixed_shapes and (free := free_axes(declared(given.file, given.data))):
        example = ", ".join(f"{axis}: 128" for axis in free)
        raise PassError(
            f"{job.label}: {name} needs a number for every axis, and the model leaves {', '.join(free)} free: set "
            f"passes.{job.label}.shapes={{{example}}}, with lengths that evaluation examples have"
        )
    job.progress(0.7, f"writing {name}")
    int8 = int8_layers(given.file)
    written = form.write(given.file, job.out, int8)
    parity = compare(
        source if form.exact else named_answers(file),
        written.answers,
        given.data,
        job.task or Agreement(),
        int8=int8 > 0 and not form.exact,
        tolerance=wanted.tolerance,
        agreement=wanted.agreement,
        examples=256,
        what=f"{job.label}: {written.files[0].name}",
    )
    files: dict[str, JsonValue] = {path.name: path.stat().st_size for path in written.files}
    shapes: dict[str, JsonValue] = {"shapes": dict(wanted.shapes)} if wanted.shapes else {}
    return {"files": files, **shapes, **written.facts, "parity": dict(parity)}
