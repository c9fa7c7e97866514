"""What every converter's fresh process does around the conversion itself: read the request, write the reply."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.onnx.layout import Layout, arranged, layout_of

Convert = Callable[[dict[str, Any], NDArray[np.float32], Path], tuple[NDArray[Any], dict[str, Any]]]
"""`convert(request, examples, folder)` writes folder/model.onnx; returns the framework's answers and the reply."""


class Refused(Exception):
    """A reason in words, meant for the user."""


def run(convert: Convert) -> None:
    """Answer the request in the folder that the command line names."""
    folder = Path(sys.argv[1])
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    examples = np.load(folder / "examples.npy", allow_pickle=False)
    try:
        answers, reply = convert(request, examples, folder)
        np.save(folder / "answers.npy", np.asarray(answers, np.float32), allow_pickle=False)
    except Refused as error:
        reply = {"error": str(error)}
    except Exception as error:
        text = " ".join(str(error).split())
        reply = {"error": f"{type(error).__name__}: {text[:500]}"}
    (folder / "reply.json").write_text(json.dumps(reply), encoding="utf-8")


def placed(examples: NDArray[np.float32], wanted: list[int | None], pictures: bool) -> tuple[NDArray[Any], Layout]:
    """The examples as the model wants them.

    Raises:
        Refused: no arrangement fits; names both shapes.
    """
    layout = layout_of(examples.shape[1:], wanted, pictures=pictures)
    if layout is None:
        shown = ["any" if size is None else size for size in wanted]
        raise Refused(
            f"its input is {shown} per example, the data gives {list(examples.shape[1:])}. "
            "Set data.image_size and data.channels (or the arrays) to match"
        )
    return arranged(examples, layout), layout
