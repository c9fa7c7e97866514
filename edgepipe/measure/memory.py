"""Load time and peak memory, taken in a fresh process: this one has already loaded far more."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from edgepipe.base import children
from edgepipe.errors import MeasureError

_PROBE = Path(__file__).with_name("probe.py")


class Probe(BaseModel):
    """What the fresh process reports: `load_ms` is session creation, the runtime already imported."""

    load_ms: float
    peak_rss_bytes: int


def probe(
    path: Path, inputs: Mapping[str, NDArray[Any]], *, threads: int = 1, runs: int = 3, timeout: float = 600
) -> Probe:
    """Open and run the model in two fresh processes; the shorter load time, the larger peak.

    The first of them may still pay for libraries that the system had dropped from memory.

    Args:
        inputs: what one run takes, by input; floats are drawn anew there, whole numbers are given as they are.
        timeout: seconds after which the process is ended.
    Raises:
        MeasureError: the process failed or took too long; carries the end of its error output.
    """
    request = {
        "model": str(path.resolve()),
        "inputs": [
            {"name": name, "shape": value.shape, "dtype": value.dtype.name, "bytes": _bytes(value)}
            for name, value in inputs.items()
        ],
        "threads": threads,
        "runs": runs,
        "sys_path": [entry for entry in sys.path if entry],
    }
    found = [_fresh(path, request, timeout) for _ in range(2)]
    return Probe(load_ms=min(each.load_ms for each in found), peak_rss_bytes=max(each.peak_rss_bytes for each in found))


def _bytes(value: NDArray[Any]) -> str | None:
    """Base64; None of floats: which they are does not change what is computed."""
    return None if value.dtype.kind == "f" else base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()


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
