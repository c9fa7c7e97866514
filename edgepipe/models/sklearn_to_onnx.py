"""Run in a fresh process: a scikit-learn estimator to model.onnx."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def convert(
    request: dict[str, Any], examples: NDArray[np.float32], folder: Path
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Load, answer the examples, convert."""
    from skl2onnx import to_onnx
    from sklearn.base import is_classifier

    model = _load(Path(request["path"]), bool(request["pickle"]))
    if not hasattr(model, "fit"):
        raise Refused(f"it holds a {type(model).__name__}, not a fitted estimator of scikit-learn")
    inputs, layout = placed(examples, [_width(model)], pictures=False)
    inputs = np.ascontiguousarray(inputs, np.float32)
    options: dict[Any, Any] = {}
    if is_classifier(model):
        options = {id(model): {"zipmap": False}}
        asked = getattr(model, "predict_proba", None) or getattr(model, "decision_function", None)
        answers = np.asarray(asked(inputs)) if asked is not None else None
        if answers is None or answers.ndim != 2:
            raise Refused(f"{type(model).__name__} gives no score for each class; edgepipe needs predict_proba")
    elif hasattr(model, "predict"):
        answers = np.asarray(model.predict(inputs))
    else:
        answers = np.asarray(model.transform(inputs))
    opsets = {"": int(request["opset"]), "ai.onnx.ml": 3}
    network = to_onnx(model, inputs[:1], options=options or None, target_opset=opsets)
    (folder / "model.onnx").write_bytes(network.SerializeToString())
    names = [item.name for item in network.graph.output]
    return answers, {"layout": layout, "output": names[-1]}


if __name__ == "__main__":
    run(convert)
