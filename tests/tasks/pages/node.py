"""A page's module in Node on arrays of Python."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NODE = None if shutil.which("node") else "node is missing: apt-get install nodejs"
PAGES = Path(__file__).parents[3] / "edgepipe" / "tasks" / "pages"
_TYPES = {
    "float32": "Float32Array",
    "uint8": "Uint8Array",
    "int32": "Int32Array",
    "int64": "Float64Array",  # as feed.mjs hands them on
    "bool": "Uint8Array",
}


def in_node(module: Path, script: str, given: Any = None) -> Any:
    """What `script` returns; `page` is the module, `arrays(given.NAME)` makes a page's outputs of `packed` ones."""
    code = (
        f"import * as page from '{module.as_uri()}'; import {{readFileSync}} from 'fs';"
        "const given = JSON.parse(readFileSync(0, 'utf8'));"
        "const arrays = (all) => Object.fromEntries(all.map(([name, type, kind, dims, flat]) =>"
        "[name, {data: globalThis[kind].from(flat, Number), dims, type}]));"
        f"const found = await (async () => {{ {script} }})();"
        "console.log(JSON.stringify(found, (_, value) => ArrayBuffer.isView(value) ? Array.from(value) : value));"
    )
    node = ["node", "--input-type=module", "-e", code]
    ended = subprocess.run(node, input=json.dumps(given), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def packed(outputs: Mapping[str, NDArray[Any]]) -> list[list[Any]]:
    """Outputs of one example for `arrays`."""
    return [
        [name, value.dtype.name, _TYPES[value.dtype.name], list(value.shape), _flat(value)]
        for name, value in outputs.items()
    ]


def _flat(value: NDArray[Any]) -> list[Any]:
    flat = value.ravel().tolist()
    return flat if np.isfinite(value).all() else [str(each).replace("inf", "Infinity") for each in flat]


def answered(name: str, outputs: Mapping[str, NDArray[Any]], settings: Any, **about: Any) -> Any:
    """What the module of this name says of one example."""
    given = {"outputs": packed(outputs), "settings": settings, "about": {"classes": [], "size": None, **about}}
    script = "return page.answered(arrays(given.outputs), given.settings, given.about);"
    return in_node(PAGES / f"{name}.mjs", script, given)
