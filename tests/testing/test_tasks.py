"""Every built-in task keeps its contract, and the kit says of a broken one what is broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgepipe.contract import Measure, Preprocessing, Signature, Task
from edgepipe.plugins import NOUNS, find
from edgepipe.tasks.classification import Classification
from edgepipe.tasks.ctc_text import CtcText
from edgepipe.tasks.detection.task import Detection
from edgepipe.tasks.embedding import Embedding
from edgepipe.tasks.multilabel import Multilabel
from edgepipe.tasks.regression import Regression
from edgepipe.testing import Broken, check_task
from edgepipe.testing.toys import SIGNATURE
from tests.tasks.detection.scenes import crowd, detections
from tests.tasks.written import SYMBOLS, TEXTS, scores_of

_PICTURES = 0.8 * np.random.default_rng(0).random((12, 3, 16, 16), np.float32)
_SCENES = crowd(2, count=48)
_WRITTEN = [TEXTS[row % len(TEXTS)] for row in range(48)]
_TAGS = np.random.default_rng(0).integers(0, 5, (48, 9))
_TAGGED = (np.eye(5)[_TAGS] + 0.1 * np.random.default_rng(1).random((48, 9, 5))).astype(np.float32)
_TAGGING = SIGNATURE.model_copy(update={"classes": ("O", "B-X", "I-X", "B-Y", "I-Y")})
GIVEN: dict[str, dict[str, Any]] = {
    "image": {
        "outputs": {"output": _PICTURES + 0.02 * np.random.default_rng(1).random(_PICTURES.shape, np.float32)},
        "labels": _PICTURES,
    },
    "detection": {
        "task": Detection(max_boxes=30),
        "outputs": {"output": detections(_SCENES[0])},
        "labels": _SCENES[1],
        "signature": Signature(
            input_shape=(3, 512, 512), classes=("a", "b", "c"), preprocessing=Preprocessing(image_size=(512, 512))
        ),
    },
    "ctc_text": {
        "task": CtcText(alphabet=SYMBOLS),
        "outputs": {"scores": scores_of(_WRITTEN)},
        "labels": np.array(_WRITTEN),
    },
    "tokens": {"outputs": {"logits": _TAGGED}, "labels": _TAGS, "signature": _TAGGING},
}
"""What a task is held with that takes no vector of scores."""


@pytest.mark.parametrize("name", NOUNS["tasks"].built_in)
def test_a_built_in_task_keeps_its_contract(name: str) -> None:
    check_task(**{"task": find("tasks", name), **GIVEN.get(name, {})})


def broken(base: type[Task], **methods: Any) -> type[Task]:
    """A task of which one promise is broken."""
    namespace = {"__doc__": "Broken.", "__module__": __name__, **methods}
    if "measures" in methods:
        namespace["__annotations__"] = {"measures": "ClassVar[tuple[Measure, ...]]"}
    return type(base)("Odd", (base,), namespace)


def changed(method: str, change: Callable[[Any], Any]) -> dict[str, Any]:
    """A method whose result is another one."""
    return {method: lambda self, *given: change(getattr(super(type(self), self), method)(*given))}


def _flipped(base: type[Task]) -> dict[str, Any]:
    first, *rest = base.measures
    return {"measures": (Measure(first.name, first.title, "lower", "d", change=first.change), *rest)}


def _scribbles(self: Any, outputs: Any, *given: Any) -> Any:
    found = super(type(self), self).answers(outputs, *given)
    next(iter(outputs.values()))[:] = 0
    return found


def _constant(found: dict[str, Any]) -> dict[str, Any]:
    return {name: figure._replace(value=0.5, ci95=None) for name, figure in found.items()}


def _other_sign(found: dict[str, Any]) -> dict[str, Any]:
    return {name: figure._replace(value=-figure.value, ci95=None) for name, figure in found.items()}


_CALLS = [0]


def _counts_calls(found: dict[str, Any]) -> dict[str, Any]:
    _CALLS[0] += 1
    return {name: values + _CALLS[0] for name, values in found.items()}


CASES: dict[str, tuple[type[Task], dict[str, Any], str]] = {
    "a direction": (Regression, _flipped(Regression), r"Odd\.measures: lower is better of 'r2'"),
    "no measures": (Regression, {"measures": ()}, r"Odd\.measures: is empty"),
    "a missing figure": (
        Multilabel,
        changed("measured", lambda found: dict(list(found.items())[:1])),
        r"Odd\.measured: gives \['f1'\], and measures are",
    ),
    "a constant": (
        Embedding,
        changed(
            "measured", lambda found: {name: figure._replace(value=0.5, ci95=None) for name, figure in found.items()}
        ),
        r"Odd\.measured: the answers of a third of the examples mixed up are as good",
    ),
    "an interval elsewhere": (
        Multilabel,
        changed("measured", lambda found: {name: figure._replace(ci95=(2.0, 3.0)) for name, figure in found.items()}),
        r"Odd\.measured: 'f1' is .* outside of its interval from 2",
    ),
    "the sign of a change": (
        Regression,
        changed(
            "compared",
            lambda found: {name: figure._replace(value=-figure.value, ci95=None) for name, figure in found.items()},
        ),
        r"Odd\.compared: says -",
    ),
    "alike to others": (
        Classification,
        changed("alike", lambda found: ~found),
        r"Odd\.alike: answers are not alike to themselves",
    ),
    "alike to all": (
        Regression,
        changed("alike", lambda found: found | True),
        r"Odd\.alike: answers are alike every",
    ),
    "one alike for all": (Regression, changed("alike", lambda found: found.all()), r"Odd\.alike: returned bool \(\)"),
    "any length": (Regression, {"possible": lambda *_: True}, r"Odd\.possible: takes the answers to 48 examples for"),
    "no length": (Regression, {"possible": lambda *_: False}, r"Odd\.possible: refuses its own answers"),
    "a batch's mean": (
        Regression,
        changed("answers", lambda found: {"values": found["values"] - found["values"].mean()}),
        r"Odd\.join: answers batch by batch, joined",
    ),
    "a last batch only": (Regression, {"join": lambda *given: given[-1][-1]}, r"Odd\.join: answers batch by batch"),
    "a counter": (Regression, changed("answers", _counts_calls), r"Odd\.answers: the same outputs give other answers"),
    "scribbling": (Regression, {"answers": _scribbles}, r"Odd\.answers: "),
    "objects": (
        Regression,
        changed("answers", lambda found: {**found, "text": np.array(["a"] * len(found["values"]))}),
        r"Odd\.answers: 'text' is no array of numbers",
    ),
    "NaN": (
        Regression,
        {"answers": lambda *given: {"values": next(iter(given[1].values())).astype(np.float32)}},
        r"Odd\.answers: takes outputs of NaN: raise edgepipe\.errors\.MeasureError",
    ),
    "a crash of words": (
        Regression,
        {"targets": lambda *given: {"labels": given[1].astype(np.float32).reshape(len(given[1]), -1)}},
        r"Odd\.targets: words as labels ends in ValueError",
    ),
    "no targets": (
        Classification,
        {"targets": lambda *given: {"labels": given[1]["nothing"]}},
        r"Odd\.targets: raised IndexError.*No labels of the kit fit",
    ),
    "refuses all": (Regression, {"misfit": lambda *_: "no"}, r"Odd\.misfit: refuses the outputs that this check"),
    "takes all": (Classification, {"misfit": lambda *_: None}, r"Odd\.misfit: has nothing against float32 \[5, 4\]"),
    "loses to itself": (
        Classification,
        {"lost": lambda *_: np.arange(3)},
        r"Odd\.lost: answers lost examples to themselves",
    ),
    "says nothing": (Classification, {"say": lambda *_: ""}, r"Odd\.say: says nothing of an example"),
    "a note": (Regression, {"notes": lambda *_: "one"}, r"Odd\.notes: returned 'one', and a list"),
    "a loss of each": (
        Classification,
        {"loss": lambda *given: given[1].sum(dim=1)},
        r"Odd\.loss: is no scalar tensor",
    ),
    "nothing right": (Embedding, {"targets_of": lambda *_: None}, r"Odd\.targets_of: gives nothing"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_broken_promise_is_told_with_the_method(case: str) -> None:
    base, methods, said = CASES[case]
    with pytest.raises(Broken, match=said):
        check_task(broken(base, **methods))


def test_what_lacks_a_description_or_a_docstring_is_told() -> None:
    class Bare(Regression):
        most: int = 3

    with pytest.raises(Broken, match="Bare: has no docstring"):
        check_task(Bare)
    Bare.__doc__ = "Bare."
    with pytest.raises(Broken, match=r"Bare\.most: has no Field\(description=…\)"):
        check_task(Bare)


def test_what_is_no_task_is_told() -> None:
    with pytest.raises(Broken, match=r"int: is no subclass of edgepipe\.contract\.Task"):
        check_task(int)  # type: ignore[arg-type]
    with pytest.raises(Broken, match=r"Task\.alike: is not defined, and every task has it"):
        check_task(Task)  # type: ignore[type-abstract]
