"""The contract of a source of models."""

from __future__ import annotations

from edgepipe.contract import ModelSource


def test_a_source_of_models_digests_and_loads() -> None:
    assert ModelSource.__abstractmethods__ == {"digests", "load"}
    assert ModelSource.located == {"path", "weights"}
