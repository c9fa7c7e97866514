"""NNCF on ONNX. Source: NNCF's guide to post-training quantization and its ONNX MobileNetV2 example."""

from __future__ import annotations

import sys

import nncf
import onnx
from calibration import batches, is_transformer

model, pictures, out, mode = sys.argv[1:]
given = batches(model, pictures)
quantized = nncf.quantize(
    onnx.load(model),
    nncf.Dataset(given),
    preset=nncf.QuantizationPreset.MIXED,  # asymmetric activations, as its guide advises where they are not all ReLU
    target_device=nncf.TargetDevice.CPU,
    model_type=nncf.ModelType.TRANSFORMER if is_transformer(model) else None,
    subset_size=len(given),
    fast_bias_correction=mode == "fast",
)
onnx.save(quantized, out)
