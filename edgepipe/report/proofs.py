"""The table of proofs: the deployed file on other processors and runtimes."""

from __future__ import annotations

from collections.abc import Sequence

from edgepipe.records.metrics import Proof

PROOF_COLUMNS = ("verified on", "verdict", "examples", "top-1 there", "top-1 here", "agreement", "outputs", "ms")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}%"


def _outputs(proof: Proof) -> str:
    if proof.identical is None:
        return "-"
    if proof.identical:
        return "bit-identical"
    return "not finite" if proof.largest_difference is None else f"differ by {proof.largest_difference:.2g}"


def proof_row(proof: Proof) -> tuple[str, ...]:
    """The cells of one proof, in the order of `PROOF_COLUMNS`; a time only where nothing was emulated."""
    return (
        proof.where,
        proof.status,
        str(proof.examples) if proof.examples else "-",
        _percent(proof.top1),
        _percent(proof.top1_here),
        _percent(proof.agreement),
        _outputs(proof),
        "-" if proof.latency_p50_ms is None else f"{proof.latency_p50_ms:.2f}",
    )


def proof_notes(proofs: Sequence[Proof]) -> list[str]:
    """A sentence for each proof that failed or was skipped."""
    return [f"{proof.where}: {proof.status}: {proof.why}" for proof in proofs if proof.why]
