"""The process with bounds of `first_run`: loads or opens the file that the request names, runs it, replies."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgepipe.base.bounded import is_memory, limit_memory
from edgepipe.contract import Signature
from edgepipe.contract.artifact import ONNX_FILE
from edgepipe.errors import EdgepipeError, MeasureError
from edgepipe.onnx.answers import session_answers
from edgepipe.sources import first_run
from edgepipe.sources.onnx_file import OnnxModel


def main() -> None:
    """Reply `memory` where it ran out, `refused` with the loader's own words, `loaded` where it was, else nothing."""
    first_run.in_bounds = True
    folder = Path(sys.argv[1])
    asked = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    limit_memory(asked["gigabytes"])
    ends = time.monotonic() + 60 * asked["minutes"]
    reply: dict[str, Any] = {}
    try:
        if "file" in asked:
            _run(Path(asked["file"]), folder, 1, ends)
        else:
            _load(asked, folder, ends)
            reply = {"loaded": True}
    except MemoryError:
        reply = {"memory": True}
    except Exception as error:  # what the runtime does not run is told in words by whoever opens the file next
        said = str(error)
        loads = isinstance(error, EdgepipeError) and not isinstance(error, MeasureError)
        refused = {"refused": said} if loads else {}
        reply = {"memory": True} if is_memory(said) else refused
    (folder / "reply.json").write_text(json.dumps(reply), encoding="utf-8")


def _load(asked: dict[str, Any], folder: Path, ends: float) -> None:
    out = folder / "out"
    out.mkdir()
    settings = OnnxModel.model_validate(asked["settings"])
    try:
        settings.load(out, Signature.model_validate(asked["signature"]), int(asked["seed"]), None)
    except EdgepipeError as error:
        raise type(error)(str(error).replace(settings.path, asked["shown"])) from None
    _run(out / ONNX_FILE, folder, int(asked["at_once"]), ends)


def _run(file: Path, folder: Path, at_once: int, ends: float) -> None:
    """A loop may turn once for zeros, and for ever for real examples: so on these, where there are any.

    And on many together, for sizes may be powers of their number; as many as a network may need the time for.
    """
    session = session_answers(file)
    saved = folder / first_run.EXAMPLES_FILE
    if not saved.is_file():
        return
    examples = np.load(saved, allow_pickle=False)
    began = time.monotonic()
    for example in examples:
        session(example[None])
    now = time.monotonic()
    each = max((now - began) / len(examples), 1e-6)
    several = min(at_once, int((ends - now) / 2 / each))
    if several > 1 and session.together(examples) > 1:
        session(np.resize(examples, (several, *examples.shape[1:])))


if __name__ == "__main__":
    main()
