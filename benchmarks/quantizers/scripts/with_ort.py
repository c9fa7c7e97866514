"""ONNX Runtime's own quantizer, after its own pre-processing.

U8S8 is what its documentation recommends on x86, per channel for accuracy, and with 7-bit weights (`reduce_range`,
U8S7 here) where there is no VNNI; S8S8 is its default.
Source: onnxruntime.ai, docs/performance/model-optimizations/quantization.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from calibration import Reader
from onnxruntime.quantization import QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

model, pictures, out, mode = sys.argv[1:]
types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8} if mode != "s8s8" else {}
with tempfile.TemporaryDirectory() as folder:
    prepared = str(Path(folder) / "prepared.onnx")
    try:
        quant_pre_process(model, prepared)
    except Exception as error:  # its symbolic shape inference knows fewer operators than the runtime
        print(f"quant_pre_process: {error}; without symbolic shapes")
        quant_pre_process(model, prepared, skip_symbolic_shape=True)
    quantize_static(prepared, out, Reader(prepared, pictures), per_channel=True, reduce_range=mode == "u8s7", **types)
