"""How an ONNX file is written: without constants that nobody reads, within what one file holds, and opened once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgepipe.errors import EdgepipeError, PassError

if TYPE_CHECKING:
    import onnx

LARGEST_BYTES = 2**31 - 1
"""Of a protobuf message, which an ONNX file with its weights inside is."""


def write(model: onnx.ModelProto, file: Path, where: str, error: type[EdgepipeError] = PassError) -> None:
    """Save a model as one file that ONNX Runtime opens, in place of what is there.

    Args:
        where: what the message begins with: the step's label or the model's path.
    Raises:
        EdgepipeError: of the type that was asked for: it is too large, or the runtime does not open it.
    """
    import onnx

    from edgepipe.onnx.session import words
    from edgepipe.onnx.wiring import drop_unread

    drop_unread(model.graph)
    check_size(model, where, error)
    onnx.save(model, file)
    try:
        open_quietly(file)
    except Exception as found:
        file.unlink()
        why = " ".join(words(found).split()).replace(f"Load model from {file} failed:", "")
        raise error(f"{where}: ONNX Runtime cannot open what was written: {why[:300]}") from None


def open_quietly(file: Path) -> None:
    """Whether the runtime opens a file.

    Raises:
        MeasureError: it does not.
    """
    from edgepipe.onnx.session import Session
    from edgepipe.onnx.session_options import quiet_options

    options = quiet_options()
    options.intra_op_num_threads = 1  # to open it, no more
    Session(file, options)


def check_size(model: onnx.ModelProto, where: str, error: type[EdgepipeError] = PassError) -> None:
    """Refuse a model whose weights do not fit into one file.

    Raises:
        EdgepipeError: of the type that was asked for.
    """
    stored = sum(len(item.raw_data) for item in model.graph.initializer)
    if stored <= LARGEST_BYTES and (stored > LARGEST_BYTES // 2 or model.ByteSize() <= LARGEST_BYTES):
        return
    raise error(f"{where}: {too_large(stored)}")


def too_large(stored: int) -> str:
    """What to say of weights that take more bytes than one file holds."""
    return (
        f"its weights take {stored / 1e9:.1f} GB; an ONNX file with its weights inside, which edgepipe works on, holds "
        f"{LARGEST_BYTES / 1e9:.1f} GB. Take a smaller model, or one that is quantized already"
    )
