"""What of a command line is fixed, and what a search goes over."""

from __future__ import annotations

import pytest

from edgepipe.__main__ import main
from edgepipe.errors import RecipeError
from edgepipe.recipe.searched import Span, search_space


def test_a_search_among_too_many_values_names_the_interval(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "recipe=resnet18_int8", "--trials", "1", "seed=range(0,1000000000)"]) == 2
    assert "seed: 1,000,000,000 values: 10,000 are the most" in capsys.readouterr().err


@pytest.mark.parametrize("span", ["interval(5,1)", "interval(1,1e400)", "interval(-1e308,1e308)", "interval(nan,1)"])
def test_a_search_over_no_span_is_refused(span: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "recipe=resnet18_int8", "--trials", "1", f"passes.prune.ratio={span}"]) == 2
    assert "passes.prune.ratio: interval(" in capsys.readouterr().err


def test_what_is_swept_is_sampled_and_the_rest_is_fixed() -> None:
    fixed, space = search_space(
        ["recipe=r", "a.b=interval(0.1,0.7)", "c=1,2", "d=int(interval(1,5))", "model=choice(x,y)"]
    )
    assert fixed == ["recipe=r"]
    assert space == {"a.b": Span(0.1, 0.7, False), "c": ["1", "2"], "d": Span(1, 5, True), "model": ["x", "y"]}
    with pytest.raises(RecipeError, match="nothing to search"):
        search_space(["recipe=r", "a=1"])
