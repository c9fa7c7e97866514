"""`device run` against a real sshd on this machine, with keys and a port of its own."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepipe.__main__ import main
from edgepipe.bundle import device as device_module
from edgepipe.bundle.manifest import read_bundle, seal_bundle
from edgepipe.records.metrics import Metrics
from tests.small import arguments

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
needs_sshd = pytest.mark.skipif(SSHD is None, reason="sshd is missing: apt-get install openssh-server")


@pytest.fixture
def device(tmp_path: Path) -> Iterator[list[str]]:
    """`ssh://...` and the options to reach it."""
    home = tmp_path / "ssh"
    home.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name)], check=True)
    shutil.copy(home / "user.pub", home / "authorized_keys")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = home / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {home}/host\nAuthorizedKeysFile {home}/authorized_keys\n"
        f"PidFile {home}/pid\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nStrictModes no\nUsePAM no\n"
        "PermitRootLogin prohibit-password\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where Debian's sshd wants its empty folder
    server = subprocess.Popen([str(SSHD), "-D", "-e", "-f", str(config)], stderr=subprocess.PIPE)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        options = [f"IdentityFile={home}/user", f"UserKnownHostsFile={home}/known", "StrictHostKeyChecking=accept-new"]
        flags = [part for option in options for part in ("--ssh-option", option)]
        yield [f"ssh://{getpass.getuser()}@127.0.0.1:{port}", "--python", sys.executable, *flags]
    finally:
        server.terminate()
        server.wait(timeout=10)


@needs_sshd
def test_a_bundle_runs_on_the_device_and_the_run_knows_it(
    tmp_path: Path, device: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(arguments(tmp_path, "measure.latency_seconds=0.1", f"hydra.run.dir={run}")) == 0
    place, *flags = device
    assert main(["device", "run", place, str(run), "--runs", "7", *flags]) == 0
    (found,) = Metrics.model_validate_json((run / "metrics.json").read_text()).devices
    assert (found.golden, found.runs, found.threads) == ("ok", 7, 1)
    assert found.latency_p50_ms > 0
    assert found.device.startswith("127.0.0.1:")
    assert "golden outputs ok" in capfd.readouterr().out
    assert "On real devices" in (run / "report.html").read_text()
    assert main(["bundle", "verify", str(run)]) == 0  # nothing in it changed

    assert main(["device", "run", place, str(run), "--runs", "1", *flags, "--python", "/usr/bin/no-python"]) == 1
    assert "no-python" in capfd.readouterr().err
    example = run / "final" / "example.py"
    example.write_text(example.read_text().replace("import onnxruntime as ort", "import onnxruntime_of_nobody as ort"))
    assert main(["device", "run", place, str(run), *flags]) == 1
    said = capfd.readouterr().err
    assert "example.py: changed" in said  # and so it never ran there
    assert "onnxruntime_of_nobody" not in said
    seal_bundle(run / "final", read_bundle(run / "final"))
    assert main(["device", "run", place, str(run), *flags]) == 1
    assert "-m pip install onnxruntime numpy" in capfd.readouterr().err


@needs_sshd
def test_a_key_that_the_device_does_not_know_is_refused_in_words(
    tmp_path: Path, device: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(arguments(tmp_path, "measure.latency_seconds=0.1", f"hydra.run.dir={run}")) == 0
    (tmp_path / "ssh" / "authorized_keys").write_text("")
    place, *flags = device
    assert main(["device", "run", place, str(run), *flags]) == 1
    said = capfd.readouterr().err
    assert "Permission denied" in said
    assert "Try it by hand" in said


GOOD: dict[str, object] = {
    "golden": "ok",
    "identical": True,
    "largest_difference": 0.0,
    "latency_p50_ms": 1.5,
    "latency_p90_ms": 2,
    "runs": 1,
    "host": "pi",
    "machine": "aarch64",
    "cores": 4,
    "threads": 1,
    "python": "3.11.2",
    "onnxruntime": "1.31.0",
}


def ssh_that(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a program `ssh` before the real one."""
    folder.mkdir()
    (folder / "ssh").write_text(f"#!/bin/sh\ncat > /dev/null\n{script}\n")
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ran")
    assert main(arguments(folder, "measure.latency_seconds=0.1", f"hydra.run.dir={folder}/run")) == 0
    return folder / "run"


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"latency_p50_ms": float("nan")}, "latency_p50_ms: Input should be a finite number"),
        ({"latency_p90_ms": float("inf")}, "latency_p90_ms: Input should be a finite number"),
        ({"latency_p50_ms": -1.0}, "latency_p50_ms"),
        ({"device": "somebody else's"}, "unknown: device"),
        ({"when": "never"}, "unknown: when"),
        ({"status": "ok"}, "unknown: status"),
        ({"machine": "\x1b]0;title\x07"}, "machine"),
        ({"machine": "\ud800"}, "machine"),
        ({"host": "h" * 1000}, "host"),
        ({"runs": "many"}, "runs"),
    ],
)
def test_what_a_device_says_cannot_spoil_the_run(
    ran: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    said: dict[str, object],
    complaint: str,
) -> None:
    before = (ran / "metrics.json").read_bytes()
    (tmp_path / "said.json").write_text(json.dumps({**GOOD, **said}))
    ssh_that(tmp_path / "bin", monkeypatch, f"cat {tmp_path}/said.json")
    assert main(["device", "run", "ssh://pi@h", str(ran)]) == 1
    text = capfd.readouterr().err
    assert f"h: what example.py said cannot be read: {complaint}" in text
    assert "\x1b" not in text
    assert (ran / "metrics.json").read_bytes() == before


@pytest.mark.parametrize("line", ["{" * 100_000, '{"a":' * 100_000, "{]"])
def test_what_is_no_json_is_refused(
    ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], line: str
) -> None:
    (tmp_path / "said.json").write_text(line)
    ssh_that(tmp_path / "bin", monkeypatch, f"cat {tmp_path}/said.json")
    assert main(["device", "run", "ssh://pi@h", str(ran)]) == 1
    assert "cannot be read: {" in capfd.readouterr().err


def test_answers_that_are_not_finite_have_failed_and_are_reported(
    ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(ran, tmp_path / "run"))
    said = {**GOOD, "golden": "failed", "identical": False, "largest_difference": None}
    (tmp_path / "said.json").write_text(json.dumps(said))
    ssh_that(tmp_path / "bin", monkeypatch, f"cat {tmp_path}/said.json")
    assert main(["device", "run", "ssh://pi@h", str(run)]) == 1
    assert "golden outputs failed (not finite)" in capfd.readouterr().out
    assert main(["report", str(run)]) == 0
    assert "failed, not finite" in (run / "report.html").read_text()


def test_a_device_that_never_ends_is_ended(
    ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ssh_that(tmp_path / "bin", monkeypatch, "while true; do echo; sleep 0.1; done")
    assert main(["device", "run", "ssh://pi@h", str(ran), "--most-minutes", "0.01"]) == 1
    said = capfd.readouterr().err
    assert "h: ended: it took longer than 0.01 minutes. Give it longer with --most-minutes" in said
    for number in ("0", "nan", "inf", "-1"):
        assert main(["device", "run", "ssh://pi@h", str(ran), f"--most-minutes={number}"]) == 2


@pytest.mark.skipif(shutil.which("setsid") is None, reason="setsid is missing: apt-get install util-linux")
def test_what_ssh_leaves_in_the_background_is_not_waited_for(
    ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(device_module, "_LAST_WORDS_SECONDS", 0.2)
    (tmp_path / "said.json").write_text(json.dumps(GOOD))
    ssh_that(tmp_path / "bin", monkeypatch, f"setsid sleep 20 &\ncat {tmp_path}/said.json")  # as ControlPersist does
    run = Path(shutil.copytree(ran, tmp_path / "run"))
    began = time.monotonic()
    assert main(["device", "run", "ssh://pi@h", str(run)]) == 0
    assert time.monotonic() - began < 15
    assert "golden outputs ok" in capfd.readouterr().out


def test_ssh_is_given_the_place_as_it_was_written_and_gives_a_dead_device_up(
    ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ssh_that(tmp_path / "bin", monkeypatch, f"printf '%s\\n' \"$@\" > {tmp_path}/argv; exit 255")
    flags = ["--ssh-option", "ConnectTimeout=3"]
    assert main(["device", "run", "ssh://Pi%40x@RPi-Alias:2222", str(ran), *flags]) == 1
    argv = (tmp_path / "argv").read_text().splitlines()
    assert argv[argv.index("--") - 4 : argv.index("--") + 2] == ["-p", "2222", "-l", "Pi@x", "--", "RPi-Alias"]
    assert {"ServerAliveInterval=15", "ServerAliveCountMax=4"} <= set(argv)
    assert argv.index("ConnectTimeout=3") < argv.index("ConnectTimeout=15")  # ssh takes the first
    assert "Try it by hand: ssh -o ConnectTimeout=3 -p 2222 Pi@x@RPi-Alias\n" in capfd.readouterr().err
    assert main(["device", "run", "ssh://[::1]:22", str(ran)]) == 1
    said = capfd.readouterr().err
    assert "error: [::1]:22: ended with 255" in said
    assert "Try it by hand: ssh -p 22 ::1\n" in said


@pytest.mark.parametrize(
    "place",
    [
        "pi@raspberry",
        "http://pi",
        "ssh://-oProxyCommand=x",
        "ssh://-oProxyCommand=x@h",
        "ssh://%2doProxyCommand=x@h",
        "ssh://u:secret@h",
        "ssh://u@h?x=1",
        "ssh://u@h#x",
        "ssh://u@h/folder",
        "ssh://u@h:0",
        "ssh://u@h:99999",
        "ssh://u%0A@h",
        "ssh://u@h\n",
        "ssh://[::1",
        "ssh://",
    ],
)
def test_what_is_no_device_is_refused(tmp_path: Path, place: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["device", "run", place, str(tmp_path)]) == 2
    assert "is no device: write ssh://USER@HOST" in capfd.readouterr().err
