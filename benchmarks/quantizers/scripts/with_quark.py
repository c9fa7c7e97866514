"""Quark's presets for 8-bit networks, with the weights per channel, which ONNX Runtime's CPU kernels take as they come.

Source: Quark's documentation, "Configuring ONNX Quantization".
"""

from __future__ import annotations

import sys

from calibration import Reader, is_transformer
from quark.onnx import ModelQuantizer, QConfig

model, pictures, out, mode = sys.argv[1:]
config = QConfig.get_default_config(f"INT8_{'TRANSFORMER' if is_transformer(model) else 'CNN'}_{mode}")
config.global_quant_config.per_channel = True
ModelQuantizer(config).quantize_model(model, out, Reader(model, pictures))
