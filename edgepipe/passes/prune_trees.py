"""Remove whole trees of a forest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from edgepipe.contract import Job, Pass, Split
from edgepipe.contract.artifact import ONNX_FILE, Artifact, Kind
from edgepipe.contract.signature import one_input
from edgepipe.errors import PassError
from edgepipe.onnx.clean import TREES, clean
from edgepipe.onnx.written import write


class PruneTrees(Pass):
    """Keep the trees that together answer most like the whole forest, chosen one by one; no labels needed.

    The file and the time shrink with the number of trees. Averaging forests only: the trees of boosting correct each
    other. Source: Caruana et al., Ensemble Selection from Libraries of Models, ICML 2004.
    """

    reads: ClassVar[Kind] = Kind.ONNX
    writes: ClassVar[Kind] = Kind.ONNX
    data: ClassVar[tuple[Split, ...]] = (Split.CALIBRATION,)
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")

    keep: float = Field(gt=0, le=1, description="share of the trees that stay, in (0, 1]")

    def inputs_misfit(self, names: Sequence[str]) -> list[tuple[str, str]]:
        return [("pass", one_input(names))] if len(names) > 1 else []

    def apply(self, model: Artifact, job: Job) -> Artifact:
        import numpy as np
        import onnx

        from edgepipe.onnx.answers import session_answers
        from edgepipe.onnx.files import load

        network = load(model.onnx)
        forest = _forest(network, job.label)
        if not _are_averaged(network, forest):
            raise PassError(
                f"passes.{job.label}: the trees are boosted, or summed by a file that does not say that they are a "
                "forest's: boosted trees correct each other, so none can be left out. Remove this step; of your own "
                "estimator, load the .skops file (model=sklearn), which says what it is"
            )
        trees = sorted(set(_attribute(forest, "nodes_treeids")))
        count = max(1, round(self.keep * len(trees)))
        if count < len(trees):
            inputs = np.concatenate([batch.only for batch in job.data.batches(Split.CALIBRATION, 256)])
            alone = []
            values, single = _values(forest), onnx.ModelProto()
            single.CopyFrom(network)
            file = job.state / "tree.onnx"
            for number, tree in enumerate(trees):
                _keep_trees(_forest(single, job.label), values, [tree], 1.0)
                onnx.save(single, file)
                answers = session_answers(file)(inputs)
                alone.append(answers.reshape(len(inputs), -1))
                job.progress(0.8 * number / len(trees), f"tree {number + 1}/{len(trees)}")
            averages = _attribute(forest, "aggregate_function", b"SUM") == b"AVERAGE"
            chosen = _choose(np.stack(alone), count, averages)
            scale = 1.0 if averages else len(trees) / count
            _keep_trees(forest, values, [trees[index] for index in chosen], scale)
        clean(network)
        onnx.checker.check_model(network)
        write(network, job.out / ONNX_FILE, f"passes.{job.label}")
        job.facts.update({"trees_before": len(trees), "trees": count})
        return job.seal(Kind.ONNX, model.signature)


def _forest(network: Any, label: str) -> Any:
    found = [node for node in network.graph.node if node.op_type in ("TreeEnsembleClassifier", "TreeEnsembleRegressor")]
    if len(found) != 1:
        what = "has no forest" if not found else f"has {len(found)} forests"
        raise PassError(
            f"passes.{label}: the model {what}; this pass prunes the trees of exactly one. Remove this step"
        )
    return found[0]


def _are_averaged(network: Any, node: Any) -> bool:
    """Whether each tree answers for itself and the forest with their mean.

    The class of the estimator says so, where it is known. Of another file the graph has to: it averages, or every
    leaf of every tree holds probabilities of the same sum, as no correction of another tree's errors does.
    """
    import numpy as np

    known = {item.key: item.value for item in network.metadata_props}.get(TREES)
    if known is not None:
        return bool(known == "averaged")
    if any(_attribute(node, "base_values", [])) or _attribute(node, "post_transform", b"NONE") != b"NONE":
        return False
    if node.op_type == "TreeEnsembleRegressor":
        return bool(_attribute(node, "aggregate_function", b"SUM") == b"AVERAGE")
    trees, leaves = _attribute(node, "class_treeids"), _attribute(node, "class_nodeids")
    weights = np.array(_attribute(node, "class_weights"))
    sums: dict[tuple[int, int], float] = {}
    for tree, leaf, weight in zip(trees, leaves, weights.tolist(), strict=True):
        sums[tree, leaf] = sums.get((tree, leaf), 0.0) + weight
    wanted = 1 / len(set(trees))
    return bool((weights >= 0).all()) and bool(np.allclose(list(sums.values()), wanted, rtol=1e-3))


def _attribute(node: Any, name: str, default: Any = None) -> Any:
    from onnx import helper

    return next((helper.get_attribute_value(item) for item in node.attribute if item.name == name), default)


def _choose(alone: Any, count: int, averages: bool) -> list[int]:
    """Indices, ascending; `alone`: each tree's own share of the answer, (trees, examples, values)."""
    import numpy as np

    total = len(alone)
    wanted = alone.mean(axis=0) if averages else alone.sum(axis=0)
    scale = 1 if averages else total
    chosen: list[int] = []
    held = np.zeros_like(wanted)
    for size in range(1, count + 1):
        left = [index for index in range(total) if index not in chosen]
        errors = [float(((scale * (held + alone[index]) / size - wanted) ** 2).sum()) for index in left]
        best = left[int(np.argmin(errors))]
        chosen.append(best)
        held = held + alone[best]
    return sorted(chosen)


def _values(node: Any) -> dict[str, tuple[Any, Any]]:
    """Each list of the forest: (its values, the tree that each belongs to)."""
    import numpy as np
    from onnx import helper

    found: dict[str, tuple[Any, Any]] = {}
    for item in node.attribute:
        trees = _attribute(node, f"{item.name.partition('_')[0]}_treeids")
        values = helper.get_attribute_value(item)
        if trees is not None and len(values) == len(trees):
            found[item.name] = (np.array(values), np.array(trees))
    return found


def _keep_trees(node: Any, values: dict[str, tuple[Any, Any]], trees: list[int], factor: float) -> None:
    """Cut a forest down to some trees, in place; `factor` scales what its leaves give."""
    import numpy as np
    from onnx import helper

    for item in list(node.attribute):
        if item.name not in values:
            continue
        everything, owners = values[item.name]
        kept = everything[np.isin(owners, trees)].tolist()
        if item.name in ("class_weights", "target_weights"):
            kept = [value * factor for value in kept]
        kind = item.type
        node.attribute.remove(item)
        node.attribute.append(helper.make_attribute(item.name, kept, attr_type=kind))
