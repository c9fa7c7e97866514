"""What a recipe's keys may hold, whatever YAML makes of what was typed."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edgepipe.recipe.schema import validate


@pytest.mark.parametrize("value", [[1, 2], {"arm64": True}, 7, None, True])
def test_a_place_of_proof_that_is_no_name_is_refused_in_words(value: Any) -> None:
    content = {
        "name": "r",
        "model": {"source": "onnx", "path": "m.onnx"},
        "data": {"source": "digits"},
        "verify": [value],
    }
    with pytest.raises(ValidationError, match="no target of verification"):
        validate(content)
