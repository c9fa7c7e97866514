"""edgepipe's own files as the rules read them: paths, parsed text, and the names that are registered."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from edgepipe.plugins import NOUNS

ROOT = Path(__file__).parents[2]


@cache
def modules(folder: str = "edgepipe") -> tuple[str, ...]:
    """Every Python file below a folder of the repository, as `edgepipe/base/files.py`."""
    return tuple(sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.py")))


@cache
def text_of(module: str) -> str:
    """UTF-8 text of a file named as `modules` names it."""
    return (ROOT / module).read_text(encoding="utf-8")


@cache
def tree_of(module: str) -> ast.Module:
    """The same, parsed."""
    return ast.parse(text_of(module))


def room_of(module: str) -> str:
    """`quant` of `edgepipe/quant/place/layers.py`; of a file in the root its own name, `plugins`."""
    return module.split("/")[1].removesuffix(".py")


def _own(target: str) -> str:
    """A pattern of the files that `edgepipe.a.b:C` stands for; `file` in a folder stands for the whole folder."""
    path = target.partition(":")[0].replace(".", "/")
    return f"{path.removesuffix('/file')}/*.py" if path.endswith("/file") else f"{path}.py"


FORMATS = ("openvino", "ort", "pte", "tflite")
PLACES = {"arm64": "arm64", "browser_wasm": "browser", "x86_avx2": "x86"}

REGISTERED: dict[str, str] = {
    **{name: _own(target) for noun in NOUNS.values() for name, target in noun.built_in.items()},
    **{name: f"edgepipe/formats/{name}*.py" for name in FORMATS},
    **{name: f"edgepipe/verify/places/{file}.py" for name, file in PLACES.items()},
}
"""Names of passes, model and data sources, tasks, formats and places, each with a pattern of the files that know it."""
