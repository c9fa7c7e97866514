"""The digest of code changes with every file that a result depends on, and with no other."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import ClassVar

import pytest

import edgepipe
from edgepipe.contract import Artifact, Job, Kind, Pass
from edgepipe.plugins import NOUNS, find
from edgepipe.store import digests

HERE = Path(edgepipe.__file__).parent
MODELS, PASSES = NOUNS["sources"].built_in, NOUNS["passes"].built_in


def forget() -> None:
    digests.package_digest.cache_clear()
    digests.module_digest.cache_clear()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package that is digested in place of the real one, and may be changed."""
    copy = tmp_path / "edgepipe"
    shutil.copytree(HERE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(digests, "HOME", copy)
    forget()
    yield copy
    forget()


def changes(home: Path, file: str, of: type) -> bool:
    """Whether another byte in a file is another digest of a class's code."""
    before = digests.code_digest(of)
    whole = (home / file).read_bytes()
    (home / file).write_bytes(whole + b"#")
    forget()
    found = digests.code_digest(of) != before
    (home / file).write_bytes(whole)
    forget()
    assert digests.code_digest(of) == before
    return found


def class_of(target: str) -> type:
    module, _, name = target.partition(":")
    found: type = getattr(import_module(module), name)
    return found


_IMPORTED = """
import sys
from importlib import import_module
import_module(sys.argv[1])
from edgepipe.store.digests import sources
for name in sources(sys.argv[1]):
    import_module(name)
print(*[name for name in sys.modules if name.partition(".")[0] == "edgepipe"])
"""


@pytest.mark.parametrize("name", ["export", "quantize_static", "prune_channels"])
def test_a_changed_byte_in_any_file_that_a_pass_imports_changes_its_key(name: str, home: Path) -> None:
    kind = class_of(PASSES[name])
    asked = subprocess.run(
        [sys.executable, "-c", _IMPORTED, kind.__module__], capture_output=True, text=True, timeout=120, check=False
    )
    assert asked.returncode == 0, asked.stderr
    imported = [Path(str(sys.modules[name].__file__)) for name in asked.stdout.split() if name in sys.modules]
    imported += [HERE.joinpath(*name.split(".")[1:]).with_suffix(".py") for name in asked.stdout.split()]
    files = {path.relative_to(HERE).as_posix() for path in imported if path.is_file()}
    files |= {path.relative_to(HERE).as_posix() for path in (HERE / "data").rglob("*.py")}
    files = {path for path in files if not path.startswith(("base/suggest.py", "errors.py", "plugins.py", "store/"))}
    assert len(files) > 40
    assert [path for path in sorted(files) if not changes(home, path, kind)] == []


def test_what_a_pass_does_not_import_is_no_part_of_its_key(home: Path) -> None:
    kind = class_of(PASSES["train"])
    assert not changes(home, "quant/write/qdq.py", kind)
    assert not changes(home, "verify/places/browser.py", kind)
    assert not changes(home, "store/store.py", kind)


def test_a_program_that_is_run_by_its_name_is_part_of_the_key(home: Path) -> None:
    assert changes(home, "sources/keras/to_onnx.py", class_of(MODELS["keras"]))
    assert changes(home, "torch/checkpoint_worker.py", class_of(MODELS["torchvision"]))
    assert changes(home, "sources/first_run_worker.py", class_of(MODELS["onnx"]))


def test_the_init_of_a_package_is_part_of_the_key(home: Path) -> None:
    (home / "quant" / "__init__.py").write_text("import edgepipe.quant.write.fit\n")
    assert changes(home, "quant/__init__.py", class_of(PASSES["quantize_static"]))
    assert changes(home, "contract/__init__.py", class_of(PASSES["export"]))


def test_a_page_of_the_browser_is_part_of_the_digest_of_its_room(home: Path) -> None:
    before = digests.package_digest("verify")
    page = next(path for path in (home / "verify").rglob("*") if path.suffix in (".mjs", ".js", ".html"))
    page.write_bytes(page.read_bytes() + b" ")
    forget()
    assert digests.package_digest("verify") != before


def test_a_third_partys_pass_depends_on_its_package_and_on_what_that_imports(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "their_passes"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from edgepipe.contract import Pass\nclass Theirs(Pass):\n    pass\n")
    (package / "other.py").write_text("from edgepipe.measure.latency import latency\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    kind = import_module("their_passes").Theirs
    assert changes(home, "measure/latency.py", kind)
    assert changes(home, "contract/passes.py", kind)
    assert changes(home, "data/npz.py", kind)
    assert not changes(home, "quant/write/qdq.py", kind)
    before = digests.code_digest(kind)
    (package / "other.py").write_text("from edgepipe.measure.latency import latency as time\n")
    digests._imported.cache_clear()
    assert digests.code_digest(kind) != before
    del sys.modules["their_passes"]


def test_no_code_of_a_pass_is_imported_by_a_computed_name() -> None:
    files = [
        path
        for room in ("passes", "onnx", "torch", "sources", "training", "pruning", "quant", "formats", "data")
        for path in (HERE / room).rglob("*.py")
    ]
    found = [path.name for path in files if re.search(r"import_module\(f?[\"']edgepipe", path.read_text())]
    assert found == []  # `sources` could not see it: a change of that code would be a stale hit


def test_what_measuring_imports_is_part_of_the_key_of_a_measurement() -> None:
    seen = digests.sources("edgepipe.measure.measure")
    assert {"edgepipe.onnx.batch_axis", "edgepipe.onnx.subgraphs", "edgepipe.targets.host"} <= set(seen)


def test_what_a_file_imports_from_beside_it_is_part_of_the_key(home: Path) -> None:
    heads = {f"edgepipe.tasks.detection.heads.{name}" for name in ("boxes", "yolox", "listed")}
    assert heads <= set(digests.sources("edgepipe.tasks.detection.task"))
    assert changes(home, "tasks/detection/heads/boxes.py", find("tasks", "detection"))


def test_the_code_of_a_format_is_part_of_the_key_of_export() -> None:
    used = find("passes", "export")(formats=("onnx", "openvino", "tflite", "pte", "ort")).uses()
    assert [type(each).__module__ for each in used] == [
        f"edgepipe.formats.{name}" for name in ("openvino", "tflite", "pte", "ort")
    ]
    assert "edgepipe.formats.tflite_graph" in digests.sources("edgepipe.formats.tflite")


class Elsewhere(Pass):
    """A pass that no file of edgepipe holds."""

    reads: ClassVar[Kind] = Kind.ONNX
    writes: ClassVar[Kind] = Kind.ONNX

    def apply(self, model: Artifact, job: Job) -> Artifact:
        raise NotImplementedError


def keys() -> dict[str, str]:
    found = {name: digests.code_digest(class_of(target)) for name, target in PASSES.items()}
    return {**found, "a third party's": digests.code_digest(Elsewhere)}


@pytest.mark.parametrize("name", ["decode.py", "splits.py"])
def test_any_changed_byte_of_data_is_another_key_of_every_pass(name: str, home: Path) -> None:
    before = keys()
    whole = (home / "data" / name).read_bytes()
    (home / "data" / name).write_bytes(whole + b"#")
    forget()
    assert [name for name, key in keys().items() if key == before[name]] == []
    (home / "data" / name).write_bytes(whole)
    forget()
    assert keys() == before
