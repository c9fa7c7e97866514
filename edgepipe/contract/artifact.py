"""An artifact: a folder of files with a kind, a manifest and one digest over all of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgepipe.base.files import read_plain
from edgepipe.contract.signature import Preprocessing, Signature
from edgepipe.errors import StoreError

MANIFEST = "manifest.json"
ONNX_FILE = "model.onnx"
WEIGHTS_FILE = "weights.safetensors"
ARCHITECTURE_FILE = "architecture.json"

RUNS = (".py", ".pyc", ".pyo", ".so", ".pyd", ".pth", ".dll", ".dylib", ".zip", ".egg")
"""What Python would import that lies beside a program; no part of a model's artifact."""


class Kind(str, Enum):
    """The form a model is in; a pass declares which one it reads and which one it writes."""

    TORCH = "torch"
    ONNX = "onnx"

    def __str__(self) -> str:
        return self.value


class FileEntry(BaseModel):
    """One file of an artifact: its SHA-256 and its length in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    size_bytes: int = Field(ge=0)


class Manifest(BaseModel):
    """The content of `manifest.json`; holds no time, path or host, so equal work gives equal bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    signature: Signature
    files: dict[str, FileEntry]


@dataclass(frozen=True)
class Artifact:
    """A sealed folder. `digest` is the SHA-256 of its manifest, which names the digest of every file."""

    path: Path
    manifest: Manifest
    digest: str

    @property
    def kind(self) -> Kind:
        return self.manifest.kind

    @property
    def signature(self) -> Signature:
        return self.manifest.signature

    @property
    def onnx(self) -> Path:
        """Path of the ONNX file of an artifact of kind `onnx`."""
        return self.path / ONNX_FILE

    @property
    def size_bytes(self) -> int:
        """Bytes of all files, the manifest not counted."""
        return sum(entry.size_bytes for entry in self.manifest.files.values())


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces so that memory stays flat."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(stream)


def _digest(stream: Iterable[bytes]) -> str:  # Python 3.10 has no hashlib.file_digest
    digest = hashlib.sha256()
    for piece in stream:
        digest.update(piece)
    return digest.hexdigest()


__all__ = [
    "ARCHITECTURE_FILE",
    "MANIFEST",
    "ONNX_FILE",
    "RUNS",
    "WEIGHTS_FILE",
    "Artifact",
    "FileEntry",
    "Kind",
    "Manifest",
    "Preprocessing",
    "Signature",
    "canonical_json",
    "file_sha256",
    "open_artifact",
    "refuse_strangers",
    "seal",
]


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal bytes, as digests need."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def seal(folder: Path, kind: Kind, signature: Signature) -> Artifact:
    """Write the manifest over the files already in `folder` and return the artifact."""
    files = {
        path.relative_to(folder).as_posix(): FileEntry(sha256=file_sha256(path), size_bytes=path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    manifest = Manifest(kind=kind, signature=signature, files=files)
    text = canonical_json(manifest.model_dump(mode="json"))
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return Artifact(folder, manifest, hashlib.sha256(text.encode()).hexdigest())


def refuse_strangers(artifact: Artifact) -> None:
    """Refuse an artifact that holds more than a pass writes: it is copied into runs and bundles with all it holds.

    Raises:
        StoreError: a link, a file that the manifest does not name, a name that leads elsewhere, or a program.
    """
    named = artifact.manifest.files
    for name in named:
        parts = name.split("/")
        if {"", ".", ".."} & set(parts) or "\\" in name or name.lower().endswith(RUNS):
            raise StoreError(f"{artifact.path}: its manifest names '{name}', which no pass of edgepipe writes")
    for path in artifact.path.rglob("*"):
        name = path.relative_to(artifact.path).as_posix()
        if path.is_symlink():
            raise StoreError(f"{path}: a link, and no pass of edgepipe writes one")
        if not path.is_dir() and name not in named and name != MANIFEST:
            raise StoreError(f"{path}: not named in {MANIFEST}")


def open_artifact(folder: Path, *, verify: bool = True) -> Artifact:
    """Open a sealed folder; with `verify`, every file's length and SHA-256 are checked.

    Raises:
        StoreError: there is no readable manifest, or a file is missing or changed.
    """
    try:
        text = read_plain(folder / MANIFEST)
        manifest = Manifest.model_validate_json(text)
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise StoreError(f"{folder}: not an edgepipe artifact: {error}") from error
    if verify:
        for name, entry in manifest.files.items():
            path = folder / name
            if not path.is_file():
                raise StoreError(f"{path}: missing, though the manifest names it")
            if path.stat().st_size != entry.size_bytes or file_sha256(path) != entry.sha256:
                raise StoreError(f"{path}: damaged: its content does not match the manifest's SHA-256")
    return Artifact(folder, manifest, hashlib.sha256(text.encode()).hexdigest())
