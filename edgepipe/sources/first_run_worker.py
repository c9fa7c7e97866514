"""The process with bounds of `first_run`: loads or opens the file that the request names, runs it, replies."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.base.bounded import is_memory, limit_memory
from edgepipe.contract import Signature
from edgepipe.contract.artifact import ONNX_FILE
from edgepipe.errors import EdgepipeError, MeasureError
from edgepipe.onnx.answers import NamedAnswers
from edgepipe.onnx.batch_axis import count_of, cut, resized
from edgepipe.onnx.sequences import SequenceSession
from edgepipe.onnx.session import Session
from edgepipe.onnx.session_options import asking
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
            _run(Path(asked["file"]), folder, asked, ends)
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
    signature = Signature.model_validate(asked["signature"])
    given = _examples(asked, folder)
    example = cut(given, 0, 1) if given else first_run.example_of(signature, None)
    try:
        settings.load_with(example, out, signature, int(asked["seed"]))
    except EdgepipeError as error:
        raise type(error)(str(error).replace(settings.path, asked["shown"])) from None
    _run(out / ONNX_FILE, folder, {**asked, "state": signature.state, "steps": signature.steps}, ends)


def _run(file: Path, folder: Path, asked: dict[str, Any], ends: float) -> None:
    """A loop may turn once for zeros, and for ever for real examples: so on these, where there are any.

    And on many together, for sizes may be powers of their number; as many as a network may need the time for.
    """
    session = Session(file, asking(), name=asked.get("shown"))
    if asked["state"]:
        session = SequenceSession(file, asked["state"], asked["steps"], asking())
    answers = NamedAnswers(session, [item.name for item in session.outputs if item.dtype is not None])
    examples = _examples(asked, folder)
    if not examples:
        return
    count = count_of(examples)
    began = time.monotonic()
    for number in range(count):
        answers(cut(examples, number, number + 1))
    now = time.monotonic()
    each = max((now - began) / count, 1e-6)
    several = min(int(asked.get("at_once", 1)), int((ends - now) / 2 / each))
    if several > 1 and answers.together(examples) > 1:
        answers(resized(examples, several))


def _examples(asked: dict[str, Any], folder: Path) -> dict[str, NDArray[Any]]:
    """Those that were saved, by name, (n, ...) each; {}: none."""
    return {
        name: np.load(folder / first_run.EXAMPLES_FILE.format(number), allow_pickle=False)
        for number, name in enumerate(asked["inputs"])
    }


if __name__ == "__main__":
    main()
