"""What is worth a sentence about a step stands in its findings, the pass's own words first."""

from __future__ import annotations

from pathlib import Path

from edgepipe.__main__ import main
from edgepipe.records.metrics import read_metrics
from tests.small import arguments


def test_a_passs_notes_come_before_what_its_measurement_shows(tmp_path: Path) -> None:
    argv = arguments(tmp_path, f"hydra.run.dir={tmp_path}/run", "passes.quantize.percentile=99", labels=True)
    assert main(argv) == 0
    load, quantize, export = read_metrics(tmp_path / "run").passes
    assert quantize.facts["notes"] == quantize.findings[: len(quantize.facts["notes"])]  # type: ignore[arg-type]
    assert "percentile=99 changes nothing" in quantize.findings[0]
    assert not any("percentile=99" in finding for finding in (*load.findings, *export.findings))
