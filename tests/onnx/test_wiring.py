"""Who makes a tensor and who reads it is told of any graph, subgraphs of its nodes among the readers."""

from __future__ import annotations

from onnx import TensorProto, helper

from edgepipe.onnx.inputs import inputs_of
from edgepipe.onnx.wiring import Wiring, drop_unread
from tests.onnx.test_names import branching


def test_a_node_reads_what_its_branches_read() -> None:
    model = branching()
    add, choose = model.graph.node
    wiring = Wiring(model)
    assert wiring.producer == {"a": add, "y": choose}
    assert wiring.consumers["x"] == [add, add]  # an entry for each input
    assert wiring.consumers["a"] == [choose, choose]  # one for each branch
    assert (wiring.inside, wiring.inputs, wiring.outputs) == ({"a", "one"}, {"x", "go"}, {"y"})
    assert wiring.is_read("y") and wiring.is_read("one") and not wiring.is_read("nobody")
    assert wiring.sole_consumer("go") == choose
    assert wiring.sole_consumer("a") is None and wiring.sole_consumer("y") is None


def test_a_branch_has_a_wiring_of_its_own() -> None:
    branch = branching().graph.node[1].attribute[0].g
    wiring = Wiring(branch)
    assert set(wiring.consumers) == {"a", "one"}
    assert not wiring.inputs and not wiring.constants and len(wiring.outputs) == 1


def test_a_constant_that_is_listed_as_an_input_is_none() -> None:
    model = branching()
    model.graph.input.append(helper.make_tensor_value_info("one", TensorProto.FLOAT, []))
    assert [item.name for item in inputs_of(model.graph)] == ["x", "go"]


def test_what_only_a_branch_reads_stays_and_what_nobody_reads_goes() -> None:
    model = branching()
    model.graph.initializer.add(name="nobody", data_type=TensorProto.FLOAT, dims=[0])
    drop_unread(model.graph)
    assert [item.name for item in model.graph.initializer] == ["one"]
