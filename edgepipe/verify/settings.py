"""Names and numbers of verification; imports nothing, so that a recipe is read at once."""

from __future__ import annotations

EXAMPLES = 200
"""Evaluation examples that every place answers, unless a recipe says otherwise; a wrong answer is 0.5%."""

AGREEMENT = 0.995
"""Share of examples that must be answered as on this machine."""
