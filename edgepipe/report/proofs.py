"""The table of proofs: the deployed file on other processors and runtimes."""

from __future__ import annotations

from collections.abc import Sequence

from edgepipe.contract import Measure
from edgepipe.records import old
from edgepipe.records.metrics import Proof
from edgepipe.records.quality import TaskRecord
from edgepipe.report.answers import values_text


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}%"


def _measures(task: TaskRecord | None, proofs: Sequence[Proof]) -> list[Measure]:
    """Those that were proven; without a task each is called by its name."""
    names = {name: None for proof in proofs for name in (*proof.quality, *proof.quality_here)}
    if task is None:
        return [old.measure(name) or Measure(name, name, "higher", "") for name in names]
    return [measure for measure in task.measures if measure.name in names]


def proof_columns(task: TaskRecord | None, proofs: Sequence[Proof]) -> tuple[str, ...]:
    """The heads; answers are judged by the first measure of the task that was proven."""
    found = [measure.title for measure in _measures(task, proofs)[:1]]
    judged = [f"{title} {where}" for title in found for where in ("there", "here")]
    return ("verified on", "verdict", "examples", *judged, "alike", "outputs", "ms")


def _outputs(proof: Proof) -> str:
    if proof.identical is None:
        return "-"
    if proof.identical:
        return "bit-identical"
    return "not finite" if proof.largest_difference is None else f"differ by {proof.largest_difference:.2g}"


def proof_rows(task: TaskRecord | None, proofs: Sequence[Proof]) -> list[tuple[str, ...]]:
    """The cells of each proof, in the order of `proof_columns`; a time only where nothing was emulated."""
    first = _measures(task, proofs)[:1]
    return [
        (
            proof.where,
            proof.status,
            str(proof.examples) if proof.examples else "-",
            *(values_text(first, part) for part in ((proof.quality, proof.quality_here) if first else ())),
            _percent(proof.alike),
            _outputs(proof),
            "-" if proof.latency_p50_ms is None else f"{proof.latency_p50_ms:.2f}",
        )
        for proof in proofs
    ]


def proof_notes(proofs: Sequence[Proof]) -> list[str]:
    """A sentence for each proof that failed or was skipped."""
    return [f"{proof.where}: {proof.status}: {proof.why}" for proof in proofs if proof.why]
