"""A bundle on a real device over ssh, and what it said there."""

from __future__ import annotations

import datetime
import json
import os
import re
import shlex
import shutil
import subprocess
import threading
import urllib.parse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from edgepipe.base import children
from edgepipe.base.files import write_text
from edgepipe.base.scratch import scratch
from edgepipe.base.text import printable
from edgepipe.bundle.manifest import BUNDLE_FILE, Bundle
from edgepipe.bundle.page import FILES
from edgepipe.contract.artifact import RUNS
from edgepipe.errors import RecipeError, VerifyError
from edgepipe.records.metrics import DeviceRun, read_metrics
from edgepipe.report.record import write_record

_MOST_SAID = 1 << 20  # bytes that a device may say
_LAST_WORDS_SECONDS = 5.0


@dataclass(frozen=True)
class Device:
    """Where a bundle is sent, as ssh wants it."""

    host: str
    port: int | None
    user: str | None
    options: tuple[str, ...]

    @property
    def shown(self) -> str:
        """How it is named in results: without the user."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.host if self.port is None else f"{host}:{self.port}"

    @property
    def command(self) -> list[str]:
        """The ssh command up to the remote command; of an option given twice, ssh takes the first."""
        chosen = ["BatchMode=yes", *self.options, "ConnectTimeout=15"]
        chosen += ["ServerAliveInterval=15", "ServerAliveCountMax=4"]  # a device that died is given up in a minute
        user = [] if self.user is None else ["-l", self.user]
        return ["ssh", *_each("-o", chosen), *self._port(), *user, "--", self.host]

    @property
    def by_hand(self) -> str:
        """The same connection for a person to try."""
        place = self.host if self.user is None else f"{self.user}@{self.host}"
        return shlex.join(["ssh", *_each("-o", self.options), *self._port(), place])

    def _port(self) -> list[str]:
        return [] if self.port is None else ["-p", str(self.port)]


def _each(flag: str, values: Iterable[str]) -> list[str]:
    return [part for value in values for part in (flag, value)]


_PLACE = re.compile(
    r"ssh://((?P<user>[^@:/?#]+)@)?(\[(?P<six>[0-9A-Fa-f:.]+(%\w+)?)\]|(?P<host>[^@:/?#\[\]%]+))(:(?P<port>\d{1,5}))?/?",
    re.ASCII | re.IGNORECASE,
)


def device_of(place: str, options: list[str]) -> Device:
    """The device of `ssh://USER@HOST:PORT`; the host's case is kept, since names in ssh_config have one.

    Raises:
        RecipeError: it is written otherwise, or a part of it would be an option to ssh.
    """
    found = _PLACE.fullmatch(place)
    host = "" if found is None else found["six"] or found["host"]
    user = None if found is None or found["user"] is None else urllib.parse.unquote(found["user"])
    port = None if found is None or found["port"] is None else int(found["port"])
    strange = any(part.startswith("-") or not part.isprintable() or " " in part for part in (host, user or ""))
    if not host or strange or user == "" or (port is not None and not 1 <= port <= 65535):
        raise RecipeError(
            f"command line: device run: '{place}' is no device: write ssh://USER@HOST or ssh://USER@HOST:PORT"
        )
    if shutil.which("ssh") is None:
        raise VerifyError("device run: ssh is missing: apt-get install openssh-client")
    return Device(host, port, user, tuple(options))


@dataclass(frozen=True)
class Asked:
    """How it is run there: the device's Python, timed runs, threads, and how long all of it may take."""

    python: str
    runs: int
    threads: int
    minutes: float


def run_on(device: Device, folder: Path, bundle: Bundle, asked: Asked) -> DeviceRun:
    """Run a bundle on a device.

    Args:
        bundle: with edgepipe's own measure of its answers: `bundle.verify.judged`.
    Raises:
        VerifyError: the device is not reached, or what it says is no result.
    """
    return _read(device.shown, _run_there(device, folder, bundle, asked))


def _run_there(device: Device, folder: Path, bundle: Bundle, asked: Asked) -> str:
    """One connection: unpack what comes in on standard input into a fresh folder, run, remove; the last line said."""
    script = (
        'set -e; d=$(mktemp -d); trap \'rm -rf "$d"\' EXIT; tar -xf - -C "$d"; '
        f'{shlex.quote(asked.python)} "$d/example.py" --json --runs {asked.runs} --threads {asked.threads}'
    )
    with scratch("device") as own:
        # Only edgepipe's own program runs there, and by its own measure: of the bundle nothing goes that could run.
        shutil.copyfile(FILES / "example.py", own / "example.py")
        write_text(own / BUNDLE_FILE, bundle.model_dump_json())
        names = [f"./{name}" for name in bundle.files if _is_data(name)]
        of_edgepipe, of_bundle = ("-C", str(own), "./example.py", f"./{BUNDLE_FILE}"), ("-C", str(folder.absolute()))
        packing = ["tar", "-cf", "-", *of_edgepipe, *of_bundle, "--", *names]
        with children.running(packing, stdout=subprocess.PIPE) as packed:
            ended = _listened(device, [*device.command, script], packed.stdout, asked.minutes)
    last = (ended.stdout.strip().splitlines() or [""])[-1]
    if not last.startswith("{"):
        said = printable(" ".join(ended.stderr.strip().splitlines()[-3:]))
        remedy = ""
        if "No module named" in said:
            remedy = f". On the device: {asked.python} -m pip install onnxruntime numpy"
        elif ended.returncode == 255:
            remedy = f". Try it by hand: {device.by_hand}"
        raise VerifyError(f"{device.shown}: ended with {ended.returncode}: {said or 'it said nothing'}{remedy}")
    return last


def _is_data(name: str) -> bool:
    """Whether a file of the bundle is needed there and is nothing that Python would import beside example.py."""
    first = name.partition("/")[0]
    return name != BUNDLE_FILE and first not in ("ort", "pictures") and not name.lower().endswith(RUNS)


@dataclass(frozen=True)
class _Said:
    returncode: int
    stdout: str
    stderr: str


def _listened(device: Device, command: list[str], stdin: IO[bytes] | None, minutes: float) -> _Said:
    """Run a command and keep what it says; one that never stops printing, or never ends, is ended.

    Raises:
        VerifyError: it said more than any device has to say, or took longer.
    """
    ends = {"stdout": b"", "stderr": b""}
    much = threading.Event()
    pipes = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with children.running(command, **pipes) as process:
        if stdin is not None:
            stdin.close()  # the child has it; what packs ends when the child does

        def listen(name: str, stream: IO[bytes]) -> None:
            total = 0
            while part := os.read(stream.fileno(), 1 << 16):
                total += len(part)
                ends[name] += part
                if total > _MOST_SAID:
                    much.set()
                    process.kill()
                    return

        streams = [(name, getattr(process, name)) for name in ends]
        threads = [threading.Thread(target=listen, args=item, daemon=True) for item in streams]
        try:
            for thread in threads:
                thread.start()
            code = process.wait(60 * minutes)
            for thread in threads:
                thread.join(_LAST_WORDS_SECONDS)  # what ssh leaves in the background may hold the pipe for ever
        except subprocess.TimeoutExpired:
            raise VerifyError(
                f"{device.shown}: ended: it took longer than {minutes:g} minutes. Give it longer with --most-minutes, "
                "or ask for fewer --runs"
            ) from None
    if much.is_set():
        raise VerifyError(
            f"{device.shown}: ended: it said more than {_MOST_SAID:,} bytes, and a result has a few hundred"
        )
    return _Said(code, ends["stdout"].decode(errors="replace"), ends["stderr"].decode(errors="replace"))


def _read(shown: str, line: str) -> DeviceRun:
    """What the device said, as far as it has a say: where and when it ran are known here."""
    ours = {"device": shown, "when": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")}
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        raise VerifyError(f"{shown}: what example.py said cannot be read: {printable(line[:200])}") from None
    for name in said:
        if name in ours or name not in DeviceRun.model_fields:
            raise VerifyError(f"{shown}: what example.py said cannot be read: unknown: {printable(name[:60])}")
    try:
        return DeviceRun.model_validate({**ours, **said}, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise VerifyError(f"{shown}: what example.py said cannot be read: {place}: {first['msg']}") from None


def record(run: Path, found: DeviceRun) -> None:
    """Into the run's metrics and report."""
    metrics = read_metrics(run)
    updated = metrics.model_copy(update={"devices": [*metrics.devices, found]})
    write_record(run, updated, "the result")
