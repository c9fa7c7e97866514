"""Decode in order, ahead of the consumer but never far: a bounded window of futures over workers."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.data.decode import decode
from edgepipe.errors import DataError
from edgepipe.targets.host import available_cores

PROCESSES_FROM = 4_000  # pictures; below, starting processes (about 0.5 s) costs more than they save


def worker_count(asked: int | None) -> int:
    """Workers to use: as asked, or one per usable core, at most 8."""
    if asked is not None:
        return asked
    return min(available_cores(), 8)


def decoded(
    jobs: Iterable[Any], pictures: int, workers: int, how: Callable[[Any], NDArray[np.uint8]] | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Yield `how(job)` in the order of `jobs`; the result does not depend on `workers`.

    Args:
        how: a function of a module, since worker processes import it; None: `decode`, which takes `Work`.
    Raises:
        DataError: a picture cannot be decoded, or a worker process died.
    """
    how = how or decode
    if workers == 0 or pictures <= 1:
        yield from map(how, jobs)
        return
    executor = _executor(pictures, workers)
    waiting: deque[Future[NDArray[np.uint8]]] = deque()
    try:
        for job in jobs:
            waiting.append(executor.submit(how, job))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenExecutor as error:
        raise DataError(
            "data.workers: a decoding process died. Too little memory, or a script of your own without "
            '`if __name__ == "__main__":`? data.workers=0 decodes in the main process'
        ) from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _executor(pictures: int, workers: int) -> Executor:
    if pictures >= PROCESSES_FROM and _can_spawn():
        # spawn everywhere: it is what macOS and Windows have, and forking a process with threads can hang.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
    return ThreadPoolExecutor(workers, thread_name_prefix="decode")


def _end_with_parent() -> None:
    """A worker holds both ends of its queue and would wait for ever for a parent that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _can_spawn() -> bool:
    # A spawned process imports the main module again: impossible when that came from standard input.
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    return not multiprocessing.current_process().daemon and (main is None or Path(main).exists())


def regroup(chunks: Iterable[NDArray[np.uint8]], size: int) -> Iterator[NDArray[np.uint8]]:
    """Cut a stream of arrays into arrays of `size` rows; the last one may be smaller."""
    held: list[NDArray[np.uint8]] = []
    rows = 0
    for chunk in chunks:
        held.append(chunk)
        rows += len(chunk)
        while rows >= size:
            whole = held[0] if len(held) == 1 else np.concatenate(held)
            yield whole[:size]
            held = [whole[size:]]
            rows -= size
    if rows:
        yield np.concatenate(held)
