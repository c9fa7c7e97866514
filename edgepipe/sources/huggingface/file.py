"""`model.source: huggingface`: a network that transformers saved in a folder."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, JsonValue

from edgepipe.base.bounded import Bound, answer
from edgepipe.base.children import memory_bytes
from edgepipe.base.files import is_file
from edgepipe.base.scratch import scratch
from edgepipe.contract import Job, ModelSource, Signature, Split
from edgepipe.contract.artifact import ONNX_FILE, Artifact, Kind, file_sha256
from edgepipe.contract.guess import Guess, Sure
from edgepipe.contract.settings import PathText
from edgepipe.errors import ModelError
from edgepipe.sources import first_run
from edgepipe.sources.huggingface.folder import Folder, read_folder
from edgepipe.sources.onnx_file import OnnxModel
from edgepipe.sources.processor import differences

_CONVERTER = "edgepipe.sources.huggingface.to_onnx"
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class HuggingFaceModel(ModelSource):
    """A network of transformers in a local folder (config.json, safetensors), exported to ONNX when it is loaded.

    Encoders of texts, pictures and sounds, classifiers of each, taggers, detectors, segmenters, CTC recognizers: any
    whose class belongs to transformers itself and answers in one pass. Inputs have the names of the data where the
    network knows them (`input_ids`, `attention_mask`), an only other one is its pixels or sound. No code in the folder
    is run, no pickle read, nothing downloaded.
    """

    kind: ClassVar[Kind] = Kind.ONNX
    compares: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("transformers", "torch", "onnx", "onnxscript", "onnxruntime", "safetensors")
    # How much an export may take says nothing of its result.
    located: ClassVar[frozenset[str]] = frozenset({"path", "weights", "most_minutes", "most_gigabytes"})

    path: PathText = Field(description="folder with config.json and model.safetensors, as save_pretrained writes it")
    architecture: str | None = Field(
        None,
        pattern=r"^[A-Za-z]\w*$",
        description="class of transformers; null: as config.json says, of language models the encoder in them",
    )
    pooling: Literal["mean", "cls", "none"] | None = Field(
        None,
        description="of an encoder: mean of all vectors but of padding, the first one (cls), or each (none); null: as "
        "1_Pooling/config.json says, else mean",
    )
    opset: int = Field(20, ge=18, le=22, description="ONNX operator set")
    tolerance: float = Field(
        1e-3, gt=0, description="largest difference to PyTorch's own answers, as a share of the largest answer"
    )
    most_minutes: float = Field(30, gt=0, description="how long the export may take")
    most_gigabytes: float | None = Field(
        None, gt=0, description="memory (10^9 bytes) the export may take; null: three quarters of the machine's"
    )

    @classmethod
    def guess(cls, given: str) -> Guess | None:
        folder = Path(given)
        fits = is_file(folder / "config.json") and any(folder.glob("*.safetensors"))
        return Guess({"path": given}, Sure.CERTAIN, "a folder of transformers") if fits else None

    def digests(self) -> dict[str, JsonValue]:
        return {name: file_sha256(file) for name, file in sorted(read_folder(Path(self.path)).files.items())}

    def load(self, out: Path, signature: Signature, seed: int, job: Job | None = None) -> Artifact:
        folder = read_folder(Path(self.path))
        where = f"model.path: {self.path}"
        if importlib.util.find_spec("transformers") is None:
            raise ModelError(f"{where}: reading it needs transformers: pip install 'edgepipe[huggingface]'")
        _check_text(folder, signature, where)
        _check_classes(folder, signature, where)
        examples = _examples(signature, job)
        with scratch("export") as space:
            np.savez(space / "examples.npz", **examples)
            reply = answer(_CONVERTER, space, self._asked(folder, signature), where, self._bound(), _ENVIRONMENT)
            loaded = OnnxModel(
                path=str(space / ONNX_FILE), most_minutes=self.most_minutes, most_gigabytes=self.most_gigabytes
            )
            try:
                made = loaded.load(out, signature, seed, job)
            except ModelError as error:
                raise ModelError(str(error).replace(str(space / ONNX_FILE), self.path)) from None
        if job is not None:
            job.facts["parity"] = {"largest_difference": reply["difference"], "examples": reply["examples"]}
            job.add("notes", *_notes(folder, signature, reply))
        return made

    def _bound(self) -> Bound:
        return Bound(
            self.most_minutes,
            self.most_gigabytes or 0.75 * memory_bytes() / 1e9,
            "exporting it",
            "Give it longer with model.most_minutes",
            "Allow more with model.most_gigabytes, or export it on a larger machine",
        )

    def _asked(self, folder: Folder, signature: Signature) -> dict[str, Any]:
        text = signature.text
        return {
            "path": str(folder.path.resolve()),
            "architecture": self.architecture,
            "pooling": self.pooling or folder.pooling,
            "normalized": folder.normalized,
            "opset": self.opset,
            "tolerance": self.tolerance,
            "free": {
                item.name: {str(axis + 1): size for axis, size in enumerate(item.shape) if isinstance(size, str)}
                for item in signature.inputs
            },
            "max_length": None if text is None else text.max_length,
        }


def _examples(signature: Signature, job: Job | None) -> dict[str, Any]:
    """A few examples by the data's names, of one shape: real ones where there are any."""
    if job is not None and (count := min(first_run.TRIED, job.data.count(Split.EVALUATION))):
        return dict(next(job.data.batches(Split.EVALUATION, count, range(count))).inputs)
    return first_run.example_of(signature, None)


def _check_text(folder: Folder, signature: Signature, where: str) -> None:
    """A tokenizer of another model gives numbers that mean nothing here, or are none."""
    text, known = signature.text, folder.config.get("vocab_size")
    if text is not None and isinstance(known, int) and text.vocabulary > known:
        raise ModelError(
            f"{where}: knows {known:,} tokens, and data.tokenizer gives numbers up to {text.vocabulary - 1:,}: it is "
            f"another model's. Set data.tokenizer={folder.path}"
        )


def _check_classes(folder: Folder, signature: Signature, where: str) -> None:
    """Classes that are the same in another order would score as wrong."""
    names, given = folder.names, signature.classes
    if names != given and sorted(names) == sorted(given):
        raise ModelError(
            f"{where}: has the classes of the data in another order. Set data.classes=[{','.join(names)}], where the "
            "data takes it, or sort the names of both alike"
        )


def _notes(folder: Folder, signature: Signature, reply: dict[str, Any]) -> list[str]:
    said = differences(folder.preprocessing, signature.preprocessing)
    notes = list(reply["notes"])
    if said:
        notes.append(
            "pictures are prepared otherwise than the model's own processor does it (preprocessor_config.json), which "
            f"can cost most of what it knows: {'; '.join(said)}. Set the data's settings to the model's"
        )
    names, given = folder.names, signature.classes
    if names and given and len(names) != len(given) and reply["classifies"]:
        notes.append(f"the model has {len(names)} classes, the data {len(given)}")
    return notes
