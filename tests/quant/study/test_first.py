"""First layers that make most of the error stay float where that costs next to nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import NodeProto, TensorProto, numpy_helper

from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.quant.place.tail import LAST_LAYER
from edgepipe.quant.study.first import FIRST_LAYERS
from tests.quant.test_odd_graphs import Desk, node, shaped, weight

C = 48
OUTPUTS = [shaped("y", None, 4, 7, 7)]


def desk(folder: Path, ground: float) -> Desk:
    """Pictures of little contrast on a bright ground, or on none."""
    return Desk(folder, ground + 0.02 * np.random.default_rng(5).standard_normal((40, 3, 16, 16)))


def network() -> tuple[list[NodeProto], list[TensorProto]]:
    """A small first layer that sees differences of neighbours only, and three wide ones."""
    first = numpy_helper.to_array(weight("w0", 8, 3, 3, 3))
    first = 50 * (first - first.mean(axis=(2, 3), keepdims=True))
    nodes = [
        node("Conv", ["x", "w0"], ["a0"], "first"),
        node("Relu", ["a0"], ["a"]),
        node("Conv", ["a", "w1"], ["b0"], "second", pads=[1] * 4, strides=[2, 2]),
        node("Relu", ["b0"], ["b"]),
        node("Conv", ["b", "w2"], ["c0"], "third", pads=[1] * 4),
        node("Relu", ["c0"], ["c"]),
        node("Conv", ["c", "w3"], ["d0"], "fourth", pads=[1] * 4),
        node("Relu", ["d0"], ["d"]),
    ]
    last = node("Conv", ["d", "w4"], ["y"], "last")
    stored = [numpy_helper.from_array(first, "w0"), weight("w1", C, 8, 3, 3)]
    stored += [weight("w2", C, C, 3, 3), weight("w3", C, C, 3, 3), weight("w4", 4, C, 1, 1)]
    return [*nodes, last], stored


def test_a_first_layer_that_makes_most_of_the_error_stays_float(tmp_path: Path) -> None:
    here = desk(tmp_path, 4.0)
    model = here.load(*network(), outputs=OUTPUTS)
    done, job = here.run(model, QuantizeStatic())
    assert job.facts["kept_float"] == {"first": FIRST_LAYERS, "last": LAST_LAYER}
    assert any("'first' stays float" in str(note) for note in job.facts["notes"])  # type: ignore[union-attr]
    forced, told = here.run(model, QuantizeStatic(keep_float="never"))
    assert told.facts["kept_float"] == {}
    assert here.error(model, done) < 0.5 * here.error(model, forced)


def test_a_first_layer_that_does_no_harm_runs_in_int8(tmp_path: Path) -> None:
    here = desk(tmp_path, 0.0)
    _, job = here.run(here.load(*network(), outputs=OUTPUTS), QuantizeStatic())
    assert job.facts["kept_float"] == {"last": LAST_LAYER}
