"""Whether a bundle is whole and answers here as it must."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.base.files import is_file, is_folder
from edgepipe.bundle.build import answers, program_files
from edgepipe.bundle.manifest import BUNDLE_FILE, GOLDEN_FILE, INPUT, OUTPUT, TOLERANCE, Bundle, golden_of, read_bundle
from edgepipe.bundle.page import FILES, FIXED, UNDER, module_files
from edgepipe.contract.artifact import RUNS, file_sha256
from edgepipe.data import sound_features
from edgepipe.data.arrays import LABELS
from edgepipe.data.npz_file import read_npz
from edgepipe.errors import DataError, InputError, RecipeError
from edgepipe.onnx.alike import alike
from edgepipe.onnx.batch_axis import count_of
from edgepipe.plugins import find
from edgepipe.sources.first_run import tried_file
from edgepipe.verify.int8_graph import float_operators


def problems(folder: Path) -> tuple[Bundle, list[str]]:
    """The bundle, and a sentence for each thing wrong with it.

    Raises:
        InputError: there is no bundle.
        MeasureError: the runtime cannot open or run the model.
    """
    bundle, wrong = damage(folder)
    wrong += [
        f"{name}: a program that edgepipe puts into no bundle: Python would import it beside example.py"
        for name in bundle.files
        if name.lower().endswith(RUNS) and name not in _own(bundle)
    ]
    if wrong:
        return bundle, wrong
    bundle = judged(folder, bundle)
    return bundle, _golden(folder, bundle)


def judged(folder: Path, bundle: Bundle) -> Bundle:
    """The bundle with edgepipe's own measure of its answers: one of its own would let anything pass.

    Raises:
        ModelError: its model takes more time or memory than a first run may.
    """
    given: dict[str, NDArray[Any]] = {}
    with suppress(DataError, OSError):  # told by whoever compares the answers
        given = golden_of(read_npz(folder / GOLDEN_FILE, None, GOLDEN_FILE, LABELS), INPUT)
    shapes = [item.shape for item in bundle.signature.inputs]
    if [value.ndim for value in given.values()] != [len(shape) + 1 for shape in shapes]:
        sizes = [[size if isinstance(size, int) else 1 for size in shape] for shape in shapes]
        names = [item.name for item in bundle.signature.inputs]
        given = {name: np.zeros((0, *size), np.float32) for name, size in zip(names, sizes, strict=True)}
    tried_file(folder / bundle.model, given, str(folder / bundle.model), bundle.signature)
    exact = not float_operators(folder / bundle.model)
    return bundle.model_copy(update={"tolerance": TOLERANCE, "bit_identical": exact})


def damage(folder: Path) -> tuple[Bundle, list[str]]:
    """The bundle, and a sentence for each file that is not as it was sealed; runs nothing.

    Raises:
        InputError: there is no bundle.
    """
    bundle = read_bundle(folder)
    wrong = []
    for name, entry in bundle.files.items():
        path = folder / name
        try:
            if _leads_out(path, folder):
                wrong.append(f"{name}: lies outside the bundle")
            elif not is_file(path):
                wrong.append(f"{name}: missing")
            elif path.stat().st_size != entry.size_bytes or file_sha256(path) != entry.sha256:
                wrong.append(f"{name}: changed: its content does not match the SHA-256 in {BUNDLE_FILE}")
        except (OSError, ValueError, InputError) as error:  # also a name that no file can have
            wrong.append(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() and _leads_out(path, folder):
            wrong.append(f"{name}: a link that leads outside the bundle")
        elif not is_file(path) and not is_folder(path):
            wrong.append(f"{name}: neither a file nor a folder")
        elif is_file(path) and name not in bundle.files and name != BUNDLE_FILE and "__pycache__" not in path.parts:
            wrong.append(f"{name}: not named in {BUNDLE_FILE}")
    needed = (bundle.model, GOLDEN_FILE)
    wrong += [f"{name}: {BUNDLE_FILE} does not name it" for name in needed if name not in bundle.files]
    return bundle, wrong


_SOUND = Path(sound_features.__file__)
_PROGRAMS = ("example.py", *FIXED)


def edited(folder: Path, bundle: Bundle) -> list[str]:
    """Its programs that are not those of this edgepipe: of another version, or changed by whoever sealed it."""
    ours = _own(bundle)
    return [name for name in ours if name in bundle.files and file_sha256(folder / name) != file_sha256(ours[name])]


def _own(bundle: Bundle) -> dict[str, Path]:
    """The programs that edgepipe puts into such a bundle, by their names there."""
    found = {name: FILES / name for name in _PROGRAMS}
    if bundle.signature.sound is not None:
        found[_SOUND.name] = _SOUND
    with suppress(RecipeError):  # a task that nobody here knows
        task = find("tasks", bundle.signature.task)
        package = task.program
        if task.page and bundle.page is not None:
            found |= {f"{UNDER}/{file.name}": file for file in module_files(task.page)}
        if package and bundle.program is not None:
            found |= {f"{package.rpartition('.')[2]}/{file.name}": file for file in program_files(package)}
    return found


def _leads_out(path: Path, folder: Path) -> bool:
    try:
        return not path.resolve().is_relative_to(folder.resolve())
    except RuntimeError:  # links in a circle, in Python before 3.13
        return True


def _golden(folder: Path, bundle: Bundle) -> list[str]:
    try:
        golden = read_npz(folder / GOLDEN_FILE, None, GOLDEN_FILE, LABELS)
    except DataError as error:
        return [str(error)]
    inputs, expected = (golden_of(golden, prefix) for prefix in (INPUT, OUTPUT))
    if not inputs or not expected:
        return [f"{GOLDEN_FILE}: has no `inputs` and `outputs`, only {', '.join(golden) or 'neither'}"]
    for name, value in inputs.items():
        if value.ndim == 0 or not len(value) or len(value) != count_of(inputs):
            return [f"{GOLDEN_FILE}: holds no examples: `{name or 'inputs'}` has shape {value.shape}"]
    found = answers(folder / bundle.model, inputs, bundle.signature)
    if "" in expected:  # the only one; of a bundle of an older version the first, as float32
        expected = {next(iter(found)): expected[""]}
    return [told for name, value in expected.items() for told in _differs(bundle, name, value, found)]


def _differs(bundle: Bundle, name: str, expected: NDArray[Any], found: Mapping[str, NDArray[Any]]) -> list[str]:
    of = f" of output '{name}'" if len(found) > 1 else ""
    if np.isnan(expected).any():
        return [f"{GOLDEN_FILE}: its `outputs`{of} hold NaN, which no answer can be held against"]
    if name not in found:
        return [f"{GOLDEN_FILE}: holds an output '{name}', and the model gives {', '.join(found)}"]
    got = found[name].astype(expected.dtype) if bundle.feed is None else found[name]
    if got.shape != expected.shape:
        return [f"golden outputs{of} have shape {expected.shape}, the model answers {got.shape}"]
    if got.tobytes() == expected.tobytes():
        return []
    far = alike(expected, got)
    told = f"answers differ from the golden outputs{of} by {far.largest_difference:.3g}"
    if bundle.bit_identical:
        return [f"{told}; an int8 graph must meet them bit for bit"]
    return [] if far.largest_difference <= bundle.tolerance * far.largest else [told]
