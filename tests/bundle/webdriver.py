"""Just enough of the WebDriver protocol to use a page in Debian's chromium-driver as a person does."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

from edgepipe.verify.places.chromium import chromium

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's name for "this is an element"


class Browser:
    """One headless window; a context manager."""

    def __init__(self, size: str = "1000,860") -> None:
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
        assert self.driver.stdout is not None
        port = next(
            found[1] for line in self.driver.stdout if (found := re.search(r"successfully on port (\d+)", line))
        )
        self.url = f"http://127.0.0.1:{port}"
        rights = ["--no-sandbox"] if os.geteuid() == 0 else []
        arguments = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", f"--window-size={size}", *rights]
        found = {"binary": shutil.which(chromium() or "chromium"), "args": arguments}
        wanted = {"browserName": "chrome", "goog:chromeOptions": {key: value for key, value in found.items() if value}}
        made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = f"/session/{made['sessionId']}"

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *details: Any) -> None:
        try:
            self._call("DELETE", self.session)
        finally:
            self.driver.terminate()
            self.driver.wait(timeout=10)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def open(self, url: str) -> None:
        self._call("POST", f"{self.session}/url", {"url": url})

    def run(self, script: str) -> Any:
        return self._call("POST", f"{self.session}/execute/sync", {"script": script, "args": []})

    def choose_file(self, selector: str, path: Path) -> None:
        """What a person does in the dialog of a file input."""
        found = self._call("POST", f"{self.session}/element", {"using": "css selector", "value": selector})
        self._call("POST", f"{self.session}/element/{found[ELEMENT]}/value", {"text": str(path.absolute())})

    def wait_for(self, script: str, seconds: float = 90) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.run(script)
            if found:
                return found
            time.sleep(0.2)
        raise AssertionError(f"never true: {script}; the page says: {self.run('return document.body.innerText')}")

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("GET", f"{self.session}/screenshot")))
