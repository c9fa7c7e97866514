"""What a kit says begins with the method, and ends with what to do."""

from __future__ import annotations

from typing import Protocol

import pytest

from edgepipe.errors import DataError
from edgepipe.testing import Broken
from edgepipe.testing.broken import call, complete, json_only, must, refuses


def test_a_broken_promise_is_a_failed_assertion_that_names_the_method() -> None:
    must(True, "It.does", "nothing")
    with pytest.raises(AssertionError, match=r"^It\.does: nothing$"):
        must(False, "It.does", "nothing")
    with pytest.raises(Broken, match=r"^It\.does: raised ZeroDivisionError: "):
        call("It.does", lambda: 1 / 0)
    assert call("It.does", max, 1, 2) == 2


def test_a_refusal_must_be_one_for_people() -> None:
    def refuse() -> None:
        raise DataError("no")

    refuses("It.does", DataError, "nonsense", refuse)
    with pytest.raises(Broken, match=r"^It\.does: takes nonsense: raise edgepipe\.errors\.DataError"):
        refuses("It.does", DataError, "nonsense", lambda: None)
    with pytest.raises(Broken, match=r"^It\.does: nonsense ends in KeyError"):
        refuses("It.does", DataError, "nonsense", lambda: {}["x"])


def test_what_a_noun_gives_must_have_all_of_its_protocol() -> None:
    class Wanted(Protocol):
        timed: bool

        def answer(self) -> int: ...

    class Given:
        timed = True

    with pytest.raises(Broken, match=r"^Given\.answer: is not defined, and `It\.gives` must give .* all of Wanted"):
        complete("It.gives", Given(), Wanted)
    Given.answer = lambda _: 1  # type: ignore[attr-defined]
    complete("It.gives", Given(), Wanted)


def test_what_is_no_json_is_told_with_its_place() -> None:
    json_only("It.facts", {"a": [1, None, "x"]})
    with pytest.raises(Broken, match=r"^It\.facts: it\['a'\]\[0\] is nan"):
        json_only("It.facts", {"a": [float("nan")]})
