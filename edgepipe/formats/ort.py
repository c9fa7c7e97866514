"""ONNX Runtime's own format (`model.ort`), for builds of it that hold only the operators of one model."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path
from typing import ClassVar

from edgepipe.contract import Format, Written
from edgepipe.onnx.answers import NamedAnswers
from edgepipe.onnx.session import Session
from edgepipe.onnx.session_options import asking, quiet_options

FILE = "model.ort"
OPERATORS = "required_operators.config"


class Ort(Format):
    """model.ort, optimized for any processor, and the operator list for a minimal build of ONNX Runtime.

    Source: ONNX Runtime, "ORT model format" and "Custom build".
    """

    libraries: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    stable: ClassVar[bool] = False  # the runtime writes tables of its file in any order
    exact: ClassVar[bool] = True

    def write(self, onnx: Path, out: Path, int8_layers: int) -> Written:
        del int8_layers  # the same runtime: they are kept
        import onnxruntime as ort
        from onnxruntime.tools.ort_format_model import create_config_from_models

        target, config = out / FILE, out / OPERATORS
        options = quiet_options()
        # A minimal build cannot optimize when it loads: what is not fused here (a Q/DQ convolution to an int8
        # one) would run in float there. Only the layout that this processor prefers stays out of the file.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.optimized_model_filepath = str(target)
        options.add_session_config_entry("session.save_model_format", "ORT")
        Session(onnx, options, disabled_optimizers=["NchwcTransformer"])
        with contextlib.redirect_stdout(io.StringIO()):
            create_config_from_models([target], config, True)
        stray = out / "required_operators_and_types.config"
        if stray.exists():
            shutil.move(stray, config)
        # The tool writes the path of the model it read; the artifact must not depend on where it was made.
        kept = [line for line in config.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        config.write_text("\n".join(kept).strip() + "\n", encoding="utf-8")
        return Written((target, config), NamedAnswers(Session(target, asking(), name=FILE)))
