"""Package an ONNX model for deployment."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from edgepipe.contract import Job, Pass, Split
from edgepipe.contract.artifact import ONNX_FILE, Artifact, Kind
from edgepipe.errors import PassError
from edgepipe.onnx.clean import clean
from edgepipe.onnx.written import write


class Export(Pass):
    """Write the files that are deployed: cleaned ONNX, and what other runtimes and devices take.

    Each file is opened in its own runtime and must answer as the model it came from; a format that cannot keep int8
    layers int8 is refused.
    Source: ONNX IR specification; ONNX Runtime, "ORT model format" and "Custom build".
    """

    reads: ClassVar[Kind] = Kind.ONNX
    writes: ClassVar[Kind] = Kind.ONNX
    data: ClassVar[tuple[Split, ...]] = (Split.EVALUATION,)  # inputs only, for the parity gate
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "openvino", "ai-edge-litert", "executorch")

    formats: tuple[Literal["onnx", "ort", "openvino", "tflite", "pte"], ...] = Field(
        ("onnx",),
        min_length=1,
        description="onnx; ort: model.ort and the operator list for a minimal build; openvino, tflite, pte: extras",
    )
    batch: Literal["keep", "dynamic"] | Annotated[int, Field(ge=1)] = Field(
        "keep", description="batch axis: keep, dynamic, or a fixed number"
    )
    opset: int | None = Field(None, ge=13, le=23, description="convert to this operator set; null: as it is")
    tolerance: float = Field(1e-3, gt=0, description="largest logit difference, as a share of the largest logit")
    agreement: float = Field(
        0.98,
        ge=0,
        le=1,
        description="share of answers that an int8 file of another runtime shares with the ONNX file; of vectors the "
        "mean cosine, of single values R2",
    )

    def apply(self, model: Artifact, job: Job) -> Artifact:
        from onnx import version_converter

        from edgepipe.onnx.answers import check_parity, session_answers
        from edgepipe.onnx.files import load
        from edgepipe.onnx.fixed_batch import set_batch

        network = load(model.onnx)
        if self.opset is not None:
            try:
                network = version_converter.convert_version(network, self.opset)
            except Exception as error:
                raise PassError(
                    f"{job.label}: cannot be converted to opset {self.opset}: {str(error)[:200]}"
                ) from error
        source = session_answers(model.onnx)
        if self.batch != "keep":
            count = min(4, job.data.count(Split.EVALUATION))
            rows = next(job.data.batches(Split.EVALUATION, count, range(count))).only
            told = set_batch(network, self.batch, source, rows, job.label)
            if told:
                job.add("notes", *told)
        clean(network)
        file = job.out / ONNX_FILE
        write(network, file, job.label)
        written = [file]
        if "ort" in self.formats:
            written.append(_write_ort(job))
        parity: dict[str, float | int] = {}
        for path in written:
            job.progress(0.5, f"comparing {path.name}")
            parity = check_parity(
                source, path, job.data, tolerance=self.tolerance, examples=256, what=f"{job.label}: {path.name}"
            )
        job.facts["parity"] = dict(parity)
        others: dict[str, JsonValue] = {
            str(name): self._other(name, file, job) for name in self.formats if name not in ("onnx", "ort")
        }
        if others:
            job.facts["formats"] = others
        return job.seal(Kind.ONNX, model.signature)

    def _other(self, name: str, file: Path, job: Job) -> dict[str, JsonValue]:
        """Write the file of another runtime, compare it there, and say what is worth recording."""
        import importlib
        import importlib.util

        from edgepipe.formats.parity import compare
        from edgepipe.onnx.answers import session_answers
        from edgepipe.quant.place.layers import int8_layers

        module = {"openvino": "openvino", "tflite": "ai_edge_litert", "pte": "executorch"}[name]
        if importlib.util.find_spec(module) is None:
            raise PassError(f"{job.label}: {name} needs {module}, not installed here: pip install 'edgepipe[{name}]'")
        job.progress(0.7, f"writing {name}")
        expected = int8_layers(file)
        # Imported by their names, for the code of a format is part of this pass's key in the store.
        if name == "openvino":
            from edgepipe.formats.openvino import write
        elif name == "tflite":
            from edgepipe.formats.tflite import write
        else:
            from edgepipe.formats.pte import write
        files, answers, facts = write(file, job.out, expected)
        parity = compare(
            session_answers(file),
            answers,
            job.data,
            int8=expected > 0,
            tolerance=self.tolerance,
            agreement=self.agreement,
            examples=256,
            what=f"{job.label}: {files[0].name}",
        )
        return {"files": {path.name: path.stat().st_size for path in files}, **facts, "parity": dict(parity)}


def _write_ort(job: Job):  # type: ignore[no-untyped-def]
    """`model.ort`, optimized for any processor, and `required_operators.config`."""

    import onnxruntime as ort
    from onnxruntime.tools.ort_format_model import create_config_from_models

    from edgepipe.onnx.session import Session
    from edgepipe.onnx.session_options import quiet_options

    target = job.out / "model.ort"
    options = quiet_options()
    # A minimal build cannot optimize when it loads: what is not fused here (a Q/DQ convolution to an int8
    # one) would run in float there. Only the layout that this processor prefers stays out of the file.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(target)
    options.add_session_config_entry("session.save_model_format", "ORT")
    Session(job.out / ONNX_FILE, options, disabled_optimizers=["NchwcTransformer"])
    with contextlib.redirect_stdout(io.StringIO()):
        create_config_from_models([target], job.out / "required_operators.config", True)
    stray = job.out / "required_operators_and_types.config"
    if stray.exists():
        shutil.move(stray, job.out / "required_operators.config")
    text = (job.out / "required_operators.config").read_text(encoding="utf-8")
    # The tool writes the path of the model it read; the artifact must not depend on where it was made.
    kept = [line for line in text.splitlines() if not line.startswith("#")]
    (job.out / "required_operators.config").write_text("\n".join(kept).strip() + "\n", encoding="utf-8")
    return target
