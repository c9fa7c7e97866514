"""A pytest fixture that runs a recipe and judges it; pytest finds it through its entry point.

def test_recipe(edgepipe_run):
    edgepipe_run("resnet18_int8", baseline="baselines/resnet18_int8.json")
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgepipe.base.files import is_file

if TYPE_CHECKING:  # a project's other tests must not pay for these imports
    from edgepipe.records.metrics import Metrics


@pytest.fixture
def edgepipe_run(tmp_path: Path) -> Callable[..., Metrics]:
    """`edgepipe_run(recipe, *overrides, baseline=None)`: the metrics of a run that passed.

    The run's folder lies in `tmp_path`; steps come from the project's store (`outputs/.store`), so an
    unchanged recipe costs seconds. With a baseline the regression gate decides; without one, the
    recipe's goal does.
    """
    count = 0

    def run(recipe: str, *overrides: str, baseline: str | Path | None = None) -> Metrics:
        nonlocal count
        from edgepipe.__main__ import main
        from edgepipe.records.gate import compare, fitting, incomparable, read_baseline
        from edgepipe.records.metrics import read_metrics
        from edgepipe.report.gate import markdown

        expected = read_baseline(Path(baseline)) if baseline is not None else None
        count += 1
        folder = tmp_path / f"edgepipe_{count}"
        code = main([f"recipe={recipe}", *overrides, f"hydra.run.dir={folder}"])
        if not is_file(folder / "metrics.json"):
            pytest.fail(f"edgepipe recipe={recipe}: refused with exit code {code}; see the captured output", False)
        metrics = read_metrics(folder)
        reasons = incomparable(metrics)
        if reasons:
            pytest.fail(f"edgepipe recipe={recipe}: " + "; ".join(reasons), False)
        if expected is None:
            missed = [f"{goal.name}: {goal.got}, goal {goal.wanted}" for goal in metrics.goal if not goal.met]
            if missed:
                pytest.fail(f"edgepipe recipe={recipe}: " + "; ".join(missed), False)
            return metrics
        if expected.recipe != metrics.recipe:
            pytest.fail(f"{baseline}: recipe: it is for '{expected.recipe}', the run is of '{metrics.recipe}'", False)
        fitting(metrics, expected, str(baseline))
        verdicts = compare(metrics, expected)
        if any(item.status in ("worse", "missing") for item in verdicts):
            pytest.fail(markdown(metrics, verdicts), False)
        return metrics

    return run
