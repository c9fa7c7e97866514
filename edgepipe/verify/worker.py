"""A model's answers to saved inputs, one example at a time.

Runs alone, on the interpreter of another processor too: it needs numpy and onnxruntime, not edgepipe.

    python worker.py MODEL.onnx INPUTS OUTPUTS FIRST LAST [exact]

INPUTS: a folder with inputs.json, as `edgepipe.verify.inputs` writes it, and an .npy file, (n, ...), for each input.
OUTPUTS: a folder; writes N.npy, (LAST - FIRST, ...), for output number N, behind the examples an axis of steps where an
example has several. Standard output: the number of examples done, a line each; last, `{"runtime": version,
"milliseconds": [...]}`, an entry for each run of the model.
`exact`: on x86 without VNNI, the slower int8 kernels that cannot saturate; elsewhere it changes nothing.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort


def main(model: str, inputs: Path, outputs: Path, first: int, last: int, exact: bool) -> None:
    """Answer the examples from `first` up to, not including, `last`."""
    plan = json.loads((inputs / "inputs.json").read_text(encoding="utf-8"))
    try:
        answers, milliseconds = run(model, inputs, plan, first, last, exact)
    except Exception:  # ONNX Runtime 1.31 mixes the exact kernels up beside an If or a Loop
        if not exact:
            raise
        answers, milliseconds = run(model, inputs, plan, first, last, False)
    for index, output in enumerate(plan["outputs"]):
        shapes = {part.shape[1:] for part in answers[index]}
        if len(shapes) > 1:
            sys.exit(f"output {output['name']!r} has another shape for each example: {sorted(shapes)[:2]} ...")
        np.save(outputs / f"{index}.npy", np.concatenate(answers[index]))
    print(json.dumps({"runtime": f"onnxruntime {ort.__version__}", "milliseconds": milliseconds}), flush=True)


def run(
    model: str, inputs: Path, plan: "dict[str, Any]", first: int, last: int, exact: bool
) -> "tuple[list[list[np.ndarray]], list[float]]":
    """By output the answers, (n, ...) of each run, and the milliseconds of each run."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    given = [(item, np.load(inputs / item["file"], mmap_mode="r")) for item in plan["inputs"]]
    names, batch = [item["name"] for item in plan["outputs"]], plan["batch"]
    asked = list(dict.fromkeys([*names, *plan["state"].values()]))
    answers: list[list[np.ndarray]] = [[] for _ in names]
    milliseconds = []
    for start in range(first, last, batch):
        count = min(batch, last - start)
        rows = {item["name"]: filled_up(array[start : start + count], batch) for item, array in given}
        steps: list[list[np.ndarray]] = [[] for _ in names]
        state: dict[str, np.ndarray] = {}
        for step in range(plan["steps"]):
            fed = {item["name"]: placed(rows[item["name"]], item, step) for item, _ in given}
            fed.update(state)
            began = time.perf_counter()
            found = dict(zip(asked, session.run(asked, fed)))  # noqa: B905  Python 3.9 on a device has no strict
            milliseconds.append(1000 * (time.perf_counter() - began))
            for index, item in enumerate(plan["outputs"]):
                steps[index].append(examples_first(np.asarray(found[item["name"]]), batch, item["axis"])[:count])
            state = {name: found[output] for name, output in plan["state"].items()}
        for index, parts in enumerate(steps):
            answers[index].append(np.stack(parts, axis=1) if plan["state"] else parts[0])
        print(start + count - first, flush=True)
    return answers, milliseconds


def filled_up(some: np.ndarray, batch: int) -> np.ndarray:
    """A fixed batch, the last example repeated."""
    return np.concatenate([some, np.repeat(some[-1:], batch - len(some), axis=0)])


def placed(rows: np.ndarray, item: "dict[str, Any]", step: int) -> np.ndarray:
    """The rows of one run, (n, ...), as the graph takes them."""
    rows = rows[:, step] if item["stepped"] else rows
    placed = rows[0] if item["axis"] is None else np.moveaxis(rows, 0, item["axis"])
    return np.ascontiguousarray(placed)


def examples_first(answer: np.ndarray, batch: int, axis: "int | None" = None) -> np.ndarray:
    """The answer with the axis in front that counts the examples; of a batch of 1 all of it is one example's."""
    if batch == 1:
        return answer if answer.shape[:1] == (1,) else answer[None]
    found = [axis for axis, size in enumerate(answer.shape) if size == batch]
    if not found:
        raise ValueError(f"an output of shape {answer.shape} for {batch} examples")
    return np.moveaxis(answer, found[0] if axis is None else axis, 0)


if __name__ == "__main__":
    places = Path(sys.argv[2]), Path(sys.argv[3])
    main(sys.argv[1], *places, int(sys.argv[4]), int(sys.argv[5]), "exact" in sys.argv[6:])
