"""Quantization-aware training: what is trained is what is deployed, and it holds the float model's answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from pydantic import ValidationError

from edgepipe.contract import Split
from edgepipe.contract.artifact import ONNX_FILE, Artifact, Kind, seal
from edgepipe.errors import PassError
from edgepipe.onnx.answers import session_answers
from edgepipe.onnx.session import Session
from edgepipe.passes.lower import Lower
from edgepipe.passes.quantize_aware import QuantizeAware
from edgepipe.passes.reestimate_batchnorm import ReestimateBatchNorm
from edgepipe.passes.train import Train
from edgepipe.quant.calibrate.run import calibrate
from edgepipe.quant.place.placement import PASSING, Wiring, place
from edgepipe.quant.rewrite.prepare import prepare
from edgepipe.quant.train.fake import FakeActivation
from edgepipe.quant.train.simulate import SimulatedNetwork
from edgepipe.quant.write.deploy import deploy
from edgepipe.quant.write.qdq import WEIGHTED
from edgepipe.torch.lower import answers_of
from edgepipe.training.training import bf16_pays
from tests.passes.test_onnx_passes import really_run
from tests.passes.workbench import Workbench
from tests.quant.test_odd_graphs import node, shaped, weight


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("bench"), small=True)


@pytest.fixture(scope="module")
def model(bench: Workbench) -> Artifact:
    return bench.lowered(bench.do(Train(epochs=8, lr=0.05), bench.loaded)[0])


def accuracy(bench: Workbench, model: Artifact) -> float:
    answers = session_answers(model.onnx)
    labels = bench.data.labels(Split.EVALUATION)
    got = np.concatenate([answers(batch.only).argmax(1) for batch in bench.data.batches(Split.EVALUATION, 100)])
    return float((got == labels).mean())


@pytest.mark.parametrize("learned", [False, True])
def test_int8_after_training_answers_as_the_simulation_and_as_well_as_float(
    bench: Workbench, model: Artifact, tmp_path: Path, learned: bool
) -> None:
    small, job = bench.do(QuantizeAware(epochs=3, steps_learned=learned), model)
    assert job.facts["parity"] == {"examples": 900, "agreement": pytest.approx(1, abs=0.0025)}
    assert accuracy(bench, small) >= accuracy(bench, model) - 0.01
    assert small.onnx.stat().st_size < 0.45 * model.onnx.stat().st_size  # 40,000 weights: the nodes count too
    operators = really_run(small.onnx, tmp_path)
    assert operators["QLinearConv"] == 3
    assert operators["QGemm"] == 1
    assert not {"Conv", "FusedConv", "Gemm"} & set(operators)


class GivenTheRuntimes(SimulatedNetwork):
    """Every node reads what the runtime's node reads; what it would have written itself is kept beside.

    Attributes:
        runtimes: uint8 values of ONNX Runtime, by tensor.
        own: uint8 values that each node makes of the runtime's inputs, by tensor.
    """

    runtimes: dict[str, np.ndarray]
    own: dict[str, np.ndarray]

    def computed(self, name: str, value: torch.Tensor) -> torch.Tensor:
        rounded = super().computed(name, value)
        if name in self.runtimes:
            scale, zero = self.given_activations()[name]
            self.own[name] = ((rounded / float(scale)).round() + zero).numpy().astype(np.uint8)
            whole = torch.from_numpy(self.runtimes[name].astype(np.float32) - zero)
            rounded = whole * torch.tensor(scale, dtype=torch.float32)
        return rounded


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v3_small", "resnet18"])
def test_the_simulation_computes_the_integers_of_the_runtime(tmp_path: Path, name: str) -> None:
    """Deep networks make other answers of one last bit, and a gate would refuse them for nothing.

    Products with int8 weights are equal on every processor, and so is a network of these and exact additions. A
    sigmoid (its table of 256 values too), a gate, a mean or an addition that cannot be exact ends in another last bit
    on another one, and now and then a rounding behind it falls to the other side.
    """
    bench = Workbench(tmp_path, name)
    lively = bench.do(ReestimateBatchNorm(), bench.loaded)[0]  # untrained statistics let every value vanish
    graph = prepare(bench.lowered(lively).onnx, "it")
    placement = place(graph, [])
    free = [tensor for tensor in placement.tensors if tensor not in placement.same_as]
    observers = calibrate(graph, free, bench.data, batch_size=20, histogram=True, label="it", progress=lambda *_: None)
    ranges = {tensor: observer.range("mse") for tensor, observer in observers.items()}
    network = GivenTheRuntimes(
        graph, placement, ranges, pair_safe=True, learned=False, frozen_share=0.3, label="it"
    ).eval()
    network.runtimes, network.own = {}, {}
    network.store(graph)
    plain = Wiring(graph)
    deploy(graph, placement, network)
    onnx.save(graph, tmp_path / "int8.onnx")
    inputs = bench.inputs()
    got = session_answers(tmp_path / "int8.onnx")(inputs)
    assert np.unique(got, axis=0).shape[0] > 16
    if name == "resnet18":
        assert np.array_equal(answers_of(network, inputs), got)

    quantized = [f"{tensor}_quantized" for tensor in placement.tensors]
    graph.graph.output.extend(helper.make_tensor_value_info(tensor, 2, None) for tensor in quantized)
    operators = really_run(tmp_path / "int8.onnx", tmp_path)
    onnx.save(graph, tmp_path / "shown.onnx")
    assert really_run(tmp_path / "shown.onnx", tmp_path)["QLinearConv"] == operators["QLinearConv"]
    values = Session(tmp_path / "shown.onnx").run(inputs, quantized)
    network.runtimes = dict(zip(placement.tensors, values.values(), strict=True))
    assert np.array_equal(answers_of(network, inputs), got)  # the classifier reads whole numbers
    assert network.own.keys() == network.runtimes.keys()
    integers = 0
    for tensor, own in network.own.items():
        steps = np.abs(own.astype(int) - network.runtimes[tensor])
        producer = plain.producer.get(tensor)
        while producer is not None and producer.op_type in (*PASSING, "Relu", "Clip"):
            producer = plain.producer.get(producer.input[0])
        if producer is not None and producer.name in placement.nodes and producer.op_type in WEIGHTED:
            integers += 1
            assert steps.max() == 0, tensor
        else:
            assert steps.max() <= 1, tensor
            assert (steps == 0).mean() >= 0.995, tensor
    assert integers >= 20, "the int8 layers were not looked at"


@pytest.mark.parametrize("learned", [False, True])
def test_a_range_never_grows_beyond_the_clip_that_it_performs(learned: bool) -> None:
    """Beyond it the runtime would keep the Clip, and the convolution before it in float."""
    rounding = FakeActivation(0.0, 6.0, rectified=False, learned=learned, most=6.0)
    rounding.observing = True
    for top in (4.0, 6.0, 6.0, 6.0):
        rounding(torch.linspace(0, top, 100))
    if learned:
        rounding.step.value.data += 0.5
    scale, zero = rounding.parameters_of_graph()
    assert zero == 0
    assert np.float32(scale) * np.float32(255) <= np.float32(6)
    assert scale * 255 == pytest.approx(6, rel=1e-6)


def test_the_simulation_knows_the_clips_and_the_depthwise_convolutions_of_its_graph() -> None:
    nodes = [
        node("Conv", ["x", "w"], ["a"], "conv"),
        node("Clip", ["a", "zero", "six"], ["b"], "clip"),
        node("Conv", ["b", "d"], ["c"], "depthwise", group=8),
        node("GlobalAveragePool", ["c"], ["p"], "pool"),
        node("Flatten", ["p"], ["y"], "flatten"),
    ]
    bounds = [numpy_helper.from_array(np.float32(value), name) for name, value in (("zero", 0), ("six", 6))]
    stored = [weight("w", 8, 3, 3, 3), weight("d", 8, 1, 3, 3), *bounds]
    graph = helper.make_graph(nodes, "g", [shaped("x", None, 3, 16, 16)], [shaped("y", None, 8)], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    placement = place(model, set(), "never")
    ranges = dict.fromkeys(placement.tensors, (-1.0, 9.0))
    network = SimulatedNetwork(model, placement, ranges, pair_safe=True, learned=False, frozen_share=0.3, label="it")
    assert network.has_depthwise and not bf16_pays(network)
    scale, zero = network.given_activations()["b"]
    assert (255 - zero) * scale <= 6.1


def test_no_pair_of_weights_can_overflow_16_bits(bench: Workbench, model: Artifact) -> None:
    small, _ = bench.do(QuantizeAware(epochs=1, lr=0.01), model)  # a high rate moves the weights far
    weights = [numpy_helper.to_array(item) for item in onnx.load(small.onnx).graph.initializer if item.data_type == 3]
    weights = [item for item in weights if item.ndim > 1]
    assert len(weights) == 4
    for item in weights:
        rows = item.reshape(len(item), -1).astype(int)
        for side in (rows, -rows):
            assert np.sort(np.maximum(side, 0), axis=1)[:, -2:].sum(axis=1).max() <= 128
    free, _ = bench.do(QuantizeAware(epochs=1, saturation_safe=False, parity=0), model)
    weights = [numpy_helper.to_array(item) for item in onnx.load(free.onnx).graph.initializer if item.data_type == 3]
    assert max(int(np.abs(item.astype(int)).max()) for item in weights) > 100


def test_training_wins_back_what_a_coarse_range_costs(bench: Workbench, model: Artifact) -> None:
    untrained, _ = bench.do(QuantizeAware(epochs=1, lr=1e-9, observer="min_max"), model)
    trained, job = bench.do(QuantizeAware(epochs=4), model)
    float_logits = bench.onnx_logits(model)
    distance = [np.abs(bench.onnx_logits(item) - float_logits).mean() for item in (untrained, trained)]
    assert job.facts["curve"][-1]["loss"] < job.facts["curve"][0]["loss"]
    assert distance[0] > 0
    assert accuracy(bench, trained) >= accuracy(bench, untrained) - 0.005


def test_killed_it_ends_at_the_same_file(bench: Workbench, model: Artifact) -> None:
    class Killed(Exception):
        pass

    def kill(share: float, _text: str) -> None:
        if share > 0.7:
            raise Killed

    what = QuantizeAware(epochs=2, ema=0.9)
    whole, _ = bench.do(what, model)
    job = bench.job(progress=kill)
    with pytest.raises(Killed):
        what.apply(model, job)
    again = bench.job(state=job.state)
    assert what.apply(model, again).digest == whole.digest
    assert again.facts["resumed_from_epoch"] == 1


def test_excluded_nodes_stay_float_and_unknown_ones_are_refused(
    bench: Workbench, model: Artifact, tmp_path: Path
) -> None:
    some, _ = bench.do(QuantizeAware(epochs=1, exclude=("Gemm",)), model)
    assert really_run(some.onnx, tmp_path)["Gemm"] == 1
    with pytest.raises(PassError, match=r"passes\.it\.exclude: no node or operator 'Gem'\. Did you mean 'Gemm'\?"):
        bench.do(QuantizeAware(epochs=1, exclude=("Gem",)), model)
    with pytest.raises(PassError, match="quantized already"):
        bench.do(QuantizeAware(epochs=1), some)


def test_a_residual_network_runs_whole_in_int8(tmp_path: Path) -> None:
    bench = Workbench(tmp_path)
    model = bench.lowered(bench.do(Train(epochs=1, epoch_share=0.5, lr=0.05), bench.loaded)[0])
    small, job = bench.do(QuantizeAware(epochs=1, epoch_share=0.4), model)
    operators = really_run(small.onnx, tmp_path)
    assert operators["QLinearConv"] == 20
    assert job.facts["parity"]["agreement"] >= 0.995
    assert small.onnx.stat().st_size < 0.27 * model.onnx.stat().st_size
    assert accuracy(bench, small) >= accuracy(bench, model) - 0.02
    assert Session(small.onnx).inputs[0].shape[1:] == (3, 32, 32)


def test_a_graph_made_for_a_batch_of_one_is_refused_in_words(bench: Workbench) -> None:
    one, _ = bench.do(Lower(batch=1), bench.loaded)
    with pytest.raises(PassError, match=r"made for a batch of 1 and cannot be trained .* lowering.batch=dynamic"):
        bench.do(QuantizeAware(epochs=1), one)


def test_zeros_of_a_pruned_weight_stay_zero(bench: Workbench, model: Artifact) -> None:
    graph = onnx.load(model.onnx)
    names = {node.input[1] for node in graph.graph.node if node.op_type in ("Conv", "Gemm")}
    wanted = {}
    for item in graph.graph.initializer:
        if item.name in names:
            value = numpy_helper.to_array(item).copy()
            value[np.abs(value) < np.median(np.abs(value))] = 0
            wanted[item.name] = value == 0
            item.CopyFrom(numpy_helper.from_array(value, item.name))
    out = bench.job().out
    onnx.save(graph, out / ONNX_FILE)
    pruned = seal(out, Kind.ONNX, model.signature)
    small, _ = bench.do(QuantizeAware(epochs=2, lr=2e-3, parity=0.9), pruned)
    found = [
        numpy_helper.to_array(item)
        for item in onnx.load(small.onnx).graph.initializer
        if item.data_type == onnx.TensorProto.INT8 and len(item.dims) > 1
    ]
    assert len(found) == len(wanted) == 4
    for zeros in wanted.values():
        fitting = [value for value in found if value.shape == zeros.shape]
        assert any((value[zeros] == 0).all() and (value != 0).mean() > 0.3 for value in fitting)


def test_a_bias_beside_dead_weights_fits_its_int32(bench: Workbench, model: Artifact) -> None:
    graph = onnx.load(model.onnx)
    first = next(node for node in graph.graph.node if node.op_type == "Conv")
    values = {item.name: item for item in graph.graph.initializer}
    weight, bias = (numpy_helper.to_array(values[name]).copy() for name in first.input[1:3])
    weight[0] *= 1e-8
    bias[0] = 1.0
    for name, value in zip(first.input[1:3], (weight, bias), strict=True):
        values[name].CopyFrom(numpy_helper.from_array(value, name))
    out = bench.job().out
    onnx.save(graph, out / ONNX_FILE)
    _, job = bench.do(QuantizeAware(epochs=1), seal(out, Kind.ONNX, model.signature))
    assert job.facts["parity"]["agreement"] == 1.0


def test_settings_without_an_effect_are_refused() -> None:
    for given in ({"dropout": False}, {"freeze_batchnorm": True}):
        with pytest.raises(ValidationError, match=f"{next(iter(given))} has no effect here"):
            QuantizeAware(**given)
    QuantizeAware(**QuantizeAware().model_dump())
