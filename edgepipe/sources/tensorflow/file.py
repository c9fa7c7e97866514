"""`model.source: tensorflow`: a SavedModel or .tflite file, untrusted: it may compute, not touch the machine."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field, JsonValue

from edgepipe.base.files import is_file
from edgepipe.contract.guess import Guess, Sure
from edgepipe.errors import ModelError
from edgepipe.sources.converting import ConvertedModel


class TensorFlowModel(ConvertedModel):
    """A TensorFlow SavedModel or float .tflite file, converted by tf2onnx; what could do more than compute is refused.

    Pictures go in with channels last; the graph is made to take them as the data gives them.
    Source: tf2onnx, "Using tf2onnx".
    """

    libraries: ClassVar[tuple[str, ...]] = ("tensorflow-cpu", "tensorflow", "tf2onnx", "onnx", "onnxruntime")
    extra: ClassVar[str] = "tensorflow"
    modules: ClassVar[tuple[str, ...]] = ("tensorflow", "tf2onnx")
    converter: ClassVar[str] = "edgepipe.sources.tensorflow.to_onnx"

    signature: str = Field("serving_default", description="which of a SavedModel's signatures")
    output: str | None = Field(None, description="name of the output to keep; null: the only one")
    opset: int = Field(17, ge=13, le=18, description="ONNX operator set that tf2onnx writes")

    @classmethod
    def guess(cls, given: str) -> Guess | None:
        if given.lower().endswith(".tflite") and is_file(Path(given)):
            return Guess({"path": given}, Sure.CERTAIN, "a TFLite file")
        fits = is_file(Path(given) / "saved_model.pb")
        return Guess({"path": given}, Sure.CERTAIN, "a SavedModel of TensorFlow") if fits else None

    def request(self) -> dict[str, JsonValue]:
        return {"signature": self.signature, "output": self.output, "opset": self.opset}

    def check(self, path: Path) -> None:
        if path.suffix.lower() == ".tflite" and is_file(path, "model.path"):
            return  # its operators are looked at by the converter's process
        if not is_file(path / "saved_model.pb", "model.path"):
            raise ModelError(
                f"model.path: {path}: no SavedModel: there is no saved_model.pb in it. "
                "Write one with tf.saved_model.save(model, DIR) or model.export(DIR), or give a .tflite file"
            )
