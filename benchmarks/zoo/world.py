"""All networks of the table, by their names."""

from __future__ import annotations

from pathlib import Path

from benchmarks.zoo import from_onnx, from_torch, from_transformers
from benchmarks.zoo.brought import Network


def by_name(packages: Path | None = None) -> dict[str, Network]:
    """Those of libraries and own ones, and the models of packages that are found, installed or below a folder."""
    found = [
        *from_onnx.networks(),
        *from_onnx.of_packages(packages),
        *from_torch.networks(),
        *from_transformers.networks(),
    ]
    return {network.name: network for network in found}
