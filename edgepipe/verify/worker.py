"""A model's answers to saved inputs, one example at a time.

Runs alone, on the interpreter of another processor too: it needs numpy and onnxruntime, not edgepipe.

    python worker.py MODEL.onnx INPUTS.npy OUTPUTS.npy FIRST LAST [exact] [axis=N]

INPUTS: (n, ...). Writes float32 (LAST - FIRST, ...), the model's first output. Standard output: the
number of examples done, a line each; last, `{"runtime": version, "milliseconds": [...]}`.
`axis`: of the output, counts the examples of a fixed batch; by default the first one of its size.
`exact`: on x86 without VNNI, the slower int8 kernels that cannot saturate; elsewhere it changes nothing.
"""

import json
import sys
import time

import numpy as np
import onnxruntime as ort

TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64", "tensor(bool)": "bool"}
TYPES |= {f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


def main(model: str, inputs: str, outputs: str, first: int, last: int, exact: bool, axis: int | None = None) -> None:
    """Answer the examples from `first` up to, not including, `last`."""
    try:
        answers, milliseconds = run(model, inputs, first, last, exact, axis)
    except Exception:  # ONNX Runtime 1.31 mixes the exact kernels up beside an If or a Loop
        if not exact:
            raise
        answers, milliseconds = run(model, inputs, first, last, False, axis)
    np.save(outputs, np.concatenate(answers))
    print(json.dumps({"runtime": f"onnxruntime {ort.__version__}", "milliseconds": milliseconds}), flush=True)


def run(
    model: str, inputs: str, first: int, last: int, exact: bool, axis: int | None = None
) -> tuple[list[np.ndarray], list[float]]:
    """The answers and the milliseconds of each run."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    wanted = session.get_inputs()[0]
    shape = wanted.shape or [None]
    batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else 1
    examples = np.load(inputs, mmap_mode="r")
    kind = np.dtype(TYPES[wanted.type])
    rounded = kind.kind in "iub" and examples.dtype.kind == "f"  # what they lose was asked for where they came from
    answers, milliseconds = [], []
    for start in range(first, last, batch):
        some = examples[start : min(start + batch, last)]
        some = np.asarray(np.rint(some) if rounded else some, dtype=kind)
        fed = np.concatenate([some, np.repeat(some[-1:], batch - len(some), axis=0)])  # a fixed batch is filled up
        began = time.perf_counter()
        answer = session.run(None, {wanted.name: fed})[0]
        milliseconds.append(1000 * (time.perf_counter() - began))
        answers.append(examples_first(np.asarray(answer), batch, axis)[: len(some)].astype(np.float32))
        print(start + len(some) - first, flush=True)
    return answers, milliseconds


def examples_first(answer: np.ndarray, batch: int, axis: int | None = None) -> np.ndarray:
    """The answer with the axis in front that counts the examples; of a batch of 1 all of it is one example's."""
    if batch == 1:
        return answer if answer.shape[:1] == (1,) else answer[None]
    found = [axis for axis, size in enumerate(answer.shape) if size == batch]
    if not found:
        raise ValueError(f"an output of shape {answer.shape} for {batch} examples")
    return np.moveaxis(answer, found[0] if axis is None else axis, 0)


if __name__ == "__main__":
    more = sys.argv[6:]
    counted = [int(word[5:]) for word in more if word.startswith("axis=")]
    bounds = int(sys.argv[4]), int(sys.argv[5])
    main(sys.argv[1], sys.argv[2], sys.argv[3], *bounds, "exact" in more, counted[0] if counted else None)
