"""Formats keep their contract, and the kit says of a broken one what is broken."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from unittest import SkipTest

import numpy as np
import pytest

from edgepipe.contract import Format, Written
from edgepipe.errors import PassError
from edgepipe.onnx.session import Session
from edgepipe.plugins import NOUNS, find
from edgepipe.testing import Broken, check_format


@pytest.mark.parametrize("name", NOUNS["formats"].built_in)
def test_a_built_in_format_keeps_its_contract(name: str) -> None:
    check_format(find("formats", name))


class Toy(Format):
    """A copy of the ONNX file."""

    def write(self, onnx: Path, out: Path, int8_layers: int) -> Written:  # noqa: ARG002
        path = Path(shutil.copy(onnx, out / "model.toy"))
        return Written((path,), Session(path.read_bytes()).ask)


def _lying(change: Any) -> Any:
    def write(self: Any, onnx: Path, out: Path, int8_layers: int) -> Written:
        written = Toy.write(self, onnx, out, int8_layers)
        return replace(written, answers=lambda given: change(written.answers(given)))

    return write


def _changed(**fields: Any) -> Any:
    return lambda self, onnx, out, layers: replace(Toy.write(self, onnx, out, layers), **fields)


def _beside(self: Any, onnx: Path, out: Path, layers: int) -> Written:
    (onnx.parent / "scratch").write_text("it", encoding="utf-8")
    return Toy.write(self, onnx, out, layers)


def _scribbles(self: Any, onnx: Path, out: Path, layers: int) -> Written:
    written = Toy.write(self, onnx, out, layers)
    onnx.write_bytes(onnx.read_bytes() + b"\x12\x00")
    return written


def _leaves(self: Any, onnx: Path, out: Path, layers: int) -> Written:
    (out / "log.txt").write_text("it", encoding="utf-8")
    return Toy.write(self, onnx, out, layers)


_COUNT = [0]


def _dated(self: Any, onnx: Path, out: Path, layers: int) -> Written:
    _COUNT[0] += 1
    written = Toy.write(self, onnx, out, layers)
    (out / "date.txt").write_text(str(_COUNT[0]), encoding="utf-8")
    return replace(written, files=(*written.files, out / "date.txt"))


def _first(found: Any) -> Any:
    return dict(list(found.items())[:1])


CASES: dict[str, tuple[Any, str]] = {
    "a path": (lambda _, onnx, *__: onnx, r"Odd\.write: returned .*, and a Written is wanted"),
    "no files": (_changed(files=()), r"Odd\.write: names no files"),
    "another's file": (_changed(files=(Path(__file__),)), r"Odd\.write: names .*, no file in the folder"),
    "a file beside": (_beside, r"Odd\.write: writes beside the ONNX file"),
    "scribbling": (_scribbles, r"Odd\.write: changes the ONNX file"),
    "a log": (_leaves, r"Odd\.write: leaves \['log\.txt'\]"),
    "a date": (_dated, r"Odd\.write: the same model gives other bytes"),
    "facts": (_changed(facts={"layers": np.int64(3)}), r"Odd\.write: facts: it\['layers'\] is"),
    "another name": (_lying(lambda found: {"y": found["scores"]}), r"Odd\.write: answers: gives outputs \['y'\]"),
    "one example": (_lying(lambda found: {"scores": found["scores"][:1]}), r"'scores' is \[1, 8\] for 5 examples"),
    "others": (_lying(lambda found: {"scores": found["scores"] * 1.1}), r"'scores' differs by up to"),
    "one of two": (_lying(_first), r"Odd\.write: answers: gives outputs \['sum'\]"),
}


def odd(**methods: Any) -> type[Format]:
    return type(Toy)("Odd", (Toy,), {"__doc__": "Odd.", "__module__": __name__, **methods})


def test_the_toy_keeps_its_contract_and_may_refuse_two_inputs() -> None:
    check_format(Toy)

    def one_input(self: Any, onnx: Path, out: Path, layers: int) -> Written:
        if len(Session(onnx).inputs) > 1:
            raise PassError("only one input")
        return Toy.write(self, onnx, out, layers)

    check_format(odd(write=one_input))


@pytest.mark.parametrize("case", CASES)
def test_a_broken_promise_is_told_with_the_method(case: str) -> None:
    write, said = CASES[case]
    with pytest.raises(Broken, match=said):
        check_format(odd(write=write))


def test_what_is_not_installed_is_skipped_and_says_what_installs_it() -> None:
    class Needs(Toy):
        """Needs."""

        needs: ClassVar[dict[str, str]] = {"no_such_module": "pip install it"}

    with pytest.raises(SkipTest, match="Needs needs no_such_module: pip install it"):
        check_format(Needs)
    with pytest.raises(Broken, match=r"Format\.write: is not defined, and every format has it"):
        check_format(Format)  # type: ignore[type-abstract]
