"""Run the deployed file at every place that a recipe names, on the same examples as here."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.base.files import read_record, reserve, write_text
from edgepipe.contract import Dataset, Progress, Split
from edgepipe.contract.artifact import file_sha256
from edgepipe.errors import EdgepipeError, VerifyError
from edgepipe.records.metrics import Proof
from edgepipe.sources.first_run import TRIED, tried_file
from edgepipe.store import memo
from edgepipe.store.digests import module_digest, package_digest
from edgepipe.store.store import Store
from edgepipe.targets.host import fingerprint
from edgepipe.verify.compare import compare, judge
from edgepipe.verify.int8_graph import float_operators
from edgepipe.verify.place import Answers, Place
from edgepipe.verify.settings import AGREEMENT, EXAMPLES
from edgepipe.verify.targets import target_of
from edgepipe.verify.x86 import Here

_FILE = "proof.json"


@dataclass(frozen=True)
class Examples:
    """What every place answers. `write` puts the inputs, (count, ...), into an .npy file.

    Attributes:
        count: number of examples.
        digest: hex SHA-256 of all that the answers depend on, inputs and labels.
        labels: int64, (count,), or None.
        classes: whether the outputs are scores of classes; otherwise values are compared.
    """

    count: int
    digest: str
    labels: NDArray[np.int64] | None
    write: Callable[[Path], None]
    classes: bool = True


def examples_of(data: Dataset, wanted: int) -> Examples:
    """The first `wanted` evaluation examples, in the order of the data: pictures are dealt out by class already.

    Raises:
        VerifyError: there are none.
    """
    count = min(wanted, data.count(Split.EVALUATION))
    if count == 0:
        raise VerifyError("verify: the data has no evaluation examples to run")
    classes = data.signature.task == "classification"
    labels = data.labels(Split.EVALUATION) if classes else None

    def write(path: Path) -> None:
        shape = (count, *data.signature.input_shape)
        rows: Any = None
        start = 0
        for batch in data.batches(Split.EVALUATION, 64, range(count)):
            if rows is None:
                shape = (count, *batch.only.shape[1:])
                rows = np.lib.format.open_memmap(path, mode="w+", dtype=batch.only.dtype, shape=shape)
                reserve(path, path.stat().st_size)
            rows[start : start + len(batch.only)] = batch.only
            start += len(batch.only)
        rows.flush()

    digest = hashlib.sha256(f"{data.digest(Split.EVALUATION)} {count}".encode()).hexdigest()
    return Examples(count, digest, None if labels is None else np.asarray(labels[:count], np.int64), write, classes)


def examples_of_arrays(inputs: NDArray[Any], labels: NDArray[np.int64] | None) -> Examples:
    """Examples that are in memory already, (n, ...)."""
    digest = hashlib.sha256(np.ascontiguousarray(inputs).tobytes())
    digest.update(b"" if labels is None else labels.astype(np.int64).tobytes())
    return Examples(len(inputs), digest.hexdigest(), labels, lambda path: np.save(path, inputs))


@dataclass
class _Work:
    """One model and its examples; inputs are written and answered here only if a place has to run."""

    model: Path
    examples: Examples
    folder: Path
    progress: Progress
    alone: Callable[[], AbstractContextManager[None]]
    _here: Answers | None = None
    _floats: list[str] | None = None
    _inputs: Path | None = field(default=None)

    def run(self, place: Place) -> Answers:
        if self._inputs is None:
            self._inputs = self.folder / "inputs.npy"
            self.examples.write(self._inputs)
            tried_file(self.model, np.load(self._inputs, mmap_mode="r")[:TRIED], str(self.model))
        work = self.folder / f"place-{len(list(self.folder.iterdir()))}"
        work.mkdir()
        count = self.examples.count

        def done(n: int) -> None:
            self.progress(n / count, f"{place.name} {n}/{count}")

        with self.alone() if place.timed else nullcontext():
            found = place.answer(self.model, self._inputs, count, work, done)
        if len(found.outputs) != count:
            raise VerifyError(f"{place.name}: answered {len(found.outputs)} of {count} examples")
        return found

    def proof(self, target: str, place: Place) -> Proof:
        started = time.perf_counter()
        if self._here is None:
            self._here = self.run(Here())
            self._floats = float_operators(self.model)
        there = self.run(place)
        seconds = time.perf_counter() - started
        labels, classes = self.examples.labels, self.examples.classes
        return compare(target, place, there, self._here, labels, self._floats or [], seconds, classes=classes)


def prove(
    model: Path,
    examples: Examples,
    targets: Sequence[str],
    store: Store,
    *,
    agreement: float = AGREEMENT,
    require: bool = False,
    progress: Progress = lambda _share, _text: None,
) -> list[Proof]:
    """One proof for each place of every target; what was answered before is taken from the store.

    Args:
        agreement: share of examples that must be answered as here.
        require: a target that this machine cannot verify has failed; otherwise it is skipped.
    """
    proofs: list[Proof] = []
    with store.workspace() as folder:
        work = _Work(model, examples, folder, progress, store.machine)
        for name in dict.fromkeys(targets):
            target = target_of(name)
            lacking = target.lacking()
            if lacking is not None:
                proofs.append(
                    Proof(target=name, place="", status="failed" if require else "skipped", why=lacking, examples=0)
                )
                continue
            proofs += [judge(_stored(work, store, name, place), agreement) for place in target.places()]
    return proofs


def _stored(work: _Work, store: Store, target: str, place: Place) -> Proof:
    parts = {
        "proof": target,
        "place": place.name,
        "threads": place.threads,
        "identity": place.identity(),
        "model": file_sha256(work.model),
        "examples": work.examples.digest,
        "machine": fingerprint(),
        "code": [package_digest("verify"), module_digest(__name__)],  # a worker is run by its path
    }

    def compute(space: Path) -> None:
        try:
            proof = work.proof(target, place)
        except EdgepipeError as error:
            raise _Failed(str(error)) from error
        write_text(space / _FILE, proof.model_dump_json())

    try:
        return memo.files(store, parts, f"verify: {place.name}", _read, compute).content
    except _Failed as failed:
        return Proof(target=target, place=place.name, status="failed", why=str(failed), examples=0)


class _Failed(Exception):
    """A place that did not answer: told, and asked again next time."""


def _read(folder: Path) -> Proof:
    return read_record(folder / _FILE, Proof, "It is tried again")


def complaint(proofs: Sequence[Proof]) -> str | None:
    """What the failed proofs say, a line each; None: none failed."""
    bad = [proof for proof in proofs if proof.status == "failed"]
    return "\n".join(f"{proof.where}: {proof.why}" for proof in bad) or None


__all__ = ["AGREEMENT", "EXAMPLES", "Examples", "complaint", "examples_of", "examples_of_arrays", "prove"]
