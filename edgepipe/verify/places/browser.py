"""The browser: onnxruntime-web in Node and in headless Chromium, with one thread and two."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edgepipe.contract import Done, Place, PlaceAnswers, Processor
from edgepipe.errors import VerifyError
from edgepipe.verify.inputs import Plan
from edgepipe.verify.installed import install_into, installed, run_or_say
from edgepipe.verify.places.chromium import chromium, open_page
from edgepipe.verify.processes import stream, version_of

PACKAGE = "onnxruntime-web"
WEB = Path(__file__).parents[1] / "web"


def distribution() -> Path:
    """Folder of the runtime's .mjs and .wasm files."""
    return installed("browser_wasm") / "node_modules" / PACKAGE / "dist"


def runtime_version() -> str:
    """Version of the installed runtime, "" when there is none."""
    try:
        text = (distribution().parent / "package.json").read_text(encoding="utf-8")
    except OSError:
        return ""
    return str(json.loads(text)["version"])


def _identity(program: str) -> dict[str, str]:
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(WEB.iterdir()))).hexdigest()
    return {"runtime": runtime_version(), "program": version_of([program, "--version"]), "javascript": code}


@dataclass(frozen=True)
class Prepared:
    """What the script is given: raw bytes of all inputs of an example, one behind the other, and `job.json`."""

    raw: Path
    job: Path
    example_bytes: int


def _prepare(inputs: Path, count: int, work: Path, threads: int) -> Prepared:
    plan = Plan.read(inputs)
    arrays = [np.load(inputs / item["file"], mmap_mode="r") for item in plan.inputs]
    raw = work / "inputs.bin"
    with raw.open("wb") as file:
        for row in range(count):
            for array in arrays:
                file.write(np.ascontiguousarray(array[row]).tobytes())
    sizes = [array[0].nbytes for array in arrays]
    job = {
        "count": count,
        "inputs": [
            {**item, "shape": list(array.shape[1:]), "bytes": size}
            for item, array, size in zip(plan.inputs, arrays, sizes, strict=True)
        ],
        "outputs": list(plan.outputs),
        "batch": plan.batch,
        "steps": plan.steps,
        "state": dict(plan.state),
        "threads": threads,
        "bytes": sum(sizes),
    }
    (work / "job.json").write_text(json.dumps(job), encoding="utf-8")
    return Prepared(raw, work / "job.json", sum(sizes))


def _answers(raw: bytes, said: dict[str, Any], count: int, name: str) -> PlaceAnswers:
    """`said["outputs"]`: of each its name, type, the bytes of all examples, and the shape of one."""
    outputs, at = {}, 0
    try:
        for each in said["outputs"]:
            values = np.frombuffer(raw[at : at + each["bytes"]], np.dtype(each["type"]))
            outputs[str(each["name"])] = values.reshape(count, *each["shape"])
            at += each["bytes"]
    except (TypeError, ValueError, KeyError) as error:
        raise VerifyError(f"{name}: its answers cannot be read: {error}") from None
    return PlaceAnswers(outputs, said["runtime"], said["milliseconds"])


@dataclass(frozen=True)
class Node:
    """WebAssembly in Node: the browser's engine without the browser."""

    timed: ClassVar[bool] = True
    threads: int

    @property
    def name(self) -> str:
        """For people."""
        return f"Node, {self.threads} thread{'s' if self.threads > 1 else ''}"

    def identity(self) -> dict[str, str]:
        """Node, the runtime and the script."""
        return _identity("node")

    def answer(self, model: Path, inputs: Path, count: int, work: Path, done: Done) -> PlaceAnswers:
        """Answers and real milliseconds."""
        given = _prepare(inputs, count, work, self.threads)
        out = work / "outputs.bin"
        script = [str(WEB / "node_worker.mjs"), str(distribution()), str(model.absolute())]
        said = stream(
            ["node", *script, str(given.job), str(given.raw), str(out), str(self.threads)], None, self.name, done
        )
        return _answers(out.read_bytes(), said, count, self.name)


@dataclass(frozen=True)
class Chromium:
    """A page in headless Chromium, served with the headers without which it would have one thread only."""

    timed: ClassVar[bool] = True
    threads: int

    @property
    def name(self) -> str:
        """For people."""
        return f"Chromium, {self.threads} thread{'s' if self.threads > 1 else ''}"

    def identity(self) -> dict[str, str]:
        """Chromium, the runtime and the page."""
        return _identity(chromium() or "chromium")

    def answer(self, model: Path, inputs: Path, count: int, work: Path, done: Done) -> PlaceAnswers:
        """Answers and real milliseconds."""
        given = _prepare(inputs, count, work, self.threads)
        files = {
            "/page.html": WEB / "page.html",
            "/answers.mjs": WEB / "answers.mjs",
            "/model.onnx": model,
            "/job.json": given.job,
            **{f"/ort/{path.name}": path for path in runtime_files()},
        }
        outputs, said = open_page(files, given.raw, given.example_bytes, self.name, work, done)
        return _answers(outputs, said, count, self.name)


def runtime_files() -> list[Path]:
    """The three files that a page needs: the script, and WebAssembly with its loader."""
    names = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
    return [distribution() / name for name in names]


class BrowserWasm(Place):
    """WebAssembly with SIMD, as browsers run it."""

    installs: ClassVar[bool] = True
    timed: ClassVar[bool] = True
    page: ClassVar[bool] = True

    def lacking(self) -> str | None:
        """Node, Chromium or the runtime."""
        if shutil.which("node") is None:
            return "node is missing: apt-get install nodejs npm"
        if chromium() is None:
            return "chromium is missing: apt-get install chromium"
        if not all(path.is_file() for path in runtime_files()):
            return f"{PACKAGE} is not installed: edgepipe targets install browser_wasm"
        return None

    def processors(self) -> Sequence[Processor]:
        """Node and Chromium, one thread and two."""
        return [Node(1), Node(2), Chromium(1), Chromium(2)]

    def install(self, say: Callable[[str], None]) -> Path:
        """Fetch onnxruntime-web with npm, as npm is configured; scripts of packages are not run.

        Raises:
            VerifyError: npm is missing or could not fetch it.
        """
        if shutil.which("npm") is None:
            raise VerifyError("targets install browser_wasm: npm is missing: apt-get install nodejs npm")
        home = installed("browser_wasm")

        def fill(part: Path) -> None:
            say(f"fetching {PACKAGE}")
            options = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(part)]
            run_or_say(["npm", "install", *options, PACKAGE], "targets install browser_wasm")

        install_into(home, fill)
        return home
