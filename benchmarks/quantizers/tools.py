"""The tools of the comparison: what each installs, and how it is used.

Each is used as its own documentation recommends for int8 in ONNX Runtime on a CPU with a few hundred pictures:
8-bit activations per tensor, 8-bit weights per channel, calibrated on all the pictures. The settings are
summed up in `settings` and written out in `scripts/with_*.py`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Environment:
    """A virtual environment.

    Attributes:
        packages: requirements, the tool's own first, all pinned.
        imports: imported once untimed, so that a cold disk is not charged to the tool.
        torch: whether it lies on top of the one with torch, which the tool demands.
    """

    name: str
    packages: tuple[str, ...]
    imports: str
    torch: bool = False

    @property
    def version(self) -> str:
        """Of the tool's own package."""
        return self.packages[0].partition("==")[2]


@dataclass(frozen=True)
class Tool:
    """One row of the table.

    Attributes:
        script: file in `scripts/`, run as `python SCRIPT MODEL CALIBRATION OUT MODE`; None is edgepipe itself.
        mode: which of its settings the script uses; for edgepipe the preset.
        environment: None is the running one.
    """

    name: str
    title: str
    settings: str
    script: str | None = None
    mode: str = ""
    environment: Environment | None = None


_RUNTIME = ("onnxruntime==1.31.0", "numpy==2.4.6")
_ONNX = (*_RUNTIME, "onnx==1.23.2")
_ORT = Environment("ort", (*_ONNX, "sympy==1.14.0"), "onnxruntime.quantization")
_OLIVE = Environment("olive", ("olive-ai==0.13.0", "requests==2.34.2", *_ONNX), "olive.workflows", torch=True)
_NNCF = Environment("nncf", ("nncf==3.4.0", *_ONNX), "nncf")
_AIMET = Environment("aimet", ("aimet-onnx==2.42.0", "onnxslim==0.1.98", *_ONNX), "aimet_onnx", torch=True)
_QUARK = Environment("quark", ("amd-quark==0.13", *_RUNTIME), "quark.onnx", torch=True)

_OLIVE_DOES = "OnnxStaticQuantization with uint8 activations, int8 weights per channel, min-max"
_AIMET_DOES = (
    "onnxslim, batch norm folding, cross-layer equalization, QuantizationSimModel per channel, "
    "to_onnx_qdq(prequantize_constants=True, export_int32_bias=True)"
)
_QUARK_DOES = "INT8_CNN_DEFAULT (where matrix products prevail, INT8_TRANSFORMER_DEFAULT) with weights per channel"
_ORT_DOES = "quant_pre_process, quantize_static with"

_LISTED = [
    Tool("ort_u8s8", "ONNX Runtime U8S8", f"{_ORT_DOES} uint8, int8 per channel", "with_ort.py", "u8s8", _ORT),
    Tool("ort_s8s8", "ONNX Runtime S8S8", f"{_ORT_DOES} int8, int8 per channel", "with_ort.py", "s8s8", _ORT),
    Tool("ort_u8s7", "ONNX Runtime U8S7", f"{_ORT_DOES} uint8, reduce_range, per channel", "with_ort.py", "u8s7", _ORT),
    Tool("olive", "Olive", _OLIVE_DOES, "with_olive.py", "", _OLIVE),
    Tool("nncf", "NNCF", "quantize, preset MIXED, target CPU", "with_nncf.py", "fast", _NNCF),
    Tool("nncf_accurate", "NNCF accurate", "the same, fast_bias_correction=False", "with_nncf.py", "accurate", _NNCF),
    Tool("aimet", "AIMET", _AIMET_DOES, "with_aimet.py", "", _AIMET),
    Tool("quark", "Quark", _QUARK_DOES, "with_quark.py", "DEFAULT", _QUARK),
    Tool("quark_accurate", "Quark accurate", "the same, ACCURATE (AdaRound)", "with_quark.py", "ACCURATE", _QUARK),
    Tool("edgepipe", "edgepipe", "recipe=ptq as it comes"),
    Tool("edgepipe_fast", "edgepipe fast", "recipe=ptq passes.quantize.preset=fast", mode="fast"),
    Tool("edgepipe_accurate", "edgepipe accurate", "recipe=ptq passes.quantize.preset=accurate", mode="accurate"),
]

TOOLS: dict[str, Tool] = {tool.name: tool for tool in _LISTED}
