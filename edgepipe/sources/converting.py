"""Base of the sources that another framework's model comes from.

The framework runs in a fresh process: its imports, threads, noise and memory stay out of ours, and so
does whatever an untrusted file does to it. That process writes `model.onnx` and its own answers to
real examples; here the graph is made to take what the data gives and must answer the same.
"""

from __future__ import annotations

import importlib.util
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, JsonValue

from edgepipe.base.bounded import Bound, answer
from edgepipe.base.children import memory_bytes
from edgepipe.base.files import is_file, is_there
from edgepipe.base.scratch import scratch
from edgepipe.contract import Job, ModelSource, Signature, Split
from edgepipe.contract.artifact import ONNX_FILE, Artifact, Kind, file_sha256, seal
from edgepipe.contract.settings import PathText
from edgepipe.contract.signature import one_input
from edgepipe.errors import ModelError

_EXAMPLES = 256
_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}


class ConvertedModel(ModelSource):
    """A model of another framework, turned into ONNX when it is loaded.

    Class attributes:
        extra: the extra of edgepipe that installs the framework.
        modules: what has to be importable, looked for and not imported here.
        converter: module whose `main` runs in the fresh process.
    """

    kind: ClassVar[Kind] = Kind.ONNX
    compares: ClassVar[bool] = True
    # How much a conversion may take says nothing of its result.
    located: ClassVar[frozenset[str]] = frozenset({"path", "weights", "most_minutes", "most_gigabytes"})
    extra: ClassVar[str]
    modules: ClassVar[tuple[str, ...]]
    converter: ClassVar[str]

    path: PathText = Field(description="the model's file or folder")
    tolerance: float = Field(
        1e-3, gt=0, description="largest difference to the framework's own answers, as a share of the largest answer"
    )

    most_minutes: float = Field(60, gt=0, description="how long the conversion may take")
    most_gigabytes: float | None = Field(
        None, gt=0, description="memory (10^9 bytes) the conversion may take; null: three quarters of the machine's"
    )

    def _bound(self) -> Bound:
        return Bound(
            self.most_minutes,
            self.most_gigabytes or 0.75 * memory_bytes() / 1e9,
            "converting it",
            "Give it longer with model.most_minutes",
            "Allow more with model.most_gigabytes, or convert it on a larger machine",
        )

    def inputs_misfit(self, names: Sequence[str]) -> list[tuple[str, str]]:
        return [("source", one_input(names))] if len(names) > 1 else []

    @abstractmethod
    def check(self, path: Path) -> None:
        """Refuse what is no model of this source, or is not safe to load.

        Raises:
            ModelError: names the file and what is wrong with it.
        """

    def request(self) -> dict[str, JsonValue]:
        """What the converter is told besides the path."""
        return {}

    def digests(self) -> dict[str, JsonValue]:
        path = Path(self.path)
        if not is_there(path, "model.path"):
            raise ModelError(f"model.path: {path}: there is no such file or folder")
        if is_file(path):
            return {"model": file_sha256(path)}
        files = [file for file in sorted(path.rglob("*")) if is_file(file)]
        return {file.relative_to(path).as_posix(): file_sha256(file) for file in files}

    def load(self, out: Path, signature: Signature, seed: int, job: Job | None = None) -> Artifact:
        del seed  # nothing here is random
        from edgepipe.onnx.adopt import adopt

        path = Path(self.path)
        missing = [name for name in self.modules if importlib.util.find_spec(name) is None]
        if missing:
            raise ModelError(
                f"model.source: reading {path.name} needs {', '.join(missing)}, not installed here. "
                f"Install the extra: pip install 'edgepipe[{self.extra}]'"
            )
        self.check(path)
        examples = _examples(signature, job)
        with scratch("convert") as folder:
            np.save(folder / "examples.npy", examples, allow_pickle=False)
            pictures = signature.preprocessing.image_size is not None
            asked = {
                "path": str(path.resolve()),
                "pictures": pictures,
                "classes": list(signature.classes),
                **self.request(),
            }
            reply = answer(self.converter, folder, asked, f"model.path: {path}", self._bound(), _ENVIRONMENT)
            answers = np.load(folder / "answers.npy", allow_pickle=False)
            facts = adopt(
                folder / ONNX_FILE,
                out / ONNX_FILE,
                signature.input_shape,
                layout=reply["layout"],
                output=reply.get("output"),
                examples=examples,
                answers=answers,
                tolerance=self.tolerance,
                what=f"model.path: {path}",
            )
        if job is not None:
            job.facts.update({"layout": reply["layout"], "parity": facts})
        return seal(out, Kind.ONNX, signature)


def _examples(signature: Signature, job: Job | None) -> Any:
    """Float32, (n, *input_shape): real examples where there are any."""
    if job is not None and (count := min(_EXAMPLES, job.data.count(Split.EVALUATION))):
        return next(job.data.batches(Split.EVALUATION, count, range(count))).only
    return np.random.default_rng(0).standard_normal((16, *signature.input_shape)).astype(np.float32)
