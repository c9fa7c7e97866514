"""The one judge: every model is measured by the same code on the same pictures, whoever made it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from benchmarks.quantizers import emulated as answering
from edgepipe.contract import Answers, Dataset, Interval, Split
from edgepipe.measure import size
from edgepipe.measure.answers import Model, answered, targets_of
from edgepipe.measure.audit import audit
from edgepipe.measure.latency import PairedLatency, paired_latency
from edgepipe.measure.macs import layers
from edgepipe.onnx.graph import Graph
from edgepipe.records.metrics import Int8Share
from edgepipe.targets.host import u8s8_saturates
from edgepipe.tasks.classification import Classification

QEMU = "qemu-x86_64-static"
_CONFIRMED = 8
"""Pictures emulated where this processor has the Haswell's 8-bit kernels itself: a second or two each."""


@dataclass(frozen=True)
class OldCpu:
    """Answers in exact arithmetic, and with the kernels of a Haswell, which has AVX2 and no VNNI.

    Where this processor has none either, its own answers are taken for the Haswell's, and the emulated
    one confirms the first of them; elsewhere it gives them all.

    Attributes:
        top1_exact: of the file as written, run by float operators between its Q/DQ, where no sum overflows.
        changed: share of the pictures answered differently on the Haswell than in exact arithmetic, in [0, 1].
        identical: whether the logits of this processor agree with the emulated one's to the last bit.
    """

    top1_exact: float
    top1_there: float
    changed: float
    identical: bool


@dataclass(frozen=True)
class Judged:
    """What is measured of one model; ratios are against the float model of the same run."""

    top1: float
    drop: float
    drop_ci95: Interval
    agreement: float
    size_bytes: int
    times_smaller: float
    paired: PairedLatency
    paired_with_reference: PairedLatency | None
    int8_share: Int8Share
    old_cpu: OldCpu | None


class Judge:
    """Holds the float model, the pictures and, once known, a reference model for direct speed comparisons."""

    def __init__(self, floating: Path, data: Dataset, *, old_cpu_pictures: int, seconds: float, work: Path) -> None:
        """
        Args:
            data: its evaluation split is labelled.
            old_cpu_pictures: of the evaluation split, for the emulated processor; the first ones.
            seconds: budget of each paired latency measurement.
            work: folder for the logits.
        """
        self._floating, self._data, self._seconds, self._work = floating, data, seconds, work
        self._example = next(data.batches(Split.EVALUATION, 1, [0])).only
        self._task = Classification()
        self._float_answers = answered(Model.of(floating, data), data, self._task).answers
        if data.labels(Split.EVALUATION) is None:
            raise SystemExit("the evaluation pictures have no labels: accuracy cannot be judged")
        targets = targets_of(self._task, data, self._float_answers)
        assert targets is not None
        self._targets = targets
        work.mkdir(parents=True, exist_ok=True)
        chosen = next(data.batches(Split.EVALUATION, old_cpu_pictures, range(old_cpu_pictures)))
        np.save(work / "pictures.npy", chosen.only, allow_pickle=False)
        assert chosen.labels is not None
        self._labels = chosen.labels

    @property
    def float_top1(self) -> float:
        """Of the float model on all evaluation pictures."""
        return self._top1(self._float_answers)

    def old_cpu(self, model: Path, name: str) -> OldCpu | None:
        """In exact arithmetic and on the Haswell; None where qemu is not installed."""
        if shutil.which(QEMU) is None:
            return None
        alike = u8s8_saturates() is True
        exact = self._logits(model, self._work / f"{name}.exact.npy", "exact")
        here = self._logits(model, self._work / f"{name}.here.npy", "kernels")
        few = _CONFIRMED if alike else len(here)
        emulated = self._logits(model, self._work / f"{name}.haswell.npy", "kernels", few, [QEMU, "-cpu", "Haswell"])
        there = here if alike else emulated
        return OldCpu(
            top1_exact=float((exact.argmax(1) == self._labels).mean()),
            top1_there=float((there.argmax(1) == self._labels).mean()),
            changed=float((exact.argmax(1) != there.argmax(1)).mean()),
            identical=bool(np.array_equal(here[:few], emulated)),
        )

    def judge(self, model: Path, name: str, reference: Path | None) -> Judged:
        """Measure one model.

        Args:
            reference: another model that this one's speed is also compared with directly.
        """
        answers = answered(Model.of(model, self._data), self._data, self._task).answers
        drop, interval = self._task.compared(answers, self._float_answers, self._targets)["top1"]
        assert drop is not None
        assert interval is not None
        graph = Graph.load(model)
        bytes_stored = size.size_bytes(graph.files)
        own_layers = layers(graph, self._data.signature.input_shape)
        return Judged(
            top1=self._top1(answers),
            drop=drop,
            drop_ci95=interval,
            agreement=float(self._task.alike(answers, self._float_answers).mean()),
            size_bytes=bytes_stored,
            times_smaller=size.size_bytes(Graph.load(self._floating).files) / bytes_stored,
            paired=paired_latency(self._floating, model, self._example, seconds=self._seconds),
            paired_with_reference=None
            if reference is None
            else paired_latency(reference, model, self._example, seconds=self._seconds),
            int8_share=audit(graph, self._example, own_layers)[1],
            old_cpu=self.old_cpu(model, name),
        )

    def _logits(
        self, model: Path, out: Path, how: str, most: int = sys.maxsize, emulator: Sequence[str] = ()
    ) -> npt.NDArray[Any]:
        # The emulator needs the real interpreter, which does not know the virtual environment's packages.
        packages = {str(Path(module.__file__).parents[1]) for module in (np, onnxruntime)}
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("OPENBLAS_", "PYTHON"))}
        script, pictures = Path(answering.__file__), self._work / "pictures.npy"
        done = subprocess.run(
            [
                *emulator,
                os.path.realpath(sys.executable),
                str(script),
                str(model),
                str(pictures),
                str(out),
                how,
                str(most),
            ],
            env={**environment, "PYTHONPATH": os.pathsep.join(sorted(packages))},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            # qemu warns of every feature of the processor that it does not emulate.
            told = [line for line in done.stderr.splitlines() if not line.startswith("qemu-x86_64")]
            raise SystemExit(f"{model}: {' '.join(emulator)} failed: {' '.join(told[-3:]) or done.returncode}")
        return np.asarray(np.load(out, allow_pickle=False))

    def _top1(self, answers: Answers) -> float:
        found = self._task.measured(answers, self._targets)["top1"].value
        assert found is not None
        return found
