"""Forests lose trees: fewer bytes, nearly the same answers; boosted trees and other models are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, load, save

from edgepipe.contract import Job, Signature
from edgepipe.contract.artifact import Artifact, Kind, seal
from edgepipe.data.npz import NpzData
from edgepipe.errors import PassError
from edgepipe.onnx.answers import session_answers
from edgepipe.onnx.clean import TREES
from edgepipe.passes.prune_trees import PruneTrees

RNG = np.random.default_rng(0)
X = RNG.standard_normal((200, 4)).astype(np.float32)


def forest(folder: Path, trees: int, *, link: str = "NONE") -> Artifact:
    """Stumps on random features with probabilities of two classes; tree 0 stands in the file ten times."""
    folder.mkdir()
    values: dict[str, list] = {name: [] for name in ("tree", "node", "feature", "value", "mode", "true", "false")}
    leaves: dict[str, list] = {name: [] for name in ("tree", "node", "id", "weight")}
    for tree in range(trees):
        seed = np.random.default_rng(0 if tree < 10 else tree)
        feature, threshold = int(seed.integers(4)), float(seed.standard_normal() / 2)
        for node, mode in ((0, "BRANCH_LEQ"), (1, "LEAF"), (2, "LEAF")):
            row = (tree, node, feature if node == 0 else 0, threshold if node == 0 else 0.0, mode, 1, 2)
            for name, value in zip(values, row, strict=True):
                values[name].append(value if name not in ("true", "false") or node == 0 else 0)
        for node, label, share in ((1, 0, 0.9), (1, 1, 0.1), (2, 0, 0.2), (2, 1, 0.8)):
            for name, value in zip(leaves, (tree, node, label, share / trees), strict=True):
                leaves[name].append(value)
    node = helper.make_node(
        "TreeEnsembleClassifier",
        ["x"],
        ["label", "y"],
        domain="ai.onnx.ml",
        classlabels_int64s=[0, 1],
        post_transform=link,
        nodes_treeids=values["tree"],
        nodes_nodeids=values["node"],
        nodes_featureids=values["feature"],
        nodes_values=values["value"],
        nodes_modes=values["mode"],
        nodes_truenodeids=values["true"],
        nodes_falsenodeids=values["false"],
        class_treeids=leaves["tree"],
        class_nodeids=leaves["node"],
        class_ids=leaves["id"],
        class_weights=leaves["weight"],
    )
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=9), folder / "model.onnx")
    return seal(folder, Kind.ONNX, Signature(input_shape=(4,)))


def pruned(tmp_path: Path, model: Artifact, keep: float) -> tuple[Artifact, Job]:
    np.savez(tmp_path / "e.npz", inputs=X[:100])
    np.savez(tmp_path / "c.npz", inputs=X[100:])
    data = NpzData(evaluation=tmp_path / "e.npz", calibration=tmp_path / "c.npz").open(tmp_path / "cache")
    for name in ("out", "state"):
        (tmp_path / name).mkdir()
    job = Job(out=tmp_path / "out", state=tmp_path / "state", data=data, seed=0, label="it")
    return PruneTrees(keep=keep).apply(model, job), job


def test_a_quarter_of_the_trees_answers_as_all_and_takes_a_quarter_of_the_bytes(tmp_path: Path) -> None:
    model = forest(tmp_path / "m", 40)
    small, job = pruned(tmp_path, model, 0.25)
    assert job.facts == {"trees_before": 40, "trees": 10}
    assert small.onnx.stat().st_size < 0.4 * model.onnx.stat().st_size
    whole, part = session_answers(model.onnx)(X), session_answers(small.onnx)(X)
    assert np.allclose(part.sum(axis=1), 1, atol=1e-5)
    assert (whole.argmax(1) == part.argmax(1)).mean() > 0.9
    # The ten copies of one tree do not crowd out the others.
    values = {item.name: helper.get_attribute_value(item) for item in load(small.onnx).graph.node[0].attribute}
    assert len({tree for tree in values["nodes_treeids"] if tree < 10}) < 7


def test_all_trees_kept_changes_no_answer(tmp_path: Path) -> None:
    model = forest(tmp_path / "m", 12)
    same, _ = pruned(tmp_path, model, 1.0)
    assert np.array_equal(session_answers(model.onnx)(X), session_answers(same.onnx)(X))


def test_boosted_trees_and_models_without_trees_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PassError, match="the trees are boosted"):
        pruned(tmp_path, forest(tmp_path / "m", 12, link="LOGISTIC"), 0.5)
    other = tmp_path / "other"
    other.mkdir()
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), other / "model.onnx")
    (tmp_path / "b").mkdir()
    with pytest.raises(PassError, match="the model has no forest"):
        pruned(tmp_path / "b", seal(other, Kind.ONNX, Signature(input_shape=(4,))), 0.5)


@pytest.mark.parametrize("said", ["boosted", "averaged"])
def test_what_an_estimator_is_counts_for_more_than_its_numbers(tmp_path: Path, said: str) -> None:
    """Boosting that starts at zero has no base value, and its graph looks like a forest's."""
    model = forest(tmp_path / "m", 12)
    graph = load(model.onnx)
    helper.set_model_props(graph, {TREES: said})
    save(graph, model.onnx)
    model = seal(model.path, Kind.ONNX, Signature(input_shape=(4,)))
    if said == "boosted":
        with pytest.raises(PassError, match="the trees are boosted"):
            pruned(tmp_path, model, 0.5)
        return
    small, _ = pruned(tmp_path, model, 0.5)
    assert [(item.key, item.value) for item in load(small.onnx).metadata_props] == [(TREES, "averaged")]


def test_leaves_that_hold_no_probabilities_are_no_forests(tmp_path: Path) -> None:
    model = forest(tmp_path / "m", 12)
    graph = load(model.onnx)
    weights = next(item for item in graph.graph.node[0].attribute if item.name == "class_weights")
    weights.floats[0], weights.floats[1] = -0.2, 0.4
    save(graph, model.onnx)
    with pytest.raises(PassError, match="by a file that does not say that they are a forest's"):
        pruned(tmp_path, seal(model.path, Kind.ONNX, Signature(input_shape=(4,))), 0.5)
