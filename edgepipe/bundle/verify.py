"""Whether a bundle is whole and answers here as it must."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgepipe.artifact import file_sha256
from edgepipe.bundle.build import answers
from edgepipe.bundle.manifest import BUNDLE_FILE, GOLDEN_FILE, Bundle, read_bundle


def problems(folder: Path) -> tuple[Bundle, list[str]]:
    """The bundle, and a sentence for each thing wrong with it.

    Raises:
        InputError: there is no bundle.
        MeasureError: the runtime cannot open or run the model.
    """
    bundle, wrong = damage(folder)
    return bundle, wrong or _golden(folder, bundle)


def damage(folder: Path) -> tuple[Bundle, list[str]]:
    """The bundle, and a sentence for each file that is not as it was sealed; runs nothing.

    Raises:
        InputError: there is no bundle.
    """
    bundle = read_bundle(folder)
    wrong = []
    for name, entry in bundle.files.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            wrong.append(f"{name}: lies outside the bundle")
        elif not path.is_file():
            wrong.append(f"{name}: missing")
        elif path.stat().st_size != entry.size_bytes or file_sha256(path) != entry.sha256:
            wrong.append(f"{name}: changed: its content does not match the SHA-256 in {BUNDLE_FILE}")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in bundle.files and name != BUNDLE_FILE and "__pycache__" not in path.parts:
            wrong.append(f"{name}: not named in {BUNDLE_FILE}")
    needed = (bundle.model, GOLDEN_FILE)
    wrong += [f"{name}: {BUNDLE_FILE} does not name it" for name in needed if name not in bundle.files]
    return bundle, wrong


def _golden(folder: Path, bundle: Bundle) -> list[str]:
    with np.load(folder / GOLDEN_FILE, allow_pickle=False) as golden:
        inputs, expected = golden["inputs"], golden["outputs"]
    found = answers(folder / bundle.model, inputs)
    if found.shape != expected.shape:
        return [f"golden outputs have shape {expected.shape}, the model answers {found.shape}"]
    if found.tobytes() == expected.tobytes():
        return []
    difference = float(np.abs(found.astype(np.float64) - expected).max())
    if bundle.bit_identical:
        return [f"answers differ from the golden outputs by {difference:.3g}; an int8 graph must meet them bit for bit"]
    allowed = bundle.tolerance * float(np.abs(expected).max())
    return [] if difference <= allowed else [f"answers differ from the golden outputs by {difference:.3g}"]
