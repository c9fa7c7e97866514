"""bundle.json: what lies in `final/`, how to feed the model and what it must answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from edgepipe.base.files import is_file, is_folder, read_record, write_text
from edgepipe.contract import Signature
from edgepipe.contract.artifact import FileEntry, file_sha256
from edgepipe.errors import InputError
from edgepipe.records.run_folder import METRICS, refuse_another

if TYPE_CHECKING:
    from numpy.typing import NDArray

BUNDLE_FILE = "bundle.json"
GOLDEN_FILE = "golden.npz"
TOLERANCE = 1e-3
INPUT, OUTPUT = "inputs", "outputs"
"""Arrays of golden.npz: the only input is `inputs`, one of several `inputs/NAME`; likewise outputs."""


class Feed(BaseModel):
    """How the runs of a model go together: see `edgepipe.verify.inputs`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: tuple[dict[str, JsonValue], ...] = Field(
        description="name, type, the axis that counts examples (null: none), stepped, the shape of an example"
    )
    outputs: tuple[dict[str, JsonValue], ...] = Field(description="name, the axis that counts examples (null: none)")
    batch: int = Field(ge=1, description="examples of a run")
    steps: int = Field(ge=1, description="runs of an example")
    state: dict[str, str] = Field(description="input to the output that feeds it in the next run")


class Bundle(BaseModel):
    """The content of bundle.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = 2
    name: str = Field(description="the recipe")
    model: str = Field(description="file of the model")
    signature: Signature = Field(description="inputs, outputs, labels, preprocessing, task")
    feed: Feed | None = Field(None, description="null, in a bundle of an older version: one input and one output")
    bit_identical: bool = Field(description="the graph is int8 throughout: golden outputs must be met bit for bit")
    tolerance: float = Field(description="otherwise: largest difference, as a share of the largest output")
    probabilities: bool = Field(
        False, description="measured on the golden outputs: they are shares of the classes already, no logits"
    )
    program: dict[str, JsonValue] | None = Field(
        None, description="`package`, a folder of the bundle whose `say` puts outputs into words, and its `settings`"
    )
    page: dict[str, JsonValue] | None = Field(
        None, description="`module`, of the page, whose `answered` says what to draw, and its `settings`; null: numbers"
    )
    pictures: tuple[str, ...] = Field((), description="pictures of golden inputs, in their order")
    versions: dict[str, str] = {}
    files: dict[str, FileEntry] = {}


def seal_bundle(folder: Path, bundle: Bundle) -> Bundle:
    """Write bundle.json over every other file of the folder."""
    return _write(folder, bundle, _entries(folder, folder))


def seal_more(folder: Path, bundle: Bundle, under: str) -> Bundle:
    """Name what lies in one sub-folder as well; what is sealed of the rest stays as it is."""
    return _write(folder, bundle, {**bundle.files, **_entries(folder, folder / under)})


def _entries(folder: Path, under: Path) -> dict[str, FileEntry]:
    return {
        path.relative_to(folder).as_posix(): FileEntry(sha256=file_sha256(path), size_bytes=path.stat().st_size)
        for path in sorted(under.rglob("*"))
        if is_file(path) and path.name != BUNDLE_FILE and "__pycache__" not in path.parts
    }


def _write(folder: Path, bundle: Bundle, files: dict[str, FileEntry]) -> Bundle:
    sealed = bundle.model_copy(update={"files": files})
    write_text(folder / BUNDLE_FILE, sealed.model_dump_json(indent=1))
    return sealed


def read_bundle(folder: Path) -> Bundle:
    """The manifest of a bundle.

    Raises:
        InputError: there is none, or it is not one.
    """
    if not is_folder(folder):
        raise InputError(f"{folder}: no such folder. Name a run's final/ folder")
    return read_record(folder / BUNDLE_FILE, Bundle, "Name a run's final/ folder")


def bundle_folder(given: Path) -> Path:
    """The bundle itself, or that of a run's folder.

    Raises:
        InputError: it lies in a run's folder, and is not the one that this run's metrics name.
    """
    inside = is_file(given / "final" / BUNDLE_FILE)
    folder = given / "final" if inside else given
    run = given if inside else folder.absolute().parent
    if inside or (folder.absolute().name == "final" and is_file(run / METRICS)):
        bundle = read_bundle(folder)
        entry = bundle.files.get(bundle.model)
        refuse_another(run, bundle.model, entry.sha256 if entry else None)
    return folder


def named(kind: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Inputs, or outputs, by their names in golden.npz."""
    if len(arrays) == 1:
        return {kind: next(iter(arrays.values()))}
    return {f"{kind}/{name}": value for name, value in arrays.items()}


def golden_of(golden: Mapping[str, NDArray[Any]], kind: str) -> dict[str, NDArray[Any]]:
    """The other way round; the name of the only one is ""."""
    if kind in golden:
        return {"": golden[kind]}
    return {name.partition("/")[2]: value for name, value in golden.items() if name.startswith(f"{kind}/")}
