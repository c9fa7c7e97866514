"""The process with bounds of `checkpoint`: reads a checkpoint, writes its tensors as safetensors, replies."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from edgepipe.base.bounded import is_memory, limit_memory
from edgepipe.errors import EdgepipeError, ModelError
from edgepipe.torch import checkpoint
from edgepipe.torch.artifact import read_checkpoint


def main() -> None:
    """Reply `memory` where it ran out, `refused` with the reader's own words, else nothing."""
    checkpoint.in_bounds = True
    folder = Path(sys.argv[1])
    asked = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    limit_memory(asked["gigabytes"])
    reply: dict[str, Any] = {}
    try:
        path = Path(asked["path"])
        weights = read_checkpoint(path)
        size = checkpoint.written_bytes(weights)
        if size > max(checkpoint.ALWAYS_BYTES, checkpoint.MOST_TIMES * path.stat().st_size):
            raise ModelError(f"model.weights: {path}: its tensors are {size:,} bytes when each has its own: refused")
        save_file({key: value.contiguous().clone() for key, value in weights.items()}, folder / checkpoint.WEIGHTS)
    except MemoryError:
        reply = {"memory": True}
    except EdgepipeError as error:
        said = str(error).replace(asked["path"], asked["shown"])
        reply = {"memory": True} if is_memory(said) else {"refused": said}
    except Exception as error:
        reply = {"memory": True} if is_memory(str(error)) else {"error": " ".join(str(error).split())[:300]}
    (folder / "reply.json").write_text(json.dumps(reply), encoding="utf-8")


if __name__ == "__main__":
    main()
