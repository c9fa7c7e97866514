"""What is put beside a deployed model so that it can be used and checked anywhere."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgepipe.bundle.manifest import GOLDEN_FILE, INPUT, OUTPUT, TOLERANCE, Bundle, Feed, named, seal_bundle
from edgepipe.bundle.page import FILES, put_page
from edgepipe.contract import Dataset, Preprocessing, Signature, Split, Task
from edgepipe.contract.artifact import ONNX_FILE
from edgepipe.data.scaling import is_picture, shown
from edgepipe.errors import MeasureError
from edgepipe.onnx.answers import NamedAnswers
from edgepipe.onnx.batch_axis import count_of, cut
from edgepipe.onnx.files import metadata_of
from edgepipe.onnx.sequences import opened
from edgepipe.onnx.session_options import measuring
from edgepipe.plugins import find
from edgepipe.targets.host import versions
from edgepipe.tasks.values import are_shares
from edgepipe.verify.inputs import Plan, plan_of, whole_rows
from edgepipe.verify.int8_graph import float_operators
from edgepipe.verify.places.browser import BrowserWasm, runtime_files

GOLDEN = 8


def build(
    folder: Path,
    name: str,
    signature: Signature,
    data: Dataset,
    *,
    browser: bool,
    libraries: Iterable[str] = (),
    task: Task | None = None,
) -> Bundle:
    """Add golden inputs and outputs, the example, and for models of one picture or sound the page; write bundle.json.

    Args:
        folder: holds `model.onnx` already.
        browser: put the browser's runtime (14 MB) beside the page, where it is installed.
        libraries: distributions that the model came through; their versions are noted too.
        task: says what outputs mean; None: the one of the data, as it is by default.
    """
    task = find("tasks", signature.task)() if task is None else task
    model = folder / ONNX_FILE
    count = min(GOLDEN, data.count(Split.EVALUATION))
    batch = next(data.batches(Split.EVALUATION, count, range(count)))
    session = opened(model, data.signature, measuring(1))
    rows = session.rows(batch.inputs)
    asked = _one_by_one(model, rows, data.signature, exact=True)
    kept = len(asked)
    if len({tuple(value.shape for value in one.values()) for one in asked}) > 1:
        kept = 1  # lists of boxes, say: as long as each example has it, and arrays of a file hold one length
        rows = cut(rows, 0, kept)
    found = _joined(asked[:kept])
    golden: dict[str, NDArray[Any]] = {**named(INPUT, rows), **named(OUTPUT, found)}
    if batch.labels is not None:
        golden["labels"] = np.asarray(batch.labels)[:kept]
    np.savez_compressed(folder / GOLDEN_FILE, allow_pickle=False, **golden)
    pictures = _pictures(folder, next(iter(rows.values())), signature) if len(rows) == 1 else []
    shutil.copyfile(FILES / "example.py", folder / "example.py")
    for file, content in getattr(data, "files", {}).items():  # a tokenizer, say
        (folder / Path(file).name).write_bytes(content)
    page = None
    if pictures or signature.sound is not None:
        page = put_page(folder, task.with_model(metadata_of(model)), found, data.signature)
        if browser:
            add_runtime(folder)
    bundle = Bundle(
        name=name,
        model=ONNX_FILE,
        signature=signature,
        feed=_feed(plan_of(session, whole_rows(session, rows))),
        bit_identical=not float_operators(model),
        tolerance=TOLERANCE,
        probabilities=signature.task == "classification" and are_shares(next(iter(found.values()))),
        program=_program(folder, task, found, data.signature),
        page=page,
        pictures=tuple(pictures),
        versions=versions(sorted({"edgepipe", "onnx", "onnxruntime", "numpy", "pillow", *libraries})),
    )
    return seal_bundle(folder, bundle)


def _program(
    folder: Path, task: Task, outputs: Mapping[str, NDArray[Any]], signature: Signature
) -> dict[str, Any] | None:
    """Copy the task's program beside example.py."""
    if not task.program:
        return None
    package = task.program.rpartition(".")[2]
    (folder / package).mkdir()
    for file in program_files(task.program):
        shutil.copyfile(file, folder / package / file.name)
    return {"package": package, "settings": task.for_program(outputs, signature)}


def program_files(package: str) -> list[Path]:
    """The files of a package that goes with bundles."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    return sorted(Path(spec.origin).parent.glob("*.py"))


def add_runtime(folder: Path) -> str | None:
    """Copy onnxruntime-web beside the page; returns what is lacking for it."""
    lacking = BrowserWasm().lacking()
    if not all(path.is_file() for path in runtime_files()):
        return lacking
    (folder / "ort").mkdir(exist_ok=True)
    try:
        for path in runtime_files():
            shutil.copyfile(path, folder / "ort" / path.name)
    except BaseException:
        shutil.rmtree(folder / "ort", ignore_errors=True)  # no half a runtime, which `bundle verify` would refuse
        raise
    return None


def _feed(plan: Plan) -> Feed:
    inputs = tuple({key: value for key, value in item.items() if key != "file"} for item in plan.inputs)
    return Feed(
        inputs=inputs,
        outputs=tuple(dict(item) for item in plan.outputs),
        batch=plan.batch,
        steps=plan.steps,
        state=dict(plan.state),
    )


def answers(
    model: Path, inputs: Mapping[str, NDArray[Any]], signature: Signature, *, exact: bool = False
) -> dict[str, NDArray[Any]]:
    """Every output of numbers, (n, ...) by name, one example at a time as on a device.

    Args:
        inputs: examples by name, (n, ...) each.
        signature: says whether they have steps.
        exact: with int8 kernels that cannot saturate, on x86 without VNNI.
    Raises:
        MeasureError: an output has another shape for each example.
    """
    return _joined(_one_by_one(model, inputs, signature, exact=exact))


def _joined(rows: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    for name in rows[0]:
        shapes = sorted({row[name].shape[1:] for row in rows})
        if len(shapes) > 1:
            raise MeasureError(f"output '{name}' has another shape for each example: {shapes[0]}, {shapes[1]}")
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _one_by_one(
    model: Path, inputs: Mapping[str, NDArray[Any]], signature: Signature, *, exact: bool
) -> list[dict[str, NDArray[Any]]]:
    options = measuring(1)
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        session = opened(model, signature, options)
        asked = NamedAnswers(session, [item.name for item in session.outputs if item.dtype is not None])
        return [asked(cut(inputs, row, row + 1)) for row in range(count_of(inputs))]
    except MeasureError:
        if exact:  # ONNX Runtime 1.31 mixes these kernels up beside an If or a Loop
            return _one_by_one(model, inputs, signature, exact=False)
        raise


def _pictures(folder: Path, inputs: NDArray[Any], signature: Signature) -> list[str]:
    """Golden inputs as PNG, of the input's size, which preprocessing makes the same inputs of; none of no pictures."""
    prep = signature.preprocessing
    if prep.image_size is None or not is_picture(inputs.shape[1:], prep):
        return []
    (folder / "pictures").mkdir(exist_ok=True)
    names = []
    for row, picture in enumerate(inputs):
        names.append(f"pictures/{row}.png")
        Image.fromarray(shown(_taken(picture, prep), prep)).save(folder / names[-1])
    return names


def _taken(picture: NDArray[Any], prep: Preprocessing) -> NDArray[Any]:
    """Of a line of text, (channels, height, width), the part that it takes: what is 0 behind it was left free."""
    if not prep.fit.startswith("line"):
        return picture
    taken = np.flatnonzero((picture != 0).any(axis=(0, 1)))
    return picture[:, :, : int(taken[-1]) + 1 if len(taken) else 1]
