"""Passwords and tokens in addresses: refused where they would be recorded, hidden everywhere else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from edgepipe.__main__ import main
from edgepipe.base.text import holds_password, without_passwords
from edgepipe.engine.run import run
from tests.small import arguments

ADDRESSES = [
    "http://me:hush7@host:5000",
    "https://hush7@host/x",
    "postgresql+psycopg2://me:a@hush7@db/x",
    "postgresql://me:hush/7@db/x",
    "smb://me:hush7@nas/photos",
    "ssh://me:hush7@pi",
    "//me:hush7@nas/photos",
    "http:/me:hush7@host",
    "mysql://db/x?user=me&password=hush7",
    "https://host/x?api_key=hush7#a",
    "https://host/x?v=1&sig=hush7",
    "s3://b/k?X-Amz-Signature=hush7",
    "sqlite:///x.db?sslPassword=hush7",
    "https://host/#access_token=hush7",
]
HARMLESS = [
    "ssh://me@pi:22",
    "http://host:5000/a@b",
    "sqlite:////home/a@b/mlflow.db",
    "sqlite:///x.db?mode=ro&timeout=3",
    "https://host/?monkey=1&sortkey=2",
    "a/b?token=1",
    "C:/x:y@z",
    "mail me@host, see http://host/a@b",
    "postgresql://me:${oc.env:WORD}@db/x",
]


@pytest.mark.parametrize("text", ADDRESSES)
def test_a_password_or_token_in_an_address_is_known_and_hidden(text: str) -> None:
    assert holds_password(text)
    plain = without_passwords(f"to {text}, 'and'")
    assert "hush" not in plain
    assert "***" in plain
    assert without_passwords(plain) == plain


@pytest.mark.parametrize("text", HARMLESS)
def test_other_addresses_are_taken_as_they_are(text: str) -> None:
    assert not holds_password(text)
    if "${" not in text:
        assert without_passwords(text) == text


def told(folder: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """All that was printed, and all names and contents below a folder that hold the secret."""
    out, err = capfd.readouterr()
    leaks = [str(path) for path in folder.rglob("*") if path.is_file() and b"hush7" in path.read_bytes()]
    assert not leaks
    assert not list(folder.rglob("*hush7*"))
    assert "hush7" not in out + err
    return out + err


@pytest.mark.parametrize(
    "word",
    [
        "tracking.uri=http://me:hush7@host:5000",
        "tracking.uri=https://host/?token=hush7",
        "data.evaluation=smb://me:hush7@nas/e.npz",
        "description='see https://me:hush7@host'",
        "+hydra.sweeper.storage=postgresql://me:hush7@db/x",
        "hydra.job.env_set.MLFLOW_TRACKING_URI=http://me:hush7@host",
        "++hydra.run.dir=http://me:hush7@host",
    ],
)
def test_no_word_of_the_command_line_brings_a_password_into_a_run(
    tmp_path: Path, word: str, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = [*arguments(tmp_path / "in", "tracking=mlflow"), word]
    for line in (
        argv,
        ["-m", *argv, "seed=0,1"],
        ["plan", *argv],
        ["search", *argv, "seed=0,1"],
        [*argv, "--cfg", "job"],
    ):
        assert main(line) == 2
        assert "MLFLOW_TRACKING_PASSWORD" in told(tmp_path, capfd)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_neither_a_file_nor_the_environment_brings_one_in(tmp_path: Path, capfd, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLACE", "http://me:hush7@host")
    argv = arguments(tmp_path / "in")
    for word in ("description=${oc.env:PLACE}", "data.evaluation=${oc.env:PLACE}", "tracking.uri=${oc.env:PLACE}"):
        more = ["tracking=mlflow", word] if "tracking" in word else [word]
        assert main([*argv, *more]) == 2
        assert main(["-m", *argv, *more, "hydra.sweep.dir=s"]) == 2
        assert "password" in told(tmp_path, capfd)
    text = (
        "defaults: [{/model: resnet18}, {/data: digits}, _self_]\npasses: {}\ndescription: 'at http://me:hush7@host'\n"
    )
    bad = tmp_path / "bad.yaml"
    bad.write_text(text)
    codes = [main(line) for line in (["recipe=bad.yaml"], ["-m", "recipe=bad.yaml", "seed=0,1"])]
    bad.unlink()
    assert codes == [2, 2]
    assert "bad.yaml: description: " in told(tmp_path, capfd)


@pytest.fixture
def refusing() -> Iterator[int]:
    """The port of a server that answers, and lets nobody in."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403, f"not for {self.headers.get('Authorization')} at {self.path}")

        do_POST = do_GET

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_the_address_of_the_environment_reaches_no_file_and_no_line(tmp_path, refusing, capfd, monkeypatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hush7@127.0.0.1:{refusing}?token=hush7")
    argv = arguments(tmp_path / "in", "tracking=mlflow")
    assert main([*argv, "hydra.run.dir=run"]) == 0
    assert main(["-m", *argv, "hydra.sweep.dir=sweep", "passes.quantize.exclude=[nowhere]"]) == 1
    assert main(["track", "run"]) == 1
    assert "The run is whole" in told(tmp_path, capfd)


def test_what_a_library_says_is_recorded_without_it(tmp_path: Path, monkeypatch) -> None:
    from edgepipe.recipe.compose import compose

    recipe, plan = compose(arguments(tmp_path / "in"))

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("cannot reach http://me:hush7@host/x")

    monkeypatch.setattr(type(recipe.model.settings), "digests", fails)
    outcome = run(recipe, plan, tmp_path / "run")
    assert outcome.metrics.failure is not None
    assert "http://***@host/x" in outcome.metrics.failure.message
    assert b"hush7" not in (tmp_path / "run" / "metrics.json").read_bytes()
