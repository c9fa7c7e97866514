"""Worker processes that answer their share of the inputs, natively or under an emulator."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.base import children
from edgepipe.errors import VerifyError
from edgepipe.onnx.batch_axis import batch_axis
from edgepipe.onnx.session import Session
from edgepipe.verify.place import Answers, Done

SILENCE_SECONDS = 600  # a single picture takes seconds at most; an emulator that hangs would wait for ever

WORKER = Path(__file__).with_name("worker.py")


def counting_axis(session: Session, examples: NDArray[Any]) -> int | None:
    """The axis of the first output that counts the examples of a fixed batch; None: one example a run, or none does."""
    fixed = session.only_input("verified").batch
    return None if fixed in (None, 1) else batch_axis(session.first, np.asarray(examples[:4]), fixed)


def version_of(command: Sequence[str]) -> str:
    """First line that a program prints, or "" when it cannot be started."""
    try:
        ended = children.run(command, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (ended.stdout or ended.stderr).strip().partition("\n")[0]


def stream(command: Sequence[str], env: Mapping[str, str] | None, name: str, done: Done) -> dict[str, Any]:
    """Run a worker to its end; the last line of its output is a JSON object, numbers before it are progress.

    Raises:
        VerifyError: it ended badly or fell silent.
    """
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with children.running(command, text=True, env=env, errors="replace", **pipes) as process:
        complaints: list[str] = []
        assert process.stdout is not None
        assert process.stderr is not None
        errors = process.stderr
        reader = threading.Thread(target=lambda: complaints.extend(errors), daemon=True)
        reader.start()
        silent = threading.Event()
        last: dict[str, Any] = {}

        def give_up() -> None:
            silent.set()
            process.kill()

        try:
            timer = threading.Timer(SILENCE_SECONDS, give_up)
            timer.start()
            for line in process.stdout:
                timer.cancel()
                timer = threading.Timer(SILENCE_SECONDS, give_up)
                timer.start()
                if line.startswith("{"):
                    last = json.loads(line)
                elif line.strip().isdigit():
                    done(int(line))
            code = process.wait()
        except BaseException:
            process.kill()  # now: what it says is read to its end below
            raise
        finally:
            timer.cancel()
            reader.join(timeout=10)
    if code or not last:
        said = [line.strip() for line in complaints if line.strip() and "doesn't support requested feature" not in line]
        why = f"silent for {SILENCE_SECONDS} s" if silent.is_set() else " ".join(said[-3:]) or "it said nothing"
        raise VerifyError(f"{name}: ended with code {code}: {why[-600:]}")
    return last


def answer_in_processes(
    command: Sequence[str],
    env: Mapping[str, str],
    name: str,
    model: Path,
    inputs: Path,
    count: int,
    work: Path,
    done: Done,
    *,
    processes: int,
    exact: bool = False,
) -> Answers:
    """Answers of `command worker.py ...`, the examples dealt out to several processes of one thread each."""
    bounds = np.linspace(0, count, min(processes, count) + 1).astype(int).tolist()
    shares = list(itertools.pairwise(bounds))
    axis = counting_axis(Session(model), np.load(inputs, mmap_mode="r"))
    so_far = [0] * len(shares)

    def one(index: int) -> tuple[Path, dict[str, Any]]:
        first, last = shares[index]
        target = work / f"outputs-{index}.npy"

        def count_up(number: int) -> None:
            so_far[index] = number
            done(sum(so_far))

        arguments = [
            str(WORKER),
            str(model),
            str(inputs),
            str(target),
            str(first),
            str(last),
            *(["exact"] if exact else []),
            *([] if axis is None else [f"axis={axis}"]),
        ]
        return target, stream([*command, *arguments], env, name, count_up)

    with ThreadPoolExecutor(len(shares)) as pool:
        results = list(pool.map(one, range(len(shares))))
    outputs = np.concatenate([np.load(target) for target, _ in results])
    milliseconds = [value for _, said in results for value in said["milliseconds"]]
    return Answers(outputs, str(results[0][1]["runtime"]), milliseconds)
