"""`device run` against a real sshd on this machine, with keys and a port of its own."""

from __future__ import annotations

import getpass
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
from edgepipe.bundle.manifest import read_bundle, seal_bundle
from edgepipe.metrics import Metrics
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


@pytest.mark.parametrize("place", ["pi@raspberry", "http://pi", "ssh://-oProxyCommand=x", "ssh://u:secret@h", "ssh://"])
def test_what_is_no_device_is_refused(tmp_path: Path, place: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["device", "run", place, str(tmp_path)]) == 2
    assert "is no device: write ssh://USER@HOST" in capfd.readouterr().err
