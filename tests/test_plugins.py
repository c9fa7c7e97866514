"""What a result's key holds of the code that made it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

import edgepipe
from edgepipe import plugins
from edgepipe.contract import Job, Pass
from edgepipe.contract.artifact import Artifact, Kind


class Elsewhere(Pass):
    """A pass that no file of edgepipe holds."""

    reads: ClassVar[Kind] = Kind.ONNX
    writes: ClassVar[Kind] = Kind.ONNX

    def apply(self, model: Artifact, job: Job) -> Artifact:
        raise NotImplementedError


@pytest.fixture
def fresh() -> Iterator[None]:
    """Digests of files as they are now: they are kept for the life of a process, so before and after as well."""
    _forget()
    yield
    _forget()


def _forget() -> None:
    for remembered in (plugins.package_digest, plugins.module_digest):
        remembered.cache_clear()


def _keys() -> dict[str, str]:
    found = {name: plugins.code_digest(plugins.pass_class(name)) for name in plugins.PASSES}
    return {**found, "a third party's": plugins.code_digest(Elsewhere)}


@pytest.mark.usefixtures("fresh")
def test_any_changed_byte_of_data_is_another_key_of_every_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _keys()
    read = Path.read_bytes
    for name in ("decode.py", "splits.py"):
        victim = Path(edgepipe.__file__).parent / "data" / name
        with monkeypatch.context() as patched:
            patched.setattr(Path, "read_bytes", lambda path, it=victim: read(path) + (b"#" if path == it else b""))
            _forget()
            assert victim.read_bytes() != read(victim)
            assert [name for name, key in _keys().items() if key == before[name]] == []
    _forget()
    assert _keys() == before
