"""Run one command in a process of its own and write what it took; a script without imports of this package.

    python -I watch.py RESULT.json LOG SECONDS COMMAND...

The result has `code`, wall `seconds`, `cpu_seconds` of all its processes, and `peak_bytes`: the resident memory
of the largest of them. The watching process stays small: a child begins with its parent's peak.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    """Run, wait, write."""
    result, log, limit, *command = sys.argv[1:]
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(out, 1)
        os.dup2(out, 2)
        try:
            os.execvp(command[0], command)
        except OSError as error:
            os.write(2, f"{error}\n".encode())
            os._exit(127)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(pid, signal.SIGKILL))
    signal.alarm(int(limit))
    try:
        _, status, used = os.wait4(pid, 0)
    except BaseException:  # interrupted: nothing is left running
        os.killpg(pid, signal.SIGKILL)
        raise
    signal.alarm(0)
    found = {
        "code": os.waitstatus_to_exitcode(status),
        "seconds": time.perf_counter() - start,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_bytes": used.ru_maxrss * 1024,
    }
    Path(result).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
