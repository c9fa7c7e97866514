"""Run in a fresh process: a scikit-learn estimator to model.onnx."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgepipe.models.converter import Refused, placed, run

# Parts of scikit-learn's own estimators that hold numbers and trees. skops leaves them to its user, because a damaged
# one can crash the process: ours is a child.
_PARTS = {
    "sklearn.gaussian_process.kernels.ConstantKernel",
    "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
}


def _load(path: Path, is_pickle: bool) -> Any:
    if is_pickle:  # the parent process asked for trust_code before it came here
        if path.suffix == ".joblib":
            import joblib

            return joblib.load(path)
        with path.open("rb") as stream:
            return pickle.load(stream)
    from skops.io import get_untrusted_types, load

    untrusted = [name for name in get_untrusted_types(file=path) if name not in _PARTS]
    if untrusted:
        raise Refused(
            f"it holds types that are not trusted: {', '.join(untrusted[:6])}. "
            "Only estimators of scikit-learn and arrays are loaded"
        )
    return load(path, trusted=sorted(_PARTS))


def _width(model: Any) -> int | None:
    first = model.steps[0][1] if hasattr(model, "steps") else model
    width = getattr(model, "n_features_in_", None) or getattr(first, "n_features_in_", None)
    return int(width) if width is not None else None


def _columns(known: NDArray[Any], names: list[str]) -> list[int] | None:
    """For each class of the data the estimator's column, -1 where it knows no such class; None: as they are.

    The data counts its classes from 0, or names them; an estimator may have been fitted to any numbers or words.

    Raises:
        Refused: the estimator's classes are not the data's.
    """
    found = [item.item() if hasattr(item, "item") else item for item in known]
    whole = all(isinstance(item, bool | int) or (isinstance(item, float) and item.is_integer()) for item in found)
    if whole and all(0 <= item < (len(names) or np.inf) for item in found):
        places = [int(item) for item in found]
    elif names and all(str(item) in names for item in found):
        places = [names.index(str(item)) for item in found]
    else:
        theirs = f"are named {', '.join(names[:10])}" if names else "are numbers from 0"
        raise Refused(
            f"its classes are {', '.join(map(str, found[:10]))}, but the data's {theirs}. Fit it to those, or give the "
            "data labels that count the estimator's classes from 0"
        )
    width = max(max(places) + 1, len(names))
    if places == list(range(width)):
        return None
    return [places.index(place) if place in places else -1 for place in range(width)]


def _arranged(network: onnx.ModelProto, output: str, columns: list[int], left: int) -> str:
    """Put the columns of the last output, float32 (n, left), into the data's order; what is lacking scores zero."""
    graph = network.graph
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([0, 0, 0, 1], np.int64), "edgepipe_pads"),
            numpy_helper.from_array(np.array([c if c >= 0 else left for c in columns], np.int64), "edgepipe_columns"),
        ]
    )
    graph.node.extend(
        [
            helper.make_node("Pad", [output, "edgepipe_pads"], ["edgepipe_padded"], mode="constant"),
            helper.make_node("Gather", ["edgepipe_padded", "edgepipe_columns"], ["edgepipe_scores"], axis=1),
        ]
    )
    value = helper.make_tensor_value_info("edgepipe_scores", onnx.TensorProto.FLOAT, [None, len(columns)])
    graph.output.append(value)
    return "edgepipe_scores"


def convert(
    request: dict[str, Any], examples: NDArray[np.float32], folder: Path
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Load, answer the examples, convert."""
    from skl2onnx import to_onnx
    from sklearn.base import is_classifier, is_outlier_detector

    model = _load(Path(request["path"]), bool(request["pickle"]))
    if not hasattr(model, "fit"):
        raise Refused(f"it holds a {type(model).__name__}, not a fitted estimator of scikit-learn")
    inputs, layout = placed(examples, [_width(model)], pictures=False)
    inputs = np.ascontiguousarray(inputs, np.float32)
    options: dict[Any, Any] = {}
    columns: list[int] | None = None
    if is_classifier(model):
        options = {id(model): {"zipmap": False}}
        asked = getattr(model, "predict_proba", None) or getattr(model, "decision_function", None)
        answers = np.asarray(asked(inputs)) if asked is not None else None
        if answers is None or answers.ndim != 2:
            raise Refused(f"{type(model).__name__} gives no score for each class; edgepipe needs predict_proba")
        columns = _columns(np.asarray(model.classes_), list(request["classes"]))
        if columns is not None and -1 in columns and not hasattr(model, "predict_proba"):
            raise Refused(
                f"it was fitted without class {columns.index(-1)} and gives no probabilities, so that no score says "
                "never: fit it to examples of every class"
            )
    elif is_outlier_detector(model):
        answers = np.asarray(model.decision_function(inputs))
    elif hasattr(model, "predict"):
        answers = np.asarray(model.predict(inputs))
    else:
        answers = np.asarray(model.transform(inputs))
    opsets = {"": int(request["opset"]), "ai.onnx.ml": 3}
    network = to_onnx(model, inputs[:1], options=options or None, target_opset=opsets)
    output = network.graph.output[-1].name
    if columns is not None:
        output = _arranged(network, output, columns, answers.shape[1])
        answers = np.pad(answers, ((0, 0), (0, 1)))[:, [c if c >= 0 else answers.shape[1] for c in columns]]
    (folder / "model.onnx").write_bytes(network.SerializeToString())
    return answers, {"layout": layout, "output": output}


if __name__ == "__main__":
    run(convert)
