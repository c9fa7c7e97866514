"""What is searched: how many points there are, and which of them are drawn."""

from __future__ import annotations

import math
import random
from pathlib import Path
from types import SimpleNamespace

from edgepipe.recipe.searched import Span
from edgepipe.search.space import Search, by_chance, first_of, number_of


def search(**space: list[str] | Span) -> Search:
    return Search(["recipe=r"], space, ["quality"], [], Path("out"), "")


def test_there_are_as_many_points_as_the_values_allow() -> None:
    assert search(a=["1", "2", "2"], b=Span(1, 5, whole=True)).points() == 10
    assert search(a=["1"], b=Span(0.1, 0.5, whole=False)).points() == math.inf


def test_searches_that_aim_at_the_same_are_one_and_others_are_not() -> None:
    assert search(a=["1"], b=["2"]).described() == search(b=["2"], a=["1"]).described()
    assert search(a=["1"]).described() != search(a=["2"]).described()


def test_a_number_is_written_as_an_override_has_it() -> None:
    assert number_of(3.0, Span(1, 5, whole=True)) == "3"
    assert first_of(Span(0.123456, 1, whole=False)) == "0.1235"
    assert first_of(["b", "a"]) == "b"


def test_what_is_drawn_by_chance_lies_in_its_span() -> None:
    chance = random.Random(0)
    assert {by_chance(Span(1, 3, whole=True), chance) for _ in range(50)} == {1, 2, 3}
    assert all(0.1 <= float(by_chance(Span(0.1, 0.2, whole=False), chance)) <= 0.2 for _ in range(50))
    assert {by_chance(["x", "y"], chance) for _ in range(50)} == {"x", "y"}


def test_cheap_trials_and_full_ones_have_folders_of_their_own() -> None:
    trial = SimpleNamespace(number=7)
    assert search(a=["1"]).place(trial, cheap=True) == Path("out/cheap/0007")
    assert search(a=["1"]).place(trial, cheap=False) == Path("out/trials/0007")
