"""Estimators of scikit-learn, from .skops files and, where the user trusts them, pickles."""

from __future__ import annotations

import importlib
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import DBSCAN, KMeans
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
)
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from edgepipe.__main__ import main
from edgepipe.contract import Signature
from edgepipe.errors import ModelError
from edgepipe.onnx.adopt import adopt
from edgepipe.records.metrics import Metrics
from edgepipe.sources.converter import Refused
from edgepipe.sources.sklearn import to_onnx as sklearn_to_onnx
from edgepipe.sources.sklearn.file import SklearnModel

skops = pytest.importorskip("skops.io", reason="needs the extra sklearn: pip install 'edgepipe[sklearn]'")
pytest.importorskip("skl2onnx", reason="needs the extra sklearn: pip install 'edgepipe[sklearn]'")


def converted(model: Any, tmp_path: Path) -> Path:
    """What the converter's own process writes, made in this one: starting one for each estimator takes seconds."""
    skops.dump(model, tmp_path / "m.skops")
    asked = {"path": str(tmp_path / "m.skops"), "pickle": False, "classes": [], "opset": 18}
    own, reply = sklearn_to_onnx.convert(asked, X, tmp_path)
    adopted = tmp_path / "adopted.onnx"
    adopt(
        tmp_path / "model.onnx",
        adopted,
        (6,),
        layout=reply["layout"],
        output=reply["output"],
        examples=X,
        answers=np.asarray(own, np.float32),
        tolerance=1e-3,
        what="it",
    )
    return adopted


RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 6)).astype(np.float32)
Y = (X @ RNG.standard_normal((6, 3))).argmax(1)


def loaded(model: Any, tmp_path: Path, shape: tuple[int, ...] = (6,), **settings: Any) -> Path:
    skops.dump(model, tmp_path / "m.skops")
    (tmp_path / "out").mkdir()
    return (
        SklearnModel(path=str(tmp_path / "m.skops"), **settings)
        .load(tmp_path / "out", Signature(input_shape=shape), 0)
        .onnx
    )


def answers(file: Path, inputs: np.ndarray) -> np.ndarray:
    from edgepipe.onnx.answers import session_answers

    return session_answers(file)(inputs)


def test_a_forest_answers_its_probabilities_whatever_the_examples_shape(tmp_path: Path) -> None:
    model = RandomForestClassifier(10, random_state=0).fit(X, Y)
    file = loaded(model, tmp_path, (1, 2, 3))
    got = answers(file, X.reshape(-1, 1, 2, 3))
    assert np.abs(got - model.predict_proba(X)).max() < 1e-5
    assert onnx.load(file).graph.node[0].op_type == "Flatten"


def test_a_scaled_logistic_regression_becomes_a_matrix_product(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(X, Y)
    file = loaded(model, tmp_path)
    assert np.abs(answers(file, X) - model.predict_proba(X)).max() < 1e-5
    kinds = {node.op_type for node in onnx.load(file).graph.node}
    assert {"Gemm", "Softmax"} <= kinds
    assert "LinearClassifier" not in kinds


def test_a_regression_answers_values(tmp_path: Path) -> None:
    model = LinearRegression().fit(X, X @ np.ones((6, 2)))
    assert np.abs(answers(loaded(model, tmp_path), X) - model.predict(X)).max() < 1e-4


def test_features_that_do_not_fit_are_refused_with_both_shapes(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"its input is \[6\] per example, the data gives \[7\]"):
        loaded(LinearRegression().fit(X, X[:, 0]), tmp_path, (7,))


class Own(LinearRegression):
    """A class that skops does not know."""


def test_a_type_that_skops_does_not_trust_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"types that are not trusted: .*Own"):
        loaded(Own().fit(X, X[:, 0]), tmp_path)


@pytest.mark.parametrize(
    "model",
    [
        HistGradientBoostingClassifier(max_iter=3, random_state=0),
        CalibratedClassifierCV(LogisticRegression(max_iter=500)),
        make_pipeline(KBinsDiscretizer(4, encode="ordinal"), LogisticRegression(max_iter=500)),
        make_pipeline(SelectKBest(f_classif, k=4), LogisticRegression(max_iter=500)),
        StackingClassifier([("tree", DecisionTreeClassifier(random_state=0))], LogisticRegression(max_iter=500)),
        LinearSVC(random_state=0),
    ],
    ids=lambda model: type(model.steps[0][1] if hasattr(model, "steps") else model).__name__,
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_classes_need_no_trust_and_give_their_scores(tmp_path: Path, model: Any) -> None:
    model.fit(X, Y)
    wanted = model.predict_proba(X) if hasattr(model, "predict_proba") else model.decision_function(X)
    differs = np.abs(answers(converted(model, tmp_path), X) - wanted).max(axis=1)
    assert np.quantile(differs, 0.98) < 1e-4  # at a threshold rounded to float32 an example may go the other way


@pytest.mark.parametrize("model", [LinearSVC(random_state=0), SVC(), RidgeClassifier(), Perceptron()], ids=repr)
@pytest.mark.filterwarnings("ignore")
def test_of_two_classes_the_one_score_becomes_two(tmp_path: Path, model: Any) -> None:
    model.fit(X, Y == 1)
    got, score = answers(converted(model, tmp_path), X), model.decision_function(X)
    assert np.abs(got - np.stack([-score, score], axis=1)).max() < 1e-3 * np.abs(score).max()


def test_centres_answer_distances_and_what_knows_no_new_examples_is_refused(tmp_path: Path) -> None:
    model = KMeans(3, n_init=1, random_state=0).fit(X)
    assert np.abs(answers(converted(model, tmp_path), X) - model.transform(X)).max() < 1e-3
    with pytest.raises(Refused, match="DBSCAN answers only the examples that it was fitted to"):
        converted(DBSCAN().fit(X), tmp_path)


def test_an_estimator_without_a_converter_is_named_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="skl2onnx converts no NearestCentroid: use an estimator that it converts"):
        converted(NearestCentroid().fit(X, Y), tmp_path)


@pytest.mark.parametrize(
    "function", ["os.system", "sklearn.datasets._base.load_files", "sklearn.utils.parallel.delayed"]
)
def test_a_function_that_does_more_than_compute_is_refused(tmp_path: Path, function: str) -> None:
    module, _, name = function.rpartition(".")
    model = FunctionTransformer(getattr(importlib.import_module(module), name))
    with pytest.raises(Refused, match="types that are not trusted"):
        converted(model, tmp_path)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (RandomForestRegressor(4, random_state=0), "averaged"),
        (GradientBoostingRegressor(n_estimators=4, init="zero", random_state=0), "boosted"),
        (HistGradientBoostingRegressor(max_iter=3), "boosted"),
        (GridSearchCV(RandomForestRegressor(4), {"max_depth": [3]}, cv=2), "averaged"),
        (make_pipeline(StandardScaler(), GridSearchCV(GradientBoostingRegressor(), {"n_estimators": [3]})), "boosted"),
    ],
    ids=["forest", "boosting from zero", "histogram boosting", "searched forest", "searched boosting"],
)
def test_the_file_says_how_its_trees_answer_together(tmp_path: Path, model: Any, kind: str) -> None:
    graph = onnx.load(converted(model.fit(X, X[:, 0]), tmp_path))
    assert [(item.key, item.value) for item in graph.metadata_props] == [("edgepipe.trees", kind)]


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


def arguments(tmp_path: Path, file: Path, *more: str) -> list[str]:
    np.savez(tmp_path / "e.npz", inputs=X[:150], labels=Y[:150])
    np.savez(tmp_path / "c.npz", inputs=X[150:], labels=Y[150:])
    return [
        "recipe=ptq",
        "model=sklearn",
        f"model.path={file}",
        "data=npz",
        f"data.evaluation={tmp_path}/e.npz",
        f"data.calibration={tmp_path}/c.npz",
        f"store.root={tmp_path}/store",
        f"hydra.run.dir={tmp_path}/run",
        "~goal",
        *more,
    ]


def test_a_pickle_is_refused_unread_and_read_when_trusted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bomb.pkl").write_bytes(pickle.dumps(Bomb(tmp_path / "boom")))
    assert main(arguments(tmp_path, tmp_path / "bomb.pkl")) == 2
    assert "trust_code=true" in capfd.readouterr().err
    assert not (tmp_path / "boom").exists()
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(LogisticRegression(max_iter=500).fit(X, Y)))
    assert main(arguments(tmp_path, tmp_path / "m.pkl", "trust_code=true")) == 0


def test_a_logistic_regression_runs_whole_and_its_product_in_int8(tmp_path: Path) -> None:
    skops.dump(LogisticRegression(max_iter=500).fit(X, Y), tmp_path / "m.skops")
    assert main(arguments(tmp_path, tmp_path / "m.skops", "passes.quantize.keep_float=never")) == 0
    found = Metrics.model_validate_json((tmp_path / "run" / "metrics.json").read_text())
    assert found.final is not None
    assert found.final.top1 is not None and found.final.top1 > 0.9
    assert found.final.int8_share.matmul == 1.0
    assert found.passes[0].facts["parity"]["agreement"] == 1.0  # type: ignore[index]
    came_through = {"scikit-learn", "skl2onnx", "skops"}
    assert came_through <= set(found.environment.libraries)
    bundle = json.loads((tmp_path / "run" / "final" / "bundle.json").read_text())
    assert came_through | {"onnxruntime"} <= set(bundle["versions"])


def test_trees_stay_float_and_a_pass_that_cannot_work_on_them_says_why(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    skops.dump(RandomForestClassifier(5, random_state=0).fit(X, Y), tmp_path / "m.skops")
    assert main(arguments(tmp_path, tmp_path / "m.skops")) == 0
    found = Metrics.model_validate_json((tmp_path / "run" / "metrics.json").read_text())
    said = [text for step in found.passes for text in step.findings]
    assert "nothing is quantized, the model stays float: it has no convolution or matrix product" in said
    more = ["+passes.prune.pass=prune_channels", "+passes.prune.ratio=0.5", "~passes.quantize", "~passes.export"]
    assert main(arguments(tmp_path, tmp_path / "m.skops", *more)) == 2
    assert "prune_channels reads torch, but here the model is onnx (this model came as onnx from sklearn)" in (
        capfd.readouterr().err
    )


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_neural_network_needs_no_trust(tmp_path: Path, solver: str) -> None:
    model = make_pipeline(StandardScaler(), MLPClassifier((16,), solver=solver, max_iter=30, random_state=0)).fit(X, Y)
    assert np.abs(answers(loaded(model, tmp_path), X) - model.predict_proba(X)).max() < 1e-5


def test_neighbours_need_no_trust(tmp_path: Path) -> None:
    model = KNeighborsClassifier(5).fit(X, Y)
    assert np.abs(answers(loaded(model, tmp_path), X) - model.predict_proba(X)).max() < 1e-5


@pytest.mark.parametrize(
    ("fitted", "names", "columns"),
    [
        ([1, 2, 4], (), [None, 0, 1, None, 2]),
        ([0, 1, 2], ("a", "b", "c", "d"), [0, 1, 2, None]),
        (["rose", "iris", "aster"], ("aster", "fern", "iris", "rose"), [2, None, 1, 0]),
        ([7, 8, 9], ("7", "8", "9"), [0, 1, 2]),
    ],
)
def test_scores_stand_in_the_order_of_the_datas_classes(
    tmp_path: Path, fitted: list[Any], names: tuple[str, ...], columns: list[int | None]
) -> None:
    model = LogisticRegression(max_iter=500).fit(X, np.array(fitted)[Y])
    mine = np.array(fitted)[Y]
    order = {value: place for place, value in enumerate(model.classes_.tolist())}
    skops.dump(model, tmp_path / "m.skops")
    (tmp_path / "out").mkdir()
    signature = Signature(input_shape=(6,), classes=names)
    file = SklearnModel(path=str(tmp_path / "m.skops")).load(tmp_path / "out", signature, 0).onnx
    got = answers(file, X)
    assert got.shape == (300, len(columns))
    expected = model.predict_proba(X)
    for place, column in enumerate(columns):
        wanted = 0 if column is None else expected[:, order[fitted[column]]]
        assert np.abs(got[:, place] - wanted).max() < 1e-5
    right = [columns.index(fitted.index(value)) for value in mine.tolist()]
    assert (got.argmax(1) == right).mean() > 0.9


@pytest.mark.parametrize(("fitted", "names"), [([-1, 1, 2], ()), (["a", "b", "c"], ()), (["a", "b", "c"], ("a", "b"))])
def test_classes_that_are_not_the_datas_are_refused(tmp_path: Path, fitted: list[Any], names: tuple[str, ...]) -> None:
    skops.dump(LogisticRegression().fit(X, np.array(fitted)[Y]), tmp_path / "m.skops")
    (tmp_path / "out").mkdir()
    with pytest.raises(ModelError, match=r"its classes are .*, but the data.s are n"):
        SklearnModel(path=str(tmp_path / "m.skops")).load(
            tmp_path / "out", Signature(input_shape=(6,), classes=names), 0
        )


def test_scores_without_probabilities_need_every_class(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="fitted without class 0 and gives no probabilities"):
        loaded(LinearSVC().fit(X, Y + 1), tmp_path)


def test_a_detector_of_outliers_answers_its_scores(tmp_path: Path) -> None:
    model = IsolationForest(n_estimators=10, random_state=0).fit(X)
    got = answers(loaded(model, tmp_path), X).ravel()
    assert np.abs(got - model.decision_function(X)).max() < 1e-4


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        (
            {"most_minutes": 0.001},
            "took longer than 0.001 minutes and was ended. Give it longer with model.most_minutes",
        ),
        (
            {"most_gigabytes": 0.001},
            "took more than 0.0 GB of memory and was ended. Allow more with model.most_gigabyt",
        ),
    ],
)
def test_a_conversion_that_outgrows_its_bound_is_ended_and_says_which(
    tmp_path: Path, bound: dict[str, float], said: str
) -> None:
    if "most_gigabytes" in bound and sys.platform != "linux":
        pytest.skip("only Linux says what a process holds")
    with pytest.raises(ModelError, match=said):
        loaded(LinearRegression().fit(X, X[:, :2]), tmp_path, **bound)
