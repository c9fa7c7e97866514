"""Run in a fresh process: a scikit-learn estimator to model.onnx."""

from __future__ import annotations

import importlib
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgepipe.onnx.clean import TREES
from edgepipe.onnx.session import Session
from edgepipe.onnx.session_options import quiet_options
from edgepipe.sources.converter import Refused, placed, run

# Parts of estimators beside scikit-learn's own classes that hold numbers or compute on arrays. skops leaves them to
# its user, because a damaged one can crash the process: ours is a child.
_PARTS = {
    "numpy.dtype",
    "numpy.max",
    "numpy.mean",
    "numpy.median",
    "numpy.min",
    "scipy.interpolate._bsplines.BSpline",
}
_PURE = ("sklearn.cluster.", "sklearn.feature_selection.", "sklearn.metrics.")
"""Modules whose functions compute on arrays and do nothing else: what an estimator may name, as f_classif."""
_NEVER = {"externals", "tests", "conftest", "datasets"}


def _is_part(name: str) -> bool:
    """Whether a type that skops does not know is a class of scikit-learn's own, or computes on arrays only."""
    if name in _PARTS:
        return True
    module, _, leaf = name.rpartition(".")
    if module.partition(".")[0] != "sklearn" or _NEVER & set(module.split(".")):
        return False
    try:
        found = getattr(importlib.import_module(module), leaf, None)
    except Exception:  # a file may name anything
        return False
    if not str(getattr(found, "__module__", "")).startswith("sklearn."):
        return False  # something that scikit-learn only imports
    return isinstance(found, type) or name.startswith(_PURE)


def _load(path: Path, is_pickle: bool) -> Any:
    if is_pickle:  # the parent process asked for trust_code before it came here
        if path.suffix == ".joblib":
            import joblib

            return joblib.load(path)
        with path.open("rb") as stream:
            return pickle.load(stream)
    from skops.io import get_untrusted_types, load

    named = get_untrusted_types(file=path)
    untrusted = [name for name in named if not _is_part(name)]
    if untrusted:
        raise Refused(
            f"it holds types that are not trusted: {', '.join(untrusted[:6])}. "
            "Only estimators of scikit-learn and arrays are loaded"
        )
    return load(path, trusted=sorted(named))


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


def _scores(model: Any, inputs: NDArray[np.float32]) -> NDArray[Any]:
    """One score for each class, (n, classes); of two classes a single one counts for the second, against the first.

    Raises:
        Refused: the classifier gives none.
    """
    asked = getattr(model, "predict_proba", None) or getattr(model, "decision_function", None)
    answers = np.asarray(asked(inputs)) if asked is not None else None
    if answers is not None and answers.ndim == 1 and len(model.classes_) == 2:
        answers = np.stack([-answers, answers], axis=1)
    if answers is None or answers.ndim != 2 or answers.shape[1] != len(model.classes_):
        raise Refused(
            f"{type(model).__name__} gives no score for each class; edgepipe needs predict_proba or decision_function"
        )
    return answers


def _numbers(model: Any, inputs: NDArray[np.float32]) -> NDArray[Any]:
    """What an estimator that is no classifier answers to new examples.

    Raises:
        Refused: it answers only the examples that it was fitted to, or no dense numbers.
    """
    from sklearn.base import is_clusterer, is_outlier_detector

    order = ("decision_function",) if is_outlier_detector(model) else ("predict", "transform")
    if is_clusterer(model):
        order = ("transform", "predict")  # distances to the centres, which is what the converter hands out last
    name = next((name for name in order if hasattr(model, name)), None)
    if name is None:
        raise Refused(
            f"{type(model).__name__} answers only the examples that it was fitted to: it has neither predict nor "
            "transform for new ones"
        )
    answers = getattr(model, name)(inputs)
    if hasattr(answers, "toarray"):
        raise Refused(f"{type(model).__name__} answers sparse matrices; ask it for dense ones (sparse_output=False)")
    return np.asarray(answers)


def _to_onnx(model: Any, inputs: NDArray[np.float32], opset: int, *, classes: bool) -> onnx.ModelProto:
    """The estimator as a graph whose last output holds its scores.

    Raises:
        Refused: skl2onnx has no converter for some part of it.
    """
    from skl2onnx import to_onnx
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

    # What an estimator's converter is asked for differs by its class; one asked for what it does not know refuses.
    wishes: list[dict[str, bool] | None] = [{"zipmap": False}, {"raw_scores": True}, None] if classes else [None]
    for wish in wishes:
        try:
            with _whole_attributes():
                network: onnx.ModelProto = to_onnx(
                    model,
                    inputs[:1],
                    options={id(model): wish} if wish else None,
                    target_opset={"": opset, "ai.onnx.ml": 3},
                )
            return network
        except NameError as error:
            if wish is None:
                raise
            if not str(error).startswith("Option "):
                raise
        except (MissingConverter, MissingShapeCalculator) as error:
            raise Refused(
                f"skl2onnx converts no {_lacking(error) or type(model).__name__}: use an estimator that it converts "
                "(its documentation lists them), or export the model to ONNX yourself and use model=onnx"
            ) from None
        except (RuntimeError, NotImplementedError, ValueError) as error:
            said = " ".join(str(error).split())[:160]
            raise Refused(
                f"skl2onnx cannot convert this {type(model).__name__}: {said}. Use another estimator or setting, or "
                "export the model to ONNX yourself and use model=onnx"
            ) from None
    raise AssertionError("the last wish is none")


def _lacking(error: Exception) -> str | None:
    """The class that a message of skl2onnx is about."""
    found = re.search(r"<class '(?:[\w.]*\.)?(\w+)'>", str(error))
    return found and found.group(1)


def _two(network: onnx.ModelProto, inputs: NDArray[np.float32], answers: NDArray[Any]) -> str:
    """The output whose columns are `answers`, (n, 2), made of the one score that a classifier of two classes has.

    The converter of one class of estimators hands out one column, that of another two, of which the first or the
    second may be the score, or what is lacking to it: so the graph is run, and the column that is the score taken.
    """
    graph = network.graph
    last = str(graph.output[-1].name)
    session = Session(network.SerializeToString(), quiet_options())
    found = session.run(inputs, [last])[last].reshape(len(inputs), -1)
    wanted = answers[:, 1]
    close = 1e-3 * max(float(np.abs(wanted).max()), 1e-12)
    differs = [[float(np.quantile(np.abs(sign * row - wanted), 0.98)) for sign in (1, -1)] for row in found.T]
    if found.shape[1] == 2 and max(differs[1][0], float(np.quantile(np.abs(found[:, 0] + wanted), 0.98))) <= close:
        return last
    column, sign = divmod(int(np.argmin(differs)), 2)
    if np.min(differs) > close:
        return last  # whoever compares the graph with the estimator refuses it
    graph.initializer.append(numpy_helper.from_array(np.array([column], np.int64), "edgepipe_score_column"))
    graph.node.extend(
        [
            helper.make_node("Gather", [last, "edgepipe_score_column"], ["edgepipe_score"], axis=1),
            helper.make_node("Neg", ["edgepipe_score"], ["edgepipe_minus"]),
            helper.make_node(
                "Concat",
                ["edgepipe_score", "edgepipe_minus"] if sign else ["edgepipe_minus", "edgepipe_score"],
                ["edgepipe_both"],
                axis=1,
            ),
        ]
    )
    graph.output.append(helper.make_tensor_value_info("edgepipe_both", onnx.TensorProto.FLOAT, [None, 2]))
    return "edgepipe_both"


@contextmanager
def _whole_attributes() -> Iterator[None]:
    """skl2onnx 1.20 writes truth values among whole numbers (histogram boosting), which protobuf no longer takes."""
    from skl2onnx.common import _container

    original = _container.make_node

    def make_node(*given: Any, **attributes: Any) -> Any:
        for name, value in attributes.items():
            if isinstance(value, list) and any(isinstance(item, bool | np.bool_) for item in value):
                attributes[name] = [int(item) for item in value]
            elif isinstance(value, np.ndarray) and value.dtype == bool:
                attributes[name] = value.astype(int).tolist()
        return original(*given, **attributes)

    _container.make_node = make_node
    try:
        yield
    finally:
        _container.make_node = original


def _trees(model: Any) -> str | None:
    """How the trees of an ensemble answer together: "averaged" each for itself, or "boosted" one upon the other."""
    from sklearn.ensemble import BaggingClassifier, BaggingRegressor, BaseEnsemble
    from sklearn.ensemble._forest import BaseForest
    from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting

    last = _innermost(model)
    if isinstance(last, BaseForest | BaggingClassifier | BaggingRegressor):
        return "averaged"
    return "boosted" if isinstance(last, BaseEnsemble | BaseHistGradientBoosting) else None


def _innermost(model: Any) -> Any:
    """The estimator that answers within pipelines, searches for settings and other wrappers of one estimator."""
    while True:
        if hasattr(model, "steps"):
            model = model.steps[-1][1]
            continue
        # Of an ensemble `estimator_` is what its members are made like, and not fitted.
        names = ("best_estimator_", "regressor_", *(() if hasattr(model, "estimators_") else ("estimator_",)))
        inner = next((getattr(model, name) for name in names if hasattr(model, name)), None)
        if inner is None:
            return model
        model = inner


def convert(
    request: dict[str, Any], examples: NDArray[np.float32], folder: Path
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Load, answer the examples, convert."""
    from sklearn.base import is_classifier

    model = _load(Path(request["path"]), bool(request["pickle"]))
    if not hasattr(model, "fit"):
        raise Refused(f"it holds a {type(model).__name__}, not a fitted estimator of scikit-learn")
    inputs, layout = placed(examples, [_width(model)], pictures=False)
    inputs = np.ascontiguousarray(inputs, np.float32)
    classes = bool(is_classifier(model))
    columns: list[int] | None = None
    if classes:
        answers = _scores(model, inputs)
        columns = _columns(np.asarray(model.classes_), list(request["classes"]))
        if columns is not None and -1 in columns and not hasattr(model, "predict_proba"):
            raise Refused(
                f"it was fitted without class {columns.index(-1)} and gives no probabilities, so that no score says "
                "never: fit it to examples of every class"
            )
    else:
        answers = _numbers(model, inputs)
    network = _to_onnx(model, inputs, int(request["opset"]), classes=classes)
    output = network.graph.output[-1].name
    if classes and answers.shape[1] == 2 and not hasattr(model, "predict_proba"):
        output = _two(network, inputs, answers)
    if columns is not None:
        output = _arranged(network, output, columns, answers.shape[1])
        answers = np.pad(answers, ((0, 0), (0, 1)))[:, [c if c >= 0 else answers.shape[1] for c in columns]]
    trees = _trees(model)
    if trees is not None:
        onnx.helper.set_model_props(network, {TREES: trees})
    (folder / "model.onnx").write_bytes(network.SerializeToString())
    return answers, {"layout": layout, "output": output}


if __name__ == "__main__":
    run(convert)
