"""Worker processes that answer their share of the inputs, natively or under an emulator."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgepipe.base import children
from edgepipe.contract import Done, PlaceAnswers
from edgepipe.errors import VerifyError
from edgepipe.targets.host import available_cores
from edgepipe.verify.inputs import Plan

SILENCE_SECONDS = 600  # a single picture takes seconds at most; an emulator that hangs would wait for ever

WORKER = Path(__file__).with_name("worker.py")


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


@dataclass(frozen=True)
class Command:
    """How a worker is started.

    Attributes:
        command: the interpreter, with what stands in front of it.
        env: its environment; None: this process's.
        name: of the processor, for messages.
        exact: whether it is asked for int8 kernels that cannot saturate.
    """

    command: Sequence[str]
    env: Mapping[str, str] | None
    name: str
    exact: bool = False

    def answer(
        self, model: Path, inputs: Path, count: int, work: Path, done: Done, processes: int | None = None
    ) -> PlaceAnswers:
        """Answers of `command worker.py ...`, the examples dealt out to processes of one thread each.

        Args, and raises: as for `Processor.answer`.
            processes: None: one for each core.
        """
        plan = Plan.read(inputs)
        bounds = np.linspace(0, count, min(processes or available_cores(), count) + 1).astype(int).tolist()
        shares = list(itertools.pairwise(bounds))
        so_far = [0] * len(shares)

        def one(index: int) -> tuple[Path, dict[str, Any]]:
            first, last = shares[index]
            target = work / f"outputs-{index}"
            target.mkdir()

            def count_up(number: int) -> None:
                so_far[index] = number
                done(sum(so_far))

            arguments = [str(path) for path in (WORKER, model, inputs, target)]
            arguments += [str(first), str(last), *(["exact"] if self.exact else [])]
            return target, stream([*self.command, *arguments], self.env, self.name, count_up)

        with ThreadPoolExecutor(len(shares)) as pool:
            results = list(pool.map(one, range(len(shares))))
        outputs = {}
        for index, output in enumerate(plan.outputs):
            parts = [np.load(target / f"{index}.npy") for target, _ in results]
            if len({part.shape[1:] for part in parts}) != 1:
                raise VerifyError(f"{self.name}: output '{output['name']}' has another shape for each example")
            outputs[str(output["name"])] = np.concatenate(parts)
        milliseconds = [value for _, said in results for value in said["milliseconds"]]
        return PlaceAnswers(outputs, str(results[0][1]["runtime"]), milliseconds)
