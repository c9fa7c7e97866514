"""The deployed int8 graph as a torch network that can be trained: same placement, parameters and rounding."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgepipe.quant.arithmetic.affine import weight_parameters
from edgepipe.quant.arithmetic.exact_sums import exact_sums
from edgepipe.quant.place.placement import Placement, Wiring, clip_behind, upper_bound, weight_axis
from edgepipe.quant.train.fake import FakeActivation, FakeWeight, Step, along
from edgepipe.torch.from_onnx import Call, OnnxNetwork

_REFRESHES = 10
_OBSERVED_STEPS = 10
_PRUNED_SHARE = 0.25
"""Of zeros, from which on somebody put them there."""


class SimulatedNetwork(OnnxNetwork):
    """A prepared float graph with the rounding of its int8 version.

    Training computes in floats, which gradients need. In evaluation convolutions and matrix products are sums of whole
    numbers, scaled and rounded in the order of ONNX Runtime's kernels: else a sum that lies between two steps but for
    the last bit of a float falls to the other one, and a deep network makes other answers of that.

    Args:
        ranges: calibrated (low, high) by tensor; tensors of `placement.same_as` need none.
        learned: step sizes are trained (LSQ); otherwise activation ranges follow the batches, and weight scales are
            searched again ten times.
        frozen_share: last share of training in which step sizes stay.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        placement: Placement,
        ranges: Mapping[str, tuple[float, float]],
        *,
        pair_safe: bool,
        learned: bool,
        frozen_share: float,
        label: str,
    ) -> None:
        super().__init__(model, label)
        wiring = Wiring(model)
        self.placement, self.learned, self.frozen_share = placement, learned, frozen_share
        self.activations = nn.ModuleDict()
        self.rounding = nn.ModuleDict()
        self._rounds: dict[str, str] = {}
        self._skipped: set[str] = set()
        self._behind: dict[str, str] = {}
        for name in placement.tensors:
            source = name
            while source in placement.same_as:
                source = placement.same_as[source]
            producer = wiring.producer.get(name)
            rectified = producer is not None and producer.op_type == "Relu"
            if rectified and producer is not None:
                self._skipped.add(producer.name)  # a range that begins at zero is a ReLU already
            if source not in self._rounds:
                self._rounds[source] = f"a{len(self.activations)}"
                self.activations[self._rounds[source]] = FakeActivation(
                    *ranges[source], rectified=rectified, learned=learned, most=upper_bound(name, wiring)
                )
            self._rounds[name] = self._rounds[source]
        for call in self.calls:
            node = call.node
            if node.name in placement.nodes and node.op_type in ("Conv", "Gemm", "MatMul"):
                clip = clip_behind(node, wiring)
                if node.output[0] in self._rounds:
                    self._behind[node.name] = node.output[0]
                elif clip is not None and clip.output[0] in self._rounds:
                    self._behind[node.name] = clip.output[0]
                key = self._weight_key(node)
                if key in self.rounding:
                    continue
                value = wiring.array(node.input[1])
                assert value is not None
                axis = weight_axis(node)
                rows = np.moveaxis(value, axis, 0).reshape(value.shape[axis], -1)
                scale = weight_parameters(rows, pair_safe=pair_safe)[1]
                zeros = torch.from_numpy(value == 0)
                self.rounding[key] = FakeWeight(
                    torch.from_numpy(scale),
                    axis,
                    pair_safe=pair_safe,
                    learned=learned,
                    zeros=zeros if zeros.float().mean() >= _PRUNED_SHARE else None,
                )
        self._bound_scales()

    @torch.no_grad()
    def _bound_scales(self) -> None:
        """A bias has the step s_x * s_w, with which it must fit int32."""
        least: dict[str, Tensor] = {}
        for call in self.calls:
            module = self._rounding_of(call)
            if module is None or len(call.reads) < 3 or not call.reads[2]:
                continue
            bias = super().constant(call.reads[2], call).abs().reshape(-1).expand(module.least.shape)
            wanted = bias / (self._activation(call.reads[0]).scale * 2.0**30)
            key = self._weight_key(call.node)
            least[key] = torch.maximum(least[key], wanted) if key in least else wanted
            module.least.copy_(least[key])

    @torch.no_grad()
    def settle_sums(self) -> None:
        """Move step sizes a little, so that additions round alike on every processor; see `exact_sums`."""
        found = {name: (np.float32(scale), zero) for name, (scale, zero) in self.given_activations().items()}
        activations = {name: self._activation(name) for name in found}
        most = {name: activation.most for name, activation in activations.items()}
        exact_sums([call.node for call in self.calls], self.placement, found, most)
        for name, (scale, _) in found.items():
            activations[name].step.set(torch.tensor(scale))
        self._bound_scales()

    def _weight_key(self, node: onnx.NodeProto) -> str:
        return f"{self._places[node.input[1]]}_{weight_axis(node)}"

    def constant(self, name: str, call: Call) -> Tensor:
        value = super().constant(name, call)
        module = self._rounding_of(call)
        if module is None or name not in call.reads[1:3]:
            return value
        if name == call.reads[1]:
            rounded: Tensor = module(module.pruned(value))
            return rounded
        # The bias has the step of the accumulator, s_x * s_w, which can be as coarse as 1/30 of an output step.
        step = (module.scale * self._activation(call.reads[0]).scale).detach()
        return value + ((value / step).round() * step - value).detach()

    def _rounding_of(self, call: Call) -> FakeWeight | None:
        """What rounds the weight of an int8 node."""
        node = call.node
        if node.name not in self.placement.nodes or node.op_type not in ("Conv", "Gemm", "MatMul"):
            return None
        found = self.rounding[self._weight_key(node)]
        assert isinstance(found, FakeWeight)
        return found

    def run_call(self, call: Call, arguments: list[Any]) -> Any:
        if call.node.name in self._skipped:
            return arguments[0]
        module = None if self.training else self._rounding_of(call)
        return super().run_call(call, arguments) if module is None else self._run_in_integers(call, arguments, module)

    def _run_in_integers(self, call: Call, arguments: list[Any], module: FakeWeight) -> Tensor:
        """What an int8 node computes: whole numbers in float32, which holds every sum below 2^24."""
        x, weight, *bias = arguments
        incoming = self._activation(call.reads[0]).scale
        step = module.scale * incoming
        whole = [(x.float() / incoming).round(), (weight / along(module.scale, weight.ndim, module.axis)).round()]
        whole += [(value / step).round() for value in bias if value is not None]
        with torch.autocast(x.device.type, enabled=False):  # bf16 would round the sums
            sums = super().run_call(call, whole).round()  # some fast convolutions are not exact
        axis = 1 if call.node.op_type == "Conv" else sums.ndim - 1
        if call.node.name not in self._behind:
            found: Tensor = sums * along(step, sums.ndim, axis)
            return found
        outgoing = self._activation(self._behind[call.node.name]).scale
        rounded: Tensor = (sums * along(step / outgoing, sums.ndim, axis)).round() * outgoing
        return rounded

    def _activation(self, name: str) -> FakeActivation:
        found = self.activations[self._rounds[name]]
        assert isinstance(found, FakeActivation)
        return found

    def computed(self, name: str, value: Tensor) -> Tensor:
        if name not in self._rounds:
            return value
        rounded: Tensor = self.activations[self._rounds[name]](value)
        return rounded

    def before_step(self, step: int, steps: int) -> None:
        """Decide what this step observes; depends on the step's number alone, so that a resumed run repeats it."""
        frozen_from = math.ceil((1 - self.frozen_share) * steps)
        moving = step < frozen_from
        following = moving and not self.learned
        for activation in self.activations.values():
            assert isinstance(activation, FakeActivation)
            activation.observing = following and step % _OBSERVED_STEPS == 0
        if self.learned:
            for module in self.modules():
                if isinstance(module, Step):
                    module.value.requires_grad_(moving)
        if step == frozen_from:
            self.settle_sums()
        elif moving and step % _OBSERVED_STEPS == 0:
            self._bound_scales()
        if following and step and step * _REFRESHES // steps != (step - 1) * _REFRESHES // steps:
            for call in self.calls:
                weight = self._rounding_of(call)
                if weight is not None:
                    weight.refresh(super().constant(call.reads[1], call))

    def given_activations(self) -> dict[str, tuple[float, int]]:
        """Scale and zero point by tensor."""
        found = {}
        for name in self.placement.tensors:
            found[name] = self._activation(name).parameters_of_graph()
        return found

    def given_weights(self) -> dict[str, tuple[NDArray[np.int8], NDArray[np.float32]]]:
        """int8 weights and their scales by the name of the node that reads them."""
        found = {}
        for call in self.calls:
            module = self._rounding_of(call)
            if module is not None:
                integers, scale = module.integers(module.pruned(super().constant(call.reads[1], call)))
                found[call.node.name] = (integers.contiguous().cpu().numpy(), scale.cpu().numpy())
        return found
