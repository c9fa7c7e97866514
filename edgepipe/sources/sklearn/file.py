"""`model.source: sklearn`: an estimator in a .skops file; a pickle only where the user trusts it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field, JsonValue

from edgepipe.base.files import is_file, unpacks_to_too_much
from edgepipe.contract.guess import Guess, Sure
from edgepipe.errors import ModelError
from edgepipe.sources.converting import ConvertedModel

_PICKLES = (".pkl", ".pickle", ".joblib")


class SklearnModel(ConvertedModel):
    """A scikit-learn estimator or pipeline (.skops), converted by skl2onnx: probabilities, values or features out.

    Features are taken from the data's examples row by row, whatever their shape. A .skops file with types that
    skops does not trust is refused; a .pkl or .joblib runs code when it is read, so it wants trust_code=true.
    """

    libraries: ClassVar[tuple[str, ...]] = ("scikit-learn", "skl2onnx", "skops", "onnx", "onnxruntime")
    extra: ClassVar[str] = "sklearn"
    modules: ClassVar[tuple[str, ...]] = ("sklearn", "skl2onnx", "skops")
    converter: ClassVar[str] = "edgepipe.sources.sklearn.to_onnx"

    opset: int = Field(18, ge=15, le=21, description="ONNX operator set that skl2onnx writes")
    trust_code: bool = Field(False, description="set on the command line: trust_code=true")

    @classmethod
    def guess(cls, given: str) -> Guess | None:
        fits = given.lower().endswith((".skops", *_PICKLES)) and is_file(Path(given))
        return Guess({"path": given}, Sure.CERTAIN, "an estimator of scikit-learn") if fits else None

    def request(self) -> dict[str, JsonValue]:
        return {"opset": self.opset, "pickle": Path(self.path).suffix in _PICKLES}

    def digests(self) -> dict[str, JsonValue]:
        self._check_trust(Path(self.path))
        return super().digests()

    def _check_trust(self, path: Path) -> None:
        if path.suffix in _PICKLES and not self.trust_code:
            raise ModelError(
                f"model.path: {path}: a pickle runs code when it is read. Save the estimator with skops.io.dump(model, "
                "'model.skops'), or, if you trust the file, add trust_code=true to the command line"
            )

    def check(self, path: Path) -> None:
        self._check_trust(path)
        if path.suffix not in (".skops", *_PICKLES) or not is_file(path, "model.path"):
            raise ModelError(f"model.path: {path}: not a .skops file. Save it: skops.io.dump(model, 'model.skops')")
        bomb = unpacks_to_too_much(path)
        if bomb is not None:
            raise ModelError(f"model.path: {path}: {bomb}: refused")
