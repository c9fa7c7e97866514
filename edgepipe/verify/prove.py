"""Run the deployed file at every place that a recipe names, on the same examples as here."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.base.files import read_record, write_text
from edgepipe.contract import Dataset, Place, PlaceAnswers, Processor, Progress, Signature, Split, Task, Tensor
from edgepipe.contract.artifact import file_sha256
from edgepipe.contract.places import Done
from edgepipe.errors import EdgepipeError, VerifyError
from edgepipe.plugins import find
from edgepipe.records.metrics import Proof
from edgepipe.sources.first_run import TRIED, tried_file
from edgepipe.store import memo
from edgepipe.store.digests import code_digest, module_digest, package_digest
from edgepipe.store.store import Store
from edgepipe.targets.host import fingerprint
from edgepipe.tasks.agreement import Agreement
from edgepipe.verify.compare import Judge, compare, judge
from edgepipe.verify.inputs import write_inputs
from edgepipe.verify.int8_graph import float_operators
from edgepipe.verify.native import Here
from edgepipe.verify.settings import AGREEMENT, EXAMPLES

log = logging.getLogger("edgepipe")

_FILE = "proof.json"


@dataclass(frozen=True)
class Examples:
    """What every place answers.

    Attributes:
        count: number of examples.
        digest: hex SHA-256 of all that the answers depend on, inputs and labels.
        signature: of the data.
        batches: the examples by name, (n, ...) each, in their order; asked for where a place has to run.
        labels: as the task's `targets` takes them; None: there are none.
        task: what the answers mean; None: classes where the only output is one vector of scores, else agreement.
    """

    count: int
    digest: str
    signature: Signature
    batches: Callable[[], Iterable[Mapping[str, NDArray[Any]]]]
    labels: NDArray[Any] | None = None
    task: Task | None = None

    def judge(self, outputs: Mapping[str, NDArray[Any]]) -> Judge:
        """What judges answers of such outputs."""
        task = self.task
        if task is None:
            tensors = [
                Tensor(name=name, dtype=value.dtype.name, shape=value.shape[1:]) for name, value in outputs.items()
            ]
            fits: Task = find("tasks", self.signature.task)()
            sure = self.labels is not None or len(tensors) == 1
            task = fits if sure and fits.misfit(tensors) is None else Agreement()
        if self.labels is None or not task.labelled:
            return Judge(task, self.signature)
        return Judge(task, self.signature, task.targets(self.labels, self.signature))


def examples_of(data: Dataset, wanted: int, task: Task | None = None) -> Examples:
    """The first `wanted` evaluation examples, in the order of the data: pictures are dealt out by class already.

    Of examples that differ in shape, the first of the commonest one.

    Args:
        task: the recipe's; None: that of the data.
    Raises:
        VerifyError: there are none.
    """
    count = min(wanted, data.count(Split.EVALUATION))
    if count == 0:
        raise VerifyError("verify: the data has no evaluation examples to run")
    labels, rows = data.labels(Split.EVALUATION), list(range(count))
    if not all(item.fixed for item in data.signature.inputs):
        rows = _of_one_shape(data, range(data.count(Split.EVALUATION)))[:count]

    def batches() -> Iterator[Mapping[str, NDArray[Any]]]:
        return (batch.inputs for batch in data.batches(Split.EVALUATION, 64, rows))

    digest = hashlib.sha256(f"{data.digest(Split.EVALUATION)} {count}".encode()).hexdigest()
    return Examples(len(rows), digest, data.signature, batches, None if labels is None else labels[rows], task)


def _of_one_shape(data: Dataset, rows: Sequence[int]) -> list[int]:
    """Those of the examples that have the shape of most of them: every place is given one array for each input."""
    found: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    done = 0
    for batch in data.batches(Split.EVALUATION, 64, rows):
        shapes = tuple(value.shape[1:] for value in batch.inputs.values())
        found.setdefault(shapes, []).extend(rows[done : done + len(batch)])
        done += len(batch)
    return max(found.values(), key=len)


def examples_of_arrays(inputs: Mapping[str, NDArray[Any]], labels: NDArray[Any] | None) -> Examples:
    """Examples that are in memory already, (n, ...) by name."""
    digest = hashlib.sha256()
    for name, value in inputs.items():
        digest.update(f"{name} {value.dtype} {value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    digest.update(b"" if labels is None else np.ascontiguousarray(labels).tobytes())
    signature = Signature(
        inputs=tuple(Tensor(name=name, dtype=value.dtype.name, shape=value.shape[1:]) for name, value in inputs.items())
    )
    count = len(next(iter(inputs.values())))
    return Examples(count, digest.hexdigest(), signature, lambda: [inputs], labels)


@dataclass
class _Work:
    """One model and its examples; inputs are written and answered here only if a place has to run."""

    model: Path
    examples: Examples
    folder: Path
    progress: Progress
    alone: Callable[[], AbstractContextManager[None]]
    _here: PlaceAnswers | None = None
    _floats: list[str] | None = None
    _inputs: Path | None = field(default=None)

    def run(self, place: Processor) -> PlaceAnswers:
        if self._inputs is None:
            folder = self.folder / "inputs"
            folder.mkdir()
            given, few = self.examples, next(iter(self.examples.batches()))
            tried = {name: value[:TRIED] for name, value in few.items()}
            tried_file(self.model, tried, str(self.model), given.signature)
            write_inputs(folder, self.model, given.signature, given.batches(), given.count)
            self._inputs = folder
        work = self.folder / f"place-{len(list(self.folder.iterdir()))}"
        work.mkdir()
        count = self.examples.count

        def done(n: int) -> None:
            self.progress(n / count, f"{place.name} {n}/{count}")

        with self.alone() if place.timed else nullcontext():
            found = _answered(place, self.model, self._inputs, count, work, done)
        for name, value in found.outputs.items():
            if len(value) != count:
                raise VerifyError(f"{place.name}: answered {len(value)} of {count} examples in its output '{name}'")
        return found

    def proof(self, target: str, place: Processor) -> Proof:
        started = time.perf_counter()
        if self._here is None:
            self._here = self.run(Here())
            self._floats = float_operators(self.model)
        there = self.run(place)
        seconds = time.perf_counter() - started
        judge = self.examples.judge(self._here.outputs)
        return compare(target, place, there, self._here, judge, self._floats or [], seconds)


def _answered(place: Processor, model: Path, inputs: Path, count: int, work: Path, done: Done) -> PlaceAnswers:
    """What a processor answers; a defect of one that others brought is told with its name, and ends nothing else."""
    defect = "This is a defect of the place, not of your model"
    try:
        found: object = place.answer(model, inputs, count, work, done)
    except EdgepipeError:
        raise
    except Exception as error:
        log.error("verify: %s", place.name, exc_info=True)
        raise VerifyError(f"{place.name}: raised {type(error).__name__}: {error}. {defect}") from error
    if not isinstance(found, PlaceAnswers):
        raise VerifyError(f"{place.name}: returned {type(found).__name__} in place of PlaceAnswers. {defect}")
    return found


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
            target: Place = find("places", name)()
            lacking = target.lacking()
            if lacking is not None:
                proofs.append(
                    Proof(target=name, place="", status="failed" if require else "skipped", why=lacking, examples=0)
                )
                continue
            proofs += [
                judge(_stored(work, store, name, place), agreement, target.remedy) for place in target.processors()
            ]
    return proofs


def _stored(work: _Work, store: Store, target: str, place: Processor) -> Proof:
    parts = {
        "proof": target,
        "place": place.name,
        "threads": place.threads,
        "identity": place.identity(),
        "model": file_sha256(work.model),
        "examples": work.examples.digest,
        "machine": fingerprint(),
        "task": None if (task := work.examples.task) is None else [type(task).__name__, task.model_dump(mode="json")],
        "code": [
            package_digest("verify", "tasks"),
            module_digest(__name__),
            code_digest(find("places", target)),
        ],  # a worker is run by its path
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
