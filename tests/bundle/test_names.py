"""Names of classes and files as people and other systems write them: they work to the end, and are shown printably."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from onnx import helper, numpy_helper
from pydantic import BaseModel

from edgepipe.base.files import read_record, writable, write_text
from edgepipe.bundle.build import build
from edgepipe.bundle.manifest import read_bundle
from edgepipe.bundle.verify import problems
from edgepipe.data.image_folder import ImageFolderData
from tests.data.drawing import png, write
from tests.measure.graphs import save

NAMES = ("<b>bold<b>", "[a](http:)|`b", "__dunder__", "caf\udce9", "line\nbreak\x1b[31m", "*star* $x$ ~~y~~")
SHOWN = ("*star* $x$ ~~y~~", "<b>bold<b>", "[a](http:)|`b", "__dunder__", "caf\\xe9", "line\\nbreak\\x1b[31m")


class _Record(BaseModel):
    overrides: list[str] = []
    facts: dict[str, object] = {}


def test_a_record_holds_names_that_are_no_utf8_printably(tmp_path: Path) -> None:
    fine = _Record(overrides=["data.root=K\u00e4se"])
    assert writable(fine) is fine
    odd = _Record(overrides=["data.root=caf\udce9"], facts={"notes": ["a\udce9", 1, None], "b\udce9": {"c": "\ud800"}})
    write_text(tmp_path / "r.json", writable(odd).model_dump_json())
    found = read_record(tmp_path / "r.json", _Record, "")
    assert found.overrides == ["data.root=caf\\xe9"]
    assert found.facts == {"notes": ["a\\xe9", 1, None], "b\\xe9": {"c": "\\ud800"}}


def test_a_bundle_of_classes_and_files_of_any_name(tmp_path: Path) -> None:
    files = {f"{name}/p\udce9\x1b {row}.png": png(10 * at + row) for at, name in enumerate(NAMES) for row in range(6)}
    root = write(tmp_path / "pictures", files)
    data = ImageFolderData(root=root, image_size=8, calibration_size=5, mean=(0, 0, 0), std=(1, 1, 1)).open(tmp_path)
    assert data.signature.classes == SHOWN
    kernel = np.zeros((6, 3, 8, 8), np.float32)
    kernel[4] = 1  # every picture is answered with the fifth class
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Flatten", ["c"], ["y"])]
    final = tmp_path / "final\udce9"
    final.mkdir()
    save(final / "model.onnx", nodes, [numpy_helper.from_array(kernel, "w")], input_shape=("n", 3, 8, 8))
    build(final, "names", data.signature, data, browser=False)
    assert read_bundle(final).signature.classes == SHOWN
    assert problems(final)[1] == []

    picture = os.fsencode(next((root / NAMES[0]).iterdir()))
    command = [os.fsencode(sys.executable), os.fsencode(final / "example.py"), picture]
    for locale in ("C", "C.UTF-8"):
        ended = subprocess.run(
            command,
            capture_output=True,
            check=True,
            env={"PATH": os.environ["PATH"], "LC_ALL": locale, "PYTHONUTF8": "0"},
        )
        (line,) = ended.stdout.decode().splitlines()
        assert "/p\\xe9\\x1b " in line
        assert ": caf\\xe9 (100.0%), " in line
