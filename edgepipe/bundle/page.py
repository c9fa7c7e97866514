"""The page of a bundle: files that are the same for every task, and the task's own module that reads its answers."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgepipe.contract import Signature, Task, Tensor
from edgepipe.errors import ModelError

FILES = Path(__file__).with_name("files")
FIXED = (
    *("index.html", "serve.py"),
    *("app.mjs", "feed.mjs", "microphone.mjs", "numbers.mjs", "pixels.mjs", "show.mjs", "sound.mjs", "worklet.mjs"),
)
UNDER = "page"
"""Folder of the task's module and of those that it imports."""
_IMPORTED = re.compile(r"""\bfrom\s*["']\./([\w.-]+\.mjs)["']""")


def put_page(
    folder: Path, task: Task, outputs: Mapping[str, NDArray[Any]], signature: Signature
) -> dict[str, Any] | None:
    """Copy the page's files; what bundle.json says of the task's module, None: its outputs are shown as numbers.

    Args:
        outputs: of some examples, by name; the first axis of each counts them.
    """
    for name in FIXED:
        shutil.copyfile(FILES / name, folder / name)
    given = [
        Tensor(name=name, dtype=value.dtype.name, shape=value.shape[1:])
        for name, value in outputs.items()
        if value.dtype.kind in "fiub"
    ]
    if not task.page or task.misfit(given) is not None:
        return None
    (folder / UNDER).mkdir(exist_ok=True)
    files = module_files(task.page)
    for file in files:
        shutil.copyfile(file, folder / UNDER / file.name)
    return {"module": f"{UNDER}/{files[0].name}", "settings": task.for_page(outputs, signature)}


def module_files(page: str) -> list[Path]:
    """The module that `Task.page` names, and those beside it that it imports.

    Raises:
        ModelError: it is not there.
    """
    package, _, inside = page.partition("/")
    spec = importlib.util.find_spec(package)
    first = None if spec is None or spec.origin is None else Path(spec.origin).parent / inside
    if first is None or not first.is_file():
        raise ModelError(f"task's page '{page}': no such module: give PACKAGE/FOLDER/FILE.mjs of an installed package")
    found = [first]
    for file in found:  # grows on the way
        for name in _IMPORTED.findall(file.read_text(encoding="utf-8")):
            if file.with_name(name) not in found:
                found.append(file.with_name(name))
    return found
