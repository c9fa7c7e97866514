"""Olive's OnnxStaticQuantization with the types that suit ONNX Runtime on x86.

Source: Olive's documentation of its ONNX quantization passes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import onnx
from calibration import batches
from olive.data.registry import Registry
from olive.workflows import run

model, pictures, out, _mode = sys.argv[1:]


class Batches:
    """A data set of whole batches and their (unused) labels."""

    def __init__(self) -> None:
        self._given = batches(model, pictures)

    def __len__(self) -> int:
        return len(self._given)

    def __getitem__(self, index: int) -> tuple[dict[str, Any], int]:
        return self._given[index], 0


@Registry.register_dataset()
def calibration_pictures(**_settings: Any) -> Batches:
    """Named in the configuration below."""
    return Batches()


with tempfile.TemporaryDirectory() as folder:
    run(
        {
            "input_model": {"type": "ONNXModel", "model_path": model},
            "data_configs": [
                {
                    "name": "calibration",
                    "type": "DataContainer",
                    "load_dataset_config": {"type": "calibration_pictures"},
                    "dataloader_config": {"type": "no_auto_batch_dataloader"},
                }
            ],
            "passes": {
                "quantize": {
                    "type": "OnnxStaticQuantization",
                    "data_config": "calibration",
                    "precision": "int8",
                    "activation_type": "uint8",
                    "per_channel": True,
                }
            },
            "cache_dir": str(Path(folder) / "cache"),
            "output_dir": str(Path(folder) / "out"),
        }
    )
    (made,) = Path(folder).glob("out/**/*.onnx")
    onnx.save(onnx.load(made), out)
