"""example.py as a module."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from edgepipe.bundle.page import FILES
from edgepipe.contract import Signature


def loaded(folder: Path, signature: Signature, monkeypatch: pytest.MonkeyPatch) -> Any:
    """example.py as a module, beside a manifest with this signature."""
    (folder / "bundle.json").write_text(json.dumps({"signature": signature.model_dump(mode="json")}))
    shutil.copyfile(FILES / "example.py", folder / "example.py")
    spec = importlib.util.spec_from_file_location("example_of_a_bundle", folder / "example.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module
