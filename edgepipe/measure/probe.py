"""A fresh process that opens one model, runs it and tells what that took. Run by `memory.py`.

It imports numpy and ONNX Runtime only: whatever else were loaded would be charged to the model.
Reads one JSON object on stdin, writes one on stdout.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from typing import Any


def peak_rss_bytes() -> int:
    """The most memory this process ever had resident, in bytes."""
    try:
        # On Linux getrusage would report the parent's peak too: it survives exec, VmHWM does not.
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:  # noqa: PTH123
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, KiB elsewhere


def main() -> None:
    """Open, run, report."""
    wanted: dict[str, Any] = json.load(sys.stdin)
    # -I hides PYTHONPATH; the parent says where it found its own packages. Appended, so never shadowing.
    sys.path.extend(path for path in wanted["sys_path"] if path not in sys.path)
    import numpy as np
    import onnxruntime

    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = wanted["threads"]
    chosen.inter_op_num_threads = 1
    chosen.log_severity_level = 4
    chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Read once, so that load time is the runtime's and not that of a cold disk.
    with open(wanted["model"], "rb") as model:  # noqa: PTH123
        while model.read(1 << 20):
            pass
    start = time.perf_counter()
    session = onnxruntime.InferenceSession(wanted["model"], chosen, providers=["CPUExecutionProvider"])
    load_ms = (time.perf_counter() - start) * 1000
    rng = np.random.default_rng(0)
    example = {
        # Whole numbers are those of an example: they may be places in a table, or choose what is computed.
        item["name"]: rng.standard_normal(item["shape"]).astype(item["dtype"])
        if item["bytes"] is None
        else np.frombuffer(base64.b64decode(item["bytes"]), item["dtype"]).reshape(item["shape"])
        for item in wanted["inputs"]
    }
    for _ in range(wanted["runs"]):
        session.run(None, example)
    json.dump({"load_ms": load_ms, "peak_rss_bytes": peak_rss_bytes()}, sys.stdout)


if __name__ == "__main__":
    main()
