"""Places keep their contract, and the kit says of a broken one what is broken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from unittest import SkipTest

import numpy as np
import pytest

from edgepipe.contract import Place, PlaceAnswers
from edgepipe.onnx.session import Session
from edgepipe.plugins import NOUNS, find
from edgepipe.testing import Broken, check_place


@pytest.mark.parametrize("name", NOUNS["places"].built_in)
def test_a_built_in_place_keeps_its_contract(name: str) -> None:
    check_place(find("places", name))


class Here:
    """This processor."""

    timed = False
    name = "here"
    threads = 1

    def identity(self) -> dict[str, str]:
        return {"runtime": "1"}

    def answer(self, model: Path, inputs: Path, count: int, work: Path, done: Any) -> PlaceAnswers:  # noqa: ARG002
        found = Session(model).ask({"input": np.load(inputs / "0.npy")[:count]})
        done(count)
        return PlaceAnswers(found, "onnxruntime")


class Toy(Place):
    """Here."""

    each: ClassVar[tuple[type, ...]] = (Here,)

    def lacking(self) -> str | None:
        return None

    def processors(self) -> list[Any]:
        return [kind() for kind in self.each]


def odd(**methods: Any) -> type[Place]:
    return type(Toy)("Odd", (Toy,), {"__doc__": "Odd.", "__module__": __name__, **methods})


def processor(**methods: Any) -> type[Place]:
    return odd(each=(type("There", (Here,), methods),))


def _answers(change: Any) -> dict[str, Any]:
    return {"answer": lambda self, *given: change(Here.answer(self, *given))}


def _scribbles(self: Any, model: Path, inputs: Path, *given: Any) -> PlaceAnswers:
    found = Here.answer(self, model, inputs, *given)
    np.save(inputs / "0.npy", np.zeros(1))
    return found


def _all(self: Any, model: Path, inputs: Path, count: int, *given: Any) -> PlaceAnswers:
    return Here.answer(self, model, inputs, count + 2, *given)


_COUNT = [0]


def _counted(_: Any) -> dict[str, str]:
    _COUNT[0] += 1
    return {"runtime": str(_COUNT[0])}


class Nameless:
    """Has nothing of a processor but a time."""

    timed = False


CASES: dict[str, tuple[type[Place], str]] = {
    "nowhere": (odd(each=()), r"Odd\.processors: gives none"),
    "one name": (odd(each=(Here, Here)), r"Odd\.processors: two have one name"),
    "no processor": (odd(each=(Nameless,)), r"Nameless\.name: is not defined, and `Odd.processors` must give"),
    "no installer": (odd(installs=True), r"Odd\.install: is not defined, and `installs` promises it"),
    "an empty lack": (odd(lacking=lambda _: ""), r"Odd\.lacking: returned ''"),
    "no threads": (processor(threads=0), r"There\.threads: is 0"),
    "a number": (processor(identity=lambda _: {"version": 1}), r"There\.identity: returned \{'version': 1\}"),
    "another each time": (processor(identity=_counted), r"There\.identity: asked twice"),
    "a crash": (processor(answer=lambda *_: 1 / 0), r"There\.answer: raised ZeroDivisionError"),
    "scribbling": (processor(answer=_scribbles), r"There\.answer: changes what it was given"),
    "too many": (processor(answer=_all), r"There\.answer: 'scores' answers 7 of the first 5 examples"),
    "no runtime": (
        processor(**_answers(lambda found: replace(found, runtime=""))),
        r"There\.answer: does not say",
    ),
    "another name": (
        processor(**_answers(lambda found: replace(found, outputs={"y": found.outputs["scores"]}))),
        r"There\.answer: gives \['y'\], not \['scores'\]",
    ),
    "others": (
        processor(**_answers(lambda found: replace(found, outputs={"scores": found.outputs["scores"] * 2}))),
        r"There\.answer: 'scores' differs from here",
    ),
    "no times": (processor(timed=True), r"There\.answer: promises times"),
}


def test_the_toy_keeps_its_contract() -> None:
    check_place(Toy)


@pytest.mark.parametrize("case", CASES)
def test_a_broken_promise_is_told_with_the_method(case: str) -> None:
    kind, said = CASES[case]
    with pytest.raises(Broken, match=said):
        check_place(kind)


def test_what_the_machine_lacks_is_a_skip_that_says_how_to_get_it() -> None:
    with pytest.raises(SkipTest, match="Odd: plug it in"):
        check_place(odd(lacking=lambda _: "plug it in"))
    with pytest.raises(Broken, match=r"Place\.lacking: is not defined, and every place has it"):
        check_place(Place)  # type: ignore[type-abstract]
