"""Headless Chromium on a page that this process serves."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from edgepipe.base import children
from edgepipe.contract import Done
from edgepipe.errors import VerifyError
from edgepipe.verify.processes import SILENCE_SECONDS

ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Without these a page gets no shared memory, and so one thread, without a word."""

_TYPES = {".html": "text/html", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json"}


def chromium() -> str | None:
    """The browser's program on this machine."""
    return next((name for name in ("chromium", "chromium-browser", "google-chrome") if shutil.which(name)), None)


def command(url: str, profile: Path) -> list[str]:
    """Chromium, headless, on one page, with a profile of its own."""
    # As root (in a container) Chromium refuses to start with its sandbox; the page is our own.
    rights = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    quiet = ["--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
    return [str(chromium()), "--headless=new", *rights, *quiet, f"--user-data-dir={profile}", url]


def open_page(
    files: Mapping[str, Path], inputs: Path, example_bytes: int, name: str, work: Path, done: Done
) -> tuple[bytes, dict[str, Any]]:
    """Serve `files` and the inputs, open /page.html, and wait for what it posts.

    Returns:
        The bytes of the outputs, and what the page said of them.
    Raises:
        VerifyError: the page reports an error, the browser ends, or nothing happens for long.
    """
    events: queue.Queue[tuple[str, bytes]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if path == "/inputs":
                first, last = map(int, query.split(","))
                with inputs.open("rb") as stream:
                    stream.seek(first * example_bytes)
                    self._send(stream.read((last - first) * example_bytes), "application/octet-stream")
            elif path in files:
                self._send(files[path].read_bytes(), _TYPES.get(files[path].suffix, "application/octet-stream"))
            else:
                self._send(b"not here", "text/plain", 404)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._send(b"", "text/plain")
            events.put((self.path, body))

        def _send(self, body: bytes, kind: str, status: int = 200) -> None:
            self.send_response(status)
            for key, value in {**ISOLATED, "Content-Type": kind, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing: the terminal shows progress."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/page.html"
    with (work / "chromium.log").open("wb") as log:
        try:
            with children.running(command(url, work / "profile"), stdout=log, stderr=log) as browser:
                try:
                    return _wait(browser, events, name, work, done)
                finally:
                    browser.terminate()
                    with suppress(subprocess.TimeoutExpired):
                        browser.wait(timeout=10)
        finally:
            server.shutdown()
            server.server_close()


def _wait(
    browser: subprocess.Popen[bytes], events: queue.Queue[tuple[str, bytes]], name: str, work: Path, done: Done
) -> tuple[bytes, dict[str, Any]]:
    outputs = b""
    waited = 0
    while True:
        try:
            path, body = events.get(timeout=1)
        except queue.Empty:
            waited += 1
            if browser.poll() is not None:
                said = (work / "chromium.log").read_text(encoding="utf-8", errors="replace")[-300:]
                raise VerifyError(f"{name}: the browser ended with {browser.returncode}: {said}") from None
            if waited > SILENCE_SECONDS:
                raise VerifyError(f"{name}: the page was silent for {SILENCE_SECONDS} s") from None
            continue
        waited = 0
        if path == "/done":
            done(int(body))
        elif path == "/outputs":
            outputs = body
        elif path == "/said":
            said_by_page: dict[str, Any] = json.loads(body)
            return outputs, said_by_page
        elif path == "/error":
            raise VerifyError(f"{name}: {body.decode(errors='replace')[:500]}")
