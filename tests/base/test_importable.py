"""What could be imported is known without importing it."""

from __future__ import annotations

import sys

from edgepipe.base.importable import importable


def test_a_module_is_found_and_not_imported() -> None:
    sys.modules.pop("wave", None)
    assert importable("wave")
    assert "wave" not in sys.modules
    assert not importable("no_such_module")
    assert not importable("no_such_package.module")
