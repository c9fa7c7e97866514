"""What a task tells of each class: the class that lost most stands first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from edgepipe.report.classes import classes_section


def _page(base: dict[str, float], final: dict[str, float]) -> str:
    told: Any = SimpleNamespace(
        baseline=SimpleNamespace(by_class={"IoU": base}), final=SimpleNamespace(by_class={"IoU": final})
    )
    return "".join(classes_section(told))


def test_classes_stand_in_the_order_of_what_they_lost() -> None:
    text = _page({"road": 0.9, "sky": 0.8, "tree": 0.7}, {"road": 0.9, "sky": 0.5, "tree": 0.75, "new": 0.1})
    assert "IoU of each class" in text
    assert text.index("sky") < text.index("road") < text.index("tree")
    assert "-0.3000" in text


def test_a_run_without_classes_has_no_such_table() -> None:
    nothing: Any = SimpleNamespace(baseline=None, final=SimpleNamespace(by_class={}))
    assert list(classes_section(nothing)) == []
