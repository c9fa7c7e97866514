"""AIMET on ONNX, as a Q/DQ file whose weights are stored in 8 bits.

Source: AIMET's ONNX quantization workflow (simplify, fold batch norm, equalize, simulate) and the
docstring of `QuantizationSimModel.to_onnx_qdq`, whose default leaves the weights in float.
"""

from __future__ import annotations

import sys
from pathlib import Path

import aimet_onnx
import onnx
import onnxslim
from aimet_onnx.batch_norm_fold import fold_all_batch_norms_to_weight
from aimet_onnx.cross_layer_equalization import equalize_model
from calibration import batches

model, pictures, out, _mode = sys.argv[1:]
given = batches(model, pictures)
network = onnxslim.slim(onnx.load(model))
fold_all_batch_norms_to_weight(network)
try:
    equalize_model(network)
except Exception as error:
    print(f"cross-layer equalization: {error}; left out")
per_channel = Path(aimet_onnx.__file__).parent / "common" / "quantsim_config" / "default_config_per_channel.json"
sim = aimet_onnx.QuantizationSimModel(network, config_file=str(per_channel))
sim.compute_encodings(given)
onnx.save(sim.to_onnx_qdq(export_int32_bias=True, prequantize_constants=True), out)
