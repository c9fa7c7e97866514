"""Work on an untrusted file in a fresh process that ends when it takes too long or too much memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from edgepipe.base import children
from edgepipe.errors import ModelError


class Bound(NamedTuple):
    """What the process may take, and what messages say.

    Attributes:
        minutes, gigabytes: wall clock; resident memory, 10^9 bytes.
        doing: what is done with the file, as in "converting it".
        longer, more: the remedies, in words.
    """

    minutes: float
    gigabytes: float
    doing: str
    longer: str
    more: str

    def too_much(self, what: str) -> ModelError:
        """The refusal of a file that took more memory."""
        return ModelError(
            f"{what}: {self.doing} took more than {self.gigabytes:.1f} GB of memory and was ended. {self.more}"
        )


def answer(
    module: str, folder: Path, asked: dict[str, Any], what: str, bound: Bound, env: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run `python -m module folder`, which reads `request.json` there and writes `reply.json`; the reply.

    Args:
        what: names the file in messages.
        env: further variables.
    Raises:
        ModelError: it took too much, died, or replied with an `error`.
    """
    (folder / "request.json").write_text(json.dumps(asked), encoding="utf-8")
    home = str(Path(__file__).parents[2])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(part for part in (home, os.environ.get("PYTHONPATH", "")) if part),
        "CUDA_VISIBLE_DEVICES": "-1",
        **(env or {}),
    }
    most = int(bound.gigabytes * 1e9)
    try:
        ended = children.run(
            [sys.executable, "-m", module, str(folder)],
            cwd=folder,
            env=environment,
            timeout=bound.minutes * 60,
            most_bytes=most,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(
            f"{what}: {bound.doing} took longer than {bound.minutes:.3g} minutes and was ended. {bound.longer}"
        ) from None
    except MemoryError:
        raise bound.too_much(what) from None
    file = folder / "reply.json"
    if not file.is_file():
        words = ended.stderr.strip()[-600:] or f"exit code {ended.returncode}"
        if ended.returncode == -9:
            words = "the system killed it, as it does where memory runs out"
        raise ModelError(f"{what}: {bound.doing}: the process for it ended without a word: {words}")
    reply: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if reply.get("memory"):
        raise bound.too_much(what)
    if "error" in reply:
        raise ModelError(f"{what}: {reply['error']}")
    return reply


def limit_memory(gigabytes: float) -> None:
    """In that process: what is asked for at once is refused at once; who watches from outside looks now and then."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (int(gigabytes * 1e9) + (1 << 30), hard))


def is_memory(said: str) -> bool:
    """Whether a library's message says that there was not enough memory."""
    words = ("bad alloc", "bad_alloc", "failed to allocate", "cannot allocate", "can't allocate", "memoryerror")
    return any(word in said.lower() for word in words)


def bound_of(size: int, minutes: float | None = None, gigabytes: float | None = None, *, key: str = "") -> Bound:
    """What a file may take: a minute and one for each half gigabyte of it; 8 GB and eight times its size.

    Three quarters of the memory at most, unless given.

    Args:
        size: bytes of the file and its external data.
        key: the recipe's section that sets the bounds; "": nothing does.
    """
    longer, more = "It may loop for ever: such a file is not used", "It may fill any memory: such a file is not used"
    return Bound(
        minutes or 1 + size / 5e8,
        gigabytes or min(8 + 8 * size / 1e9, 0.75 * children.memory_bytes() / 1e9),
        "loading and running it once",
        f"Give it longer with {key}.most_minutes" if key else longer,
        f"Allow more with {key}.most_gigabytes" if key else more,
    )
