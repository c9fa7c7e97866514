"""Networks of anyone's: what an artifact cannot hold, what is returned beside the answers, integers, random layers."""

from __future__ import annotations

import json
import random
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from edgepipe.contract import Job, Signature
from edgepipe.contract.artifact import Artifact
from edgepipe.errors import ModelError
from edgepipe.onnx.answers import session_answers
from edgepipe.sources.python import PythonModel
from edgepipe.sources.torchvision import TorchvisionModel
from edgepipe.torch import artifact as torch_artifact
from edgepipe.torch import interface, lower

SHAPE = (6,)
MADE: dict[str, Callable[[], nn.Module]] = {}


def made(which: str) -> nn.Module:
    """The factory of every network here."""
    return MADE[which]()


@pytest.fixture(autouse=True)
def _none_made(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Hashing all that this file imports takes seconds, and is tested elsewhere.
    monkeypatch.setattr("edgepipe.sources.python.source_digests", lambda *_: {})
    yield
    MADE.clear()


class _Net(nn.Module):
    def __init__(self, forward: Callable[[nn.Module, Tensor], Any], prepare: Callable[[Any], None] = lambda _: None):
        super().__init__()
        self.fc = nn.Linear(6, 4)
        self.how = forward
        prepare(self)

    def forward(self, inputs: Tensor) -> Any:
        return self.how(self, inputs)


def load(
    tmp_path: Path, factory: Callable[[], nn.Module], *, seed: int = 0, shape: tuple[int, ...] = SHAPE
) -> tuple[Artifact, Job]:
    MADE["it"] = factory
    settings = PythonModel(factory="tests.torch.test_interface:made", kwargs={"which": "it"}, trust_code=True)
    out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
    out.mkdir()
    job = Job(out=out, state=out, data=None, seed=seed, label="load")  # type: ignore[arg-type]
    return settings.load(out, Signature(input_shape=shape), seed, job), job


def permuted(prepare: Callable[[Any], None]) -> Callable[[], nn.Module]:
    return lambda: _Net(lambda self, x: self.fc(x[:, torch.as_tensor(self.perm)]), prepare)


def _buffer(net: Any) -> None:
    net.register_buffer("perm", torch.randperm(6), persistent=False)


def _attribute(net: Any) -> None:
    net.perm = torch.randperm(6)


def _numpy(net: Any) -> None:
    net.perm = np.random.permutation(6)


def _python(net: Any) -> None:
    net.perm = random.sample(range(6), 6)


@pytest.mark.parametrize("prepare", [_buffer, _attribute, _numpy, _python])
def test_what_is_drawn_at_construction_is_drawn_alike_by_every_step(
    tmp_path: Path, prepare: Callable[[Any], None]
) -> None:
    artifact, _ = load(tmp_path, permuted(prepare), seed=5)
    first = torch_artifact.build(artifact)
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    again = torch_artifact.build(artifact)
    assert list(map(int, again.perm)) == list(map(int, first.perm))
    with interface.seeded(5):
        assert list(map(int, MADE["it"]().perm)) == list(map(int, first.perm))  # by the recipe's seed
    assert torch.initial_seed() == 99  # and what comes behind draws as if nothing had been built


def test_a_seed_of_the_recipe_reaches_torchvision_too(tmp_path: Path) -> None:
    tmp_path.joinpath("out").mkdir()
    found = TorchvisionModel(name="squeezenet1_1", num_classes=3).load(
        tmp_path / "out", Signature(input_shape=(3, 32, 32)), 7
    )
    base = torch_artifact.read_architecture(found)["base"]
    assert base["seed"] == 7
    weights = torch_artifact.build(found).state_dict()
    fresh = torch_artifact.build_base(base).state_dict()
    assert all(torch.equal(weights[name], fresh[name]) for name in weights)


def _unseeded_buffer(net: Any) -> None:
    drawn = np.random.default_rng().standard_normal(6)
    net.register_buffer("offset", torch.tensor(drawn, dtype=torch.float32), persistent=False)


def _unseeded_attribute(net: Any) -> None:
    net.offset = torch.tensor(np.random.default_rng().standard_normal(6), dtype=torch.float32)


def _unseeded_list(net: Any) -> None:
    net.offset = np.random.default_rng().standard_normal(6).tolist()


@pytest.mark.parametrize("prepare", [_unseeded_buffer, _unseeded_attribute, _unseeded_list])
def test_what_cannot_be_kept_is_refused_by_name(tmp_path: Path, prepare: Callable[[Any], None]) -> None:
    with pytest.raises(ModelError, match=r"state that is no parameter.*'offset'.*answers differently.*register_buffer"):
        load(tmp_path, lambda: _Net(lambda self, x: self.fc(x + torch.as_tensor(self.offset)), prepare))


def test_state_that_the_examples_do_not_show_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="'offset'"):
        load(tmp_path, lambda: _Net(lambda self, x: self.fc(x), _unseeded_attribute))


def test_a_clock_or_a_number_without_effect_is_no_reason_to_refuse(tmp_path: Path) -> None:
    ticks = iter(range(100))
    load(tmp_path, lambda: _Net(lambda self, x: self.fc(x), lambda net: setattr(net, "made_at", next(ticks))))


def test_what_a_pass_changed_outside_of_the_state_dict_is_refused_when_it_is_written(tmp_path: Path) -> None:
    artifact, _ = load(tmp_path, permuted(_attribute))
    network = torch_artifact.build(artifact)
    network.perm = torch.as_tensor(network.perm).flip(0)
    (tmp_path / "trained").mkdir()
    with pytest.raises(ModelError, match="'perm'"):
        torch_artifact.write(
            network, torch_artifact.read_architecture(artifact), tmp_path / "trained", artifact.signature
        )


def test_a_factory_that_gives_one_object_twice_is_refused(tmp_path: Path) -> None:
    only = _Net(lambda self, x: self.fc(x))
    with pytest.raises(ModelError, match=r"returns what it made before: 'fc\.weight'"):
        load(tmp_path, lambda: only)


def test_state_that_is_no_tensor_is_refused_by_name(tmp_path: Path) -> None:
    class Extra(_Net):
        def get_extra_state(self) -> Any:
            return {"steps": 3}

        def set_extra_state(self, state: Any) -> None: ...

    with pytest.raises(ModelError, match=r"_extra_state: its state dict holds dict"):
        load(tmp_path, lambda: Extra(lambda self, x: self.fc(x)))


class _Pair(NamedTuple):
    features: Tensor
    logits: Tensor


OUTPUTS: dict[str, tuple[Callable[[Tensor], Any], str | int]] = {
    "dict of one": (lambda y: {"answer": y}, "answer"),
    "tuple of one": (lambda y: (y,), 0),
    "list with none": (lambda y: [None, y], 1),
    "logits among others": (lambda y: OrderedDict(hidden=y * 0, logits=y), "logits"),
    "torchvision's out": (lambda y: {"out": y, "aux": y * 0}, "out"),
    "named tuple": (lambda y: _Pair(y * 0, y), "logits"),
}


@pytest.mark.parametrize("name", list(OUTPUTS))
def test_the_answer_among_what_is_returned_is_taken_by_every_pass(tmp_path: Path, name: str) -> None:
    wrap, key = OUTPUTS[name]
    artifact, job = load(tmp_path, lambda: _Net(lambda self, x: wrap(self.fc(x))))
    assert torch_artifact.read_architecture(artifact)["base"]["output"] == key
    network = torch_artifact.build(artifact)
    inputs = torch.ones(2, 6)
    expected = network.fc(inputs)
    assert torch.equal(network(inputs), expected)
    said = str(job.facts.get("notes", ""))
    assert ("is taken for its answer" in said) == (isinstance(key, str) and key in ("logits", "out"))


def test_only_the_answer_is_lowered(tmp_path: Path) -> None:
    artifact, _ = load(tmp_path, lambda: _Net(lambda self, x: {"hidden": x, "logits": self.fc(x)}))
    network, file = torch_artifact.build(artifact), tmp_path / "m.onnx"
    lower.export(network, file, SHAPE, opset=20, batch="dynamic")
    inputs = np.ones((2, 6), np.float32)
    np.testing.assert_allclose(session_answers(file)(inputs), lower.answers_of(network, inputs), atol=1e-5)
    assert [item.name for item in onnx.load(file).graph.output] == ["logits"]


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda y: {"boxes": y, "scores": y * 2}, r"returns a dict \('boxes' \[2, 4\], 'scores' \[2, 4\]\)"),
        (lambda y: (y, y * 2), r"returns a tuple \(0 \[2, 4\], 1 \[2, 4\]\)"),
        (lambda y: {"inner": {"logits": y}}, r"'inner' \(dict\)"),
        (lambda _: None, "returns NoneType"),
        (lambda _: {}, "returns dict"),
    ],
)
def test_what_is_not_one_answer_is_refused_with_what_was_found(
    tmp_path: Path, wrap: Callable[[Tensor], Any], said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        load(tmp_path, lambda: _Net(lambda self, x: wrap(self.fc(x))))


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(50, 8), nn.Embedding(6, 8)
        self.fc = nn.Linear(8, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.fc((self.words(tokens) + self.places(torch.arange(tokens.shape[1]))).mean(1))
        return found


TOKENS = np.array([[1, 4, 0, 49, 7, 3], [2, 2, 30, 5, 1, 0]], np.float32)


def test_token_numbers_stay_integers(tmp_path: Path) -> None:
    artifact, _ = load(tmp_path, _Encoder)
    network = torch_artifact.build(artifact)
    assert interface.takes_integers(network)
    answers = lower.answers_of(network, TOKENS)
    file = tmp_path / "m.onnx"
    lower.export(network, file, SHAPE, opset=20, batch="dynamic")
    graph = onnx.load(file).graph
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.INT64
    assert "Cast" not in {node.op_type for node in graph.node}
    np.testing.assert_allclose(session_answers(file)(TOKENS), answers, atol=1e-5)


def test_numbers_that_are_no_integers_are_not_rounded_for_a_network_that_takes_integers(tmp_path: Path) -> None:
    artifact, _ = load(tmp_path, _Encoder)
    with pytest.raises(ModelError, match=r"takes integers.*the data gives 0\.37"):
        torch_artifact.build(artifact)(torch.full((1, 6), 0.37))


def test_too_many_token_numbers_are_told_by_the_network_that_takes_integers(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not take the data's examples") as caught:
        load(tmp_path, _Encoder, shape=(9,))
    assert "scalar type" not in str(caught.value)


def test_a_network_that_draws_in_evaluation_mode_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"answers differently each time it is asked.*training=True"):
        load(tmp_path, lambda: _Net(lambda self, x: nn.functional.dropout(self.fc(x), 0.5, training=True)))
    with pytest.raises(ModelError, match="answers differently each time"):
        load(tmp_path, lambda: _Net(lambda self, x: self.fc(x) + torch.rand(4)))


def test_a_picture_of_the_wrong_size_is_told_as_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"the data's examples, of shape \(5,\).*data\.image_size") as caught:
        load(tmp_path, lambda: _Net(lambda self, x: self.fc(x)), shape=(5,))
    assert "opset" not in str(caught.value)


def test_an_architecture_of_before_is_still_built(tmp_path: Path) -> None:
    artifact, _ = load(tmp_path, lambda: _Net(lambda self, x: self.fc(x)))
    file = artifact.path / "architecture.json"
    old = json.loads(file.read_text())
    del old["base"]["seed"]
    file.write_text(json.dumps(old))
    assert torch_artifact.build(artifact)(torch.zeros(1, 6)).shape == (1, 4)
