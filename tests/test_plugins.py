"""Names of passes and sources to their classes."""

from __future__ import annotations

import pytest

from edgepipe import plugins
from edgepipe.contract import Pass
from edgepipe.errors import RecipeError


def test_every_built_in_name_is_a_pass_with_both_kinds() -> None:
    for name in plugins.PASSES:
        assert issubclass(plugins.pass_class(name), Pass), name


def test_a_slip_in_a_name_is_told_with_the_name_that_was_meant() -> None:
    with pytest.raises(RecipeError, match=r"unknown pass 'quantise_static'\. Did you mean 'quantize_static'"):
        plugins.pass_class("quantise_static")
    with pytest.raises(RecipeError, match=r"unknown data source 'digit'\. Did you mean 'digits'"):
        plugins.source_class("data", "digit")
    with pytest.raises(RecipeError, match="unknown model source None"):
        plugins.source_class("model", None)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("edgepipe.nowhere:It", "cannot be loaded from 'edgepipe.nowhere:It'"),
        ("edgepipe.errors:PassError", "is not a subclass of edgepipe.contract.Pass"),
        ("edgepipe.contract:Pass", "does not declare reads and writes and apply"),
    ],
)
def test_what_a_name_leads_to_must_be_a_whole_pass(target: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "pass_names", lambda: {"odd": target})
    with pytest.raises(RecipeError, match=said):
        plugins.pass_class("odd")
