"""`model.source: python`: the user's own network, from a function. Runs the user's code, so it needs trust."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, JsonValue

from edgepipe.contract import Job, ModelSource, Signature
from edgepipe.contract.artifact import Artifact, Kind
from edgepipe.contract.settings import PathText
from edgepipe.errors import ModelError
from edgepipe.sources.settings import file_digest
from edgepipe.store.user_code import FUNCTION, source_digests, untrusted
from edgepipe.torch.factory import call_factory, call_stored, trust


class PythonModel(ModelSource):
    """Your own torch.nn.Module, made by `package.module:function`; needs trust_code=true."""

    kind: ClassVar[Kind] = Kind.TORCH
    libraries: ClassVar[tuple[str, ...]] = ("torch", "safetensors")

    factory: str = Field(pattern=FUNCTION, description="package.module:function returning a torch.nn.Module")
    kwargs: dict[str, JsonValue] = Field({}, description="keyword arguments of the function")
    weights: PathText | None = Field(None, description="null, or a .pth or .safetensors checkpoint")
    trust_code: bool = Field(False, description="set on the command line: trust_code=true")

    def digests(self) -> dict[str, JsonValue]:
        self._check_trust()
        return {"weights": file_digest(self.weights, "model.weights"), "code": self._code()}

    def _code(self) -> JsonValue:
        return source_digests("model.factory", self.factory, ModelError)

    def _check_trust(self) -> None:
        if not self.trust_code:
            raise ModelError(untrusted("model.factory", self.factory))
        trust(self.factory, dict(self.kwargs))

    @classmethod
    def network(cls, base: Mapping[str, Any]) -> Any:
        return call_stored(str(base["factory"]), dict(base["kwargs"]))

    def load(self, out: Path, signature: Signature, seed: int, job: Job | None = None) -> Artifact:
        self._check_trust()
        from edgepipe.torch import artifact as torch_artifact
        from edgepipe.torch.interface import seeded

        with seeded(seed):
            network = call_factory(self.factory, dict(self.kwargs))
        if self.weights is not None:
            torch_artifact.load_checkpoint(network, Path(self.weights), "Check model.factory and model.kwargs")
        # With the code in it, the artifact is another one when a change of code leaves the weights as they are.
        code = hashlib.sha256(json.dumps(self._code(), sort_keys=True).encode()).hexdigest()
        base = {"source": "python", "factory": self.factory, "kwargs": dict(self.kwargs), "code": code, "seed": seed}
        try:
            return torch_artifact.bring_in(network, base, out, signature, job)
        except ModelError as error:
            raise ModelError(f"model.factory: {self.factory}: {error}") from error
