"""What a checkpoint's pickle would make, known before PyTorch reads it; any but a plain one is read within bounds.

`weights_only=True` keeps code out, not size: sixty kilobytes may count to billions or copy one text a thousand times.
"""

from __future__ import annotations

import pickletools
from functools import reduce
from itertools import islice
from operator import add
from pathlib import Path

import torch

from edgepipe.base.bounded import answer, bound_of
from edgepipe.base.scratch import scratch
from edgepipe.errors import ModelError

WEIGHTS = "weights.safetensors"
MOST_TIMES, ALWAYS_BYTES = 4, 256 << 20
"""Tensors may share their bytes: written out they may take so many times the file's size, and at any rate so much."""

in_bounds = False
"""This is the process with bounds already."""

_MOST_STEPS = 500_000
_MOST_WORK = 100_000_000
_LEGACY_PICKLES = 5  # magic number, version, system, the object, keys of its storages; then raw bytes
_MADE = {"collections OrderedDict", "torch Size", "torch device", "torch.nn.parameter Parameter"}
_REBUILT = {"torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "torch._utils _rebuild_tensor"}


def is_plain(path: Path) -> bool:
    """Whether the pickle of a .pth only names tensors, and is short enough to be followed without care."""
    try:
        with path.open("rb") as stream:
            zipped = stream.read(4) == b"PK\x03\x04"
            stream.seek(0)
            if zipped:
                # PyTorch's own reader: another one may find another entry of that name.
                return _follows(torch._C.PyTorchFileReader(str(path)).get_record("data.pkl"))
            return all(_follows(stream) for _ in range(_LEGACY_PICKLES))
    except Exception:  # whatever is wrong with it is found again within bounds
        return False


def _follows(pickled: object) -> bool:
    steps = calls = 0
    for operation, argument, _ in islice(pickletools.genops(pickled), _MOST_STEPS + 1):  # type: ignore[arg-type]
        steps += 1
        if operation.name in ("GLOBAL", "INST"):
            known = argument in _MADE | _REBUILT or (str(argument).startswith("torch ") and _is_storage(str(argument)))
            if not known:
                return False
        elif operation.name in ("STACK_GLOBAL", "NEWOBJ", "NEWOBJ_EX", "OBJ"):
            return False
        calls += operation.name in ("REDUCE", "BUILD")
    return steps <= _MOST_STEPS and steps * calls <= _MOST_WORK  # each call may copy all there is


def _is_storage(name: str) -> bool:
    return name.endswith("Storage") and name.removeprefix("torch ").isalnum()


def read_in_bounds(path: Path) -> dict[str, torch.Tensor]:
    """The state dict, read by a process with bounds on time and memory.

    Raises:
        ModelError: as `read_checkpoint`, or it took too much.
    """
    from safetensors.torch import load_file

    what = f"model.weights: {path}"
    alone = "Save the state dict alone: torch.save(model.state_dict(), PATH), or a .safetensors file"
    bound = bound_of(path.stat().st_size)._replace(doing="reading it", longer=alone, more=alone)
    with scratch("checkpoint") as folder:
        asked = {"path": str(path.absolute()), "shown": str(path), "gigabytes": bound.gigabytes}
        reply = answer("edgepipe.torch.checkpoint_worker", folder, asked, what, bound)
        if "refused" in reply:
            raise ModelError(reply["refused"])
        return load_file(folder / WEIGHTS)


def written_bytes(weights: dict[str, torch.Tensor]) -> int:
    """What the tensors take when each has bytes of its own."""
    return reduce(add, (value.numel() * value.element_size() for value in weights.values()), 0)
