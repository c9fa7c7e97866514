"""What the sources of models share; imports neither torch nor onnx."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from edgepipe.base.files import is_file
from edgepipe.contract.artifact import file_sha256


def file_digest(value: str | None, key: str) -> JsonValue:
    """SHA-256 of a file that a setting (`key`) names; the name itself when it is no file."""
    if value is None:
        return None
    path = Path(value)
    return file_sha256(path) if is_file(path, key) else value


def is_path(value: str) -> bool:
    """Whether a `weights` setting means a file rather than the name of published weights."""
    return value.endswith((".pth", ".pt", ".safetensors")) or "/" in value or "\\" in value
