"""Load time and peak memory, taken in a fresh process: this one has already loaded far more."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from edgepipe.base import children
from edgepipe.errors import MeasureError
from edgepipe.onnx.files import load_structure
from edgepipe.onnx.inputs import only_input

_PROBE = Path(__file__).with_name("probe.py")


class Probe(BaseModel):
    """What the fresh process reports: `load_ms` is session creation, the runtime already imported."""

    load_ms: float
    peak_rss_bytes: int


@dataclass(frozen=True)
class _Input:
    name: str
    shape: tuple[int, ...]
    dtype: str


def probe(
    path: Path, example_shape: tuple[int, ...], *, threads: int = 1, runs: int = 3, timeout: float = 600
) -> Probe:
    """Open and run the model in two fresh processes; the shorter load time, the larger peak.

    The first of them may still pay for libraries that the system had dropped from memory.

    Args:
        example_shape: shape of one example, without the batch axis.
        timeout: seconds after which the process is ended.
    Raises:
        MeasureError: the process failed or took too long; carries the end of its error output.
    """
    wanted = _input(path, example_shape)
    request = {
        "model": str(path.resolve()),
        "input": wanted.name,
        "shape": wanted.shape,
        "dtype": wanted.dtype,
        "threads": threads,
        "runs": runs,
        "sys_path": [entry for entry in sys.path if entry],
    }
    found = [_fresh(path, request, timeout) for _ in range(2)]
    return Probe(load_ms=min(each.load_ms for each in found), peak_rss_bytes=max(each.peak_rss_bytes for each in found))


def _fresh(path: Path, request: dict[str, object], timeout: float) -> Probe:
    try:
        ended = children.run([sys.executable, "-I", str(_PROBE)], said_to_it=json.dumps(request), timeout=timeout)
        ended.check_returncode()
    except subprocess.CalledProcessError as error:
        # A killed process (out of memory) has no words of its own; its negative code names the signal.
        words = (error.stderr or "").strip()[-800:] or f"exit code {error.returncode}"
        raise MeasureError(f"{path}: a fresh process could not load and run it: {words}") from error
    except subprocess.TimeoutExpired as error:
        raise MeasureError(f"{path}: a fresh process did not finish in {timeout:.0f} s") from error
    # The runtime may print warnings of its own on stdout first.
    return Probe.model_validate_json(ended.stdout.strip().splitlines()[-1])


def _input(path: Path, example_shape: tuple[int, ...]) -> _Input:
    import onnx

    wanted = only_input(load_structure(path).graph, str(path), "measured")
    tensor = wanted.type.tensor_type
    batch = tensor.shape.dim[0].dim_value if len(tensor.shape.dim) else 1
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    return _Input(wanted.name, (batch or 1, *example_shape), dtype)
