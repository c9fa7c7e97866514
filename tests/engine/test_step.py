"""One step: what its key holds of this machine, and the copy of its artifact that people are shown."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgepipe.contract.artifact import Kind, Signature, open_artifact, seal
from edgepipe.engine.step import copy_artifact, local


def test_what_a_machine_decides_about_training_is_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgepipe.passes.prune_channels import PruneChannels
    from edgepipe.passes.train import Train
    from edgepipe.targets import host as machine
    from edgepipe.training.recovery import Recovery

    plain = Train(epochs=1, lr=0.1, precision="float32")
    assert local(plain) == {}
    assert local(plain.model_copy(update={"minutes": 1.0})) == {"machine": machine.fingerprint()}
    by_itself = [
        plain.model_copy(update={"precision": "auto"}),
        PruneChannels(ratio=0.3, steps=2, recover=Recovery(epochs=1)),
    ]
    before = [local(settings) for settings in by_itself]
    monkeypatch.setattr(machine, "instruction_sets", lambda: ["AMX_BF16", "AVX2"])
    assert [local(settings)["bf16"][0] for settings in by_itself] == ["AMX_BF16", "AMX_BF16"]
    assert all(one != local(settings) for one, settings in zip(before, by_itself, strict=True))


def test_a_copy_is_whole_or_absent_and_takes_the_place_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, place = tmp_path / "source", tmp_path / "run" / "00_load"
    source.mkdir()
    (source / "model.onnx").write_bytes(b"1")
    artifact = seal(source, Kind.ONNX, Signature(input_shape=(1,)))
    place.mkdir(parents=True)
    (place / "old").write_bytes(b"0")
    copy_artifact(artifact, place)
    assert open_artifact(place).digest == artifact.digest
    assert not (place / "old").exists()

    def half(_source: Path, target: Path) -> None:
        target.mkdir()
        raise OSError("full")

    monkeypatch.setattr(shutil, "copytree", half)
    with pytest.raises(OSError, match="full"):
        copy_artifact(artifact, tmp_path / "run" / "01_next")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["00_load"]
