"""Programs that edgepipe starts: none outlives it.

Each runs in a group of its own, so that what it started ends with it. When edgepipe is killed outright, Linux ends the
program (by `setpriv`, where that is installed), and a small shell that waits for edgepipe's end kills the group;
otherwise `end_all` does, which the handlers of signals call.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_running: set[subprocess.Popen[Any]] = set()

_KEEP = """
while read -r said group; do
  rest=
  for one in $all; do [ "$one" = "$group" ] || rest="$rest $one"; done
  all=$rest
  [ "$said" = gone ] || all="$all $group"
done
for one in $all; do kill -s KILL -- "-$one"; done
"""
_keeper: subprocess.Popen[Any] | None = None
_keeping = threading.Lock()


@contextmanager
def running(command: Sequence[str], **how: Any) -> Iterator[subprocess.Popen[Any]]:
    """A started program; one that still runs at the end of the block is killed, with all that it started.

    The thread that enters has to live as long as the block: Linux counts its end as ours.

    Args:
        how: as for `subprocess.Popen`.
    Raises:
        OSError: it cannot be started.
    """
    tie = shutil.which("setpriv") if sys.platform == "linux" and shutil.which(command[0]) else None
    tied = [tie, "--pdeathsig", "KILL", *command] if tie else list(command)
    with subprocess.Popen(tied, start_new_session=os.name == "posix", **how) as process:
        _running.add(process)
        _keep("new", process.pid)
        try:
            yield process
        finally:
            try:
                _end(process)
            finally:
                _running.discard(process)
                _keep("gone", process.pid)


def _keep(said: str, group: int) -> None:
    """Tell the shell that outlives this process which groups to kill then: its input ends with us."""
    global _keeper
    if os.name != "posix":
        return
    with _keeping, suppress(OSError):
        if _keeper is None or _keeper.poll() is not None:
            if said == "gone":
                return
            pipes: dict[str, Any] = {
                "stdin": subprocess.PIPE,
                "stdout": subprocess.DEVNULL,
                "stderr": subprocess.DEVNULL,
            }
            _keeper = subprocess.Popen(["/bin/sh", "-c", _KEEP], start_new_session=True, bufsize=0, **pipes)
        assert _keeper.stdin is not None
        _keeper.stdin.write(f"{said} {group}\n".encode())


def helpers() -> set[int]:
    """Processes of ours that end by themselves when this one does."""
    return set() if _keeper is None else {_keeper.pid}


def run(
    command: Sequence[str],
    *,
    timeout: float | None = None,
    said_to_it: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    most_bytes: int | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and keep what it printed.

    Args:
        timeout: seconds it may take.
        said_to_it: its standard input; nothing comes in without.
        most_bytes: resident memory it may take, asked four times a second where /proc says it (Linux).
    Raises:
        OSError: it cannot be started.
        subprocess.TimeoutExpired: it took longer, and was killed.
        MemoryError: it took more memory, and was killed.
    """
    stdin = subprocess.DEVNULL if said_to_it is None else subprocess.PIPE
    pipes = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with running(command, cwd=cwd, env=env, text=True, encoding="utf-8", errors="replace", **pipes) as process:
        much, over = threading.Event(), threading.Event()
        if most_bytes is not None:
            threading.Thread(target=_watch, args=(process, most_bytes, much, over), daemon=True).start()
        try:
            out, err = process.communicate(said_to_it, timeout=timeout)
        finally:
            over.set()
    if much.is_set():
        raise MemoryError
    return subprocess.CompletedProcess(list(command), process.returncode, out, err)


def _watch(process: subprocess.Popen[Any], most: int, much: threading.Event, over: threading.Event) -> None:
    while not over.wait(0.25):
        if resident_bytes(process.pid) > most:
            much.set()
            _end(process)
            return


def resident_bytes(pid: int) -> int:
    """Memory that a process holds, without what it only maps from files; 0 where the system does not say."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


def memory_bytes(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float:
    """What this process may use: the machine's, or less where its control group or one above has less; else infinite.

    Args:
        root, own: where Linux tells of control groups, of versions 1 and 2.
    """
    found = [float("inf")]
    with suppress(AttributeError, OSError, ValueError):
        found.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    groups = {""}  # inside of a container its own group is the root, whatever it is called outside
    with suppress(OSError):
        for line in own.read_text(errors="replace").splitlines():
            controllers, _, group = line.partition(":")[2].partition(":")
            if controllers == "" or "memory" in controllers.split(","):
                parts = group.strip("/").split("/")
                groups |= {"/".join(parts[: depth + 1]) for depth in range(len(parts))}
    for group in groups:
        for file in (root / group / "memory.max", root / "memory" / group / "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):  # "max": it has no limit
                found.append(float(int(file.read_text())))
    return min(found)


def end_all() -> None:
    """Kill every program that runs now; whoever waits for it meets its end."""
    for process in list(_running):
        _end(process)


def pids() -> set[int]:
    """Of the programs that run now."""
    return {process.pid for process in list(_running)}


def _end(process: subprocess.Popen[Any]) -> None:
    with suppress(OSError):  # it is gone
        if os.name == "posix" and process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
    with suppress(OSError):
        process.kill()
