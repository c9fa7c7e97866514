"""The process with bounds of `first_run`: loads or opens the file that the request names, runs it, replies."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgepipe.artifact import ONNX_FILE, Signature
from edgepipe.errors import EdgepipeError
from edgepipe.models import first_run, lower
from edgepipe.models.bounded import is_memory, limit_memory
from edgepipe.models.onnx_file import OnnxModel


def main() -> None:
    """Reply `memory` where it ran out, `refused` with the loader's own words, `loaded` where it was, else nothing."""
    first_run.in_bounds = True
    folder = Path(sys.argv[1])
    asked = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    limit_memory(asked["gigabytes"])
    reply: dict[str, Any] = {}
    try:
        if "file" in asked:
            _run(Path(asked["file"]), folder)
        else:
            _load(asked, folder)
            reply = {"loaded": True}
    except MemoryError:
        reply = {"memory": True}
    except Exception as error:  # what is no EdgepipeError is told in words by whoever opens the file next
        said = str(error)
        refused = {"refused": said} if isinstance(error, EdgepipeError) else {}
        reply = {"memory": True} if is_memory(said) else refused
    (folder / "reply.json").write_text(json.dumps(reply), encoding="utf-8")


def _load(asked: dict[str, Any], folder: Path) -> None:
    out = folder / "out"
    out.mkdir()
    settings = OnnxModel.model_validate(asked["settings"])
    try:
        settings.load(out, Signature.model_validate(asked["signature"]), int(asked["seed"]), None)
    except EdgepipeError as error:
        raise type(error)(str(error).replace(settings.path, asked["shown"])) from None
    _run(out / ONNX_FILE, folder)


def _run(file: Path, folder: Path) -> None:
    """A loop may turn once for zeros, and for ever for real examples: so on these, where there are any."""
    answers = lower.session_answers(file)
    if (folder / first_run.EXAMPLES_FILE).is_file():
        for example in np.load(folder / first_run.EXAMPLES_FILE, allow_pickle=False):
            answers(example[None])


if __name__ == "__main__":
    main()
