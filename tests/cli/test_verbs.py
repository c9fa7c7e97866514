"""The table of verbs: each names a function, the help names each, and no verb is imported before it is called."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from edgepipe.cli.verbs import HELP, VERBS, WITHOUT_OPTIONS, verb


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_is_a_file_of_its_own_with_one_function_that_runs_it(name: str) -> None:
    module, _, function = VERBS[name].partition(":")
    assert (module, function) == (f"edgepipe.cli.{name}", f"main_{name}")
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    defined = [
        item.name for item in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body if hasattr(item, "name")
    ]
    assert [item for item in defined if item.startswith("main_")] == [function]


def test_the_help_names_every_verb() -> None:
    assert [name for name in VERBS if f"edgepipe {name} " not in HELP and f"edgepipe {name}\n" not in HELP] == []
    assert set(WITHOUT_OPTIONS) < set(VERBS)


def test_a_verb_is_what_its_table_says() -> None:
    assert verb("schema").__name__ == "main_schema"


def test_the_help_imports_no_verb_and_no_library() -> None:
    code = (
        "import sys; from edgepipe.__main__ import main; main(['--help'])\n"
        "heavy = ('numpy', 'torch', 'onnx', 'onnxruntime', 'pydantic', 'rich', 'hydra', 'yaml')\n"
        "verbs = [m for m in sys.modules if m.startswith('edgepipe.cli.') and m != 'edgepipe.cli.verbs']\n"
        "sys.exit(str(verbs + [m for m in heavy if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"
