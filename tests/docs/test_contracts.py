"""The page of the contracts says what the docstrings say."""

from __future__ import annotations

from tests.docs.contracts import PAGE, page


def test_the_page_is_as_the_docstrings_are() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: python -m tests.docs.contracts"
