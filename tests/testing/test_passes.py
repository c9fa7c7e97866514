"""Every built-in pass keeps its contract, and the kit says of a broken one what is broken."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from edgepipe.contract import ONNX_FILE, Artifact, Job, Kind, Pass, Split
from edgepipe.passes.prune_channels import PruneChannels
from edgepipe.passes.prune_weights import PruneWeights
from edgepipe.passes.tabulate_latency import TabulateLatency
from edgepipe.plugins import NOUNS, find
from edgepipe.testing import Broken, check_pass

_SHORT = {"epochs": 1, "epoch_share": 0.5}
SETTINGS: dict[str, dict[str, Any]] = {
    "distill": _SHORT,
    "finetune": _SHORT,
    "prune_channels": {"ratio": 0.3, "round_to": 1},
    "prune_weights": {"amount": 0.3},
    "quantize_aware": _SHORT,
    "quantize_weights": {"smallest": 16, "block_size": 16},
    "reestimate_batchnorm": {"examples": 32},
    "tabulate_latency": {"round_to": 8},
    "time_int8": {"seconds": 0.02},
    "train": _SHORT,
}
ELSEWHERE = {"prune_trees"}
"""It needs a forest: tests/passes/test_prune_trees.py."""


@pytest.mark.parametrize("name", sorted({*NOUNS["passes"].built_in} - ELSEWHERE))
def test_a_built_in_pass_keeps_its_contract(name: str) -> None:
    check_pass(find("passes", name)(**SETTINGS.get(name, {})))


@pytest.mark.parametrize(
    ("it", "behind"),
    [
        (find("passes", "finetune")(**_SHORT), [PruneWeights(amount=0.3)]),
        (PruneChannels(scope="latency", times_faster=1.2, importance_examples=8), [TabulateLatency(round_to=8)]),
    ],
    ids=["masks", "a table of times"],
)
def test_a_pass_behind_what_it_needs_keeps_its_contract(it: Pass, behind: Sequence[Pass]) -> None:
    check_pass(it, behind=behind)


class Toy(Pass):
    """Nothing."""

    reads: ClassVar[Kind] = Kind.ONNX
    writes: ClassVar[Kind] = Kind.ONNX

    def apply(self, model: Artifact, job: Job) -> Artifact:
        shutil.copy(model.onnx, job.out / ONNX_FILE)
        job.facts["copied"] = True
        return job.seal(Kind.ONNX, model.signature)


def _scribbles(self: Any, model: Artifact, job: Job) -> Artifact:
    made = Toy.apply(self, model, job)
    model.onnx.write_bytes(model.onnx.read_bytes() + b"\x12\x00")
    return made


_COUNT = [0]


def _counts(self: Any, model: Artifact, job: Job) -> Artifact:
    _COUNT[0] += 1
    (job.out / "count.txt").write_text(str(_COUNT[0]), encoding="utf-8")
    return Toy.apply(self, model, job)


def _numpy_fact(self: Any, model: Artifact, job: Job) -> Artifact:
    job.facts["ratio"] = np.float32(0.5)  # type: ignore[assignment]
    return Toy.apply(self, model, job)


def _beside(self: Any, model: Artifact, job: Job) -> Artifact:
    (job.out.parent / "scratch").mkdir()
    return Toy.apply(self, model, job)


def _destroys(_: Any, model: Artifact, job: Job) -> Artifact:
    (job.out / ONNX_FILE).write_text("no network", encoding="utf-8")
    return job.seal(Kind.ONNX, model.signature)


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "scribbling": ({"apply": _scribbles}, r"Odd\.apply: Odd: broke its contract: it changed its input"),
    "another each time": ({"apply": _counts}, r"Odd\.apply: applied twice, with one seed, it gives another model"),
    "a fact": ({"apply": _numpy_fact}, r"Odd\.apply: Odd: broke its contract: facts\['ratio'\] is"),
    "a file beside": ({"apply": _beside}, r"Odd\.apply: Odd: broke its contract: it wrote scratch beside out/"),
    "its input": ({"apply": lambda _, model, __: model}, r"Odd\.apply: Odd: broke its contract: it promised onnx in"),
    "another kind": ({"writes": Kind.TORCH}, r"Odd\.apply: Odd: broke its contract: it promised torch"),
    "no network": ({"apply": _destroys}, r"Odd\.apply: raised MeasureError"),
    "a crash": ({"apply": lambda *_: {}["model"]}, r"Odd\.apply: raised KeyError: 'model'"),
    "a word": ({"reads": "onnx file"}, r"Odd\.reads: is 'onnx file'"),
    "a list": ({"requires": ["float"]}, r"Odd\.requires: is \['float'\], and a tuple of texts"),
    "undeclared data": ({"splits": lambda _: (Split.TRAIN,)}, r"Odd\.splits: .* are more than `data` declares"),
    "no trait": (
        {"provides": ("int8",), "traits": lambda _, before: before},
        r"Odd\.traits: .* without what",
    ),
    "no bool": ({"learns": lambda _: None}, r"Odd\.learns: is no bool"),
    "behind": ({"behind": lambda *_: True}, r"Odd\.behind: returned True"),
    "problems": ({"problems": lambda _: [("amount", "bad")]}, r"Odd\.problems: speaks of a setting 'amount'"),
    "settings": ({"settings": lambda _: {"at": Path()}}, r"Odd\.settings: it\['at'\] is"),
}


def test_the_toy_keeps_its_contract() -> None:
    check_pass(Toy)


@pytest.mark.parametrize("case", CASES)
def test_a_broken_promise_is_told_with_the_method(case: str) -> None:
    methods, said = CASES[case]
    odd = type(Toy)("Odd", (Toy,), {"__doc__": "Odd.", "__module__": __name__, **methods})
    with pytest.raises(Broken, match=said):
        check_pass(odd)


def test_what_is_not_defined_or_declared_is_told() -> None:
    with pytest.raises(Broken, match=r"Pass\.apply: is not defined, and every pass has it"):
        check_pass(Pass)  # type: ignore[type-abstract]

    class Undeclared(Pass):
        """Undeclared."""

        def apply(self, model: Artifact, job: Job) -> Artifact:
            raise NotImplementedError

    with pytest.raises(Broken, match=r"Undeclared\.reads: is not declared"):
        check_pass(Undeclared)
