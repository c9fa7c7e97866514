"""A float ONNX graph as a torch network: run node by node, its float constants trainable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from edgepipe.errors import PassError
from edgepipe.torch.onnx_operators import OPERATORS, Operator

_TRAINED = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (1, 2),
    "MatMul": (0, 1),
    "Add": (0, 1),
    "Mul": (0, 1),
    "LayerNormalization": (1, 2),
    "BatchNormalization": (1, 2),
}
"""Inputs that hold weights, by operator; a constant of one element is no weight."""


@dataclass(frozen=True)
class Call:
    """One node: what it computes, from which tensors, into which, and which are not needed afterwards."""

    node: onnx.NodeProto
    run: Operator
    attributes: dict[str, Any]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    drops: tuple[str, ...]


class OnnxNetwork(nn.Module):
    """Runs the graph it was given and can write its trained weights back into it.

    Raises:
        PassError: an operator has no counterpart here; names the operator and where it occurs.
    """

    operators: ClassVar[Mapping[str, Operator]] = OPERATORS

    def __init__(self, model: onnx.ModelProto, label: str) -> None:
        super().__init__()
        graph = model.graph
        unknown = sorted(
            {n.op_type for n in graph.node if n.op_type not in self.operators or n.domain not in ("", "ai.onnx")}
        )
        if unknown:
            raise PassError(
                f"passes.{label}: the operator {unknown[0]} cannot be trained through"
                f"{f' (nor {unknown[1:]})' if unknown[1:] else ''}. "
                "Use quantize_static, which needs no training"
            )
        self.label = label
        constants = {item.name: item for item in graph.initializer}
        self._input = next(item.name for item in graph.input if item.name not in constants)
        self._output = graph.output[0].name
        trained = {
            node.input[place]
            for node in graph.node
            for place in _TRAINED.get(node.op_type, ())
            if place < len(node.input)
        }
        self._places: dict[str, str] = {}
        self._fixed: dict[str, Tensor] = {}
        for number, item in enumerate(graph.initializer):
            value = torch.from_numpy(np.array(numpy_helper.to_array(item)))
            if not value.is_floating_point():
                self._fixed[item.name] = value  # shapes and axes: read on the CPU whatever the device
                continue
            self._places[item.name] = f"w{number}"
            if item.name in trained and value.numel() > 1:
                self.register_parameter(f"w{number}", nn.Parameter(value))
            else:
                self.register_buffer(f"w{number}", value)
        self.calls = tuple(self._calls(graph))

    def _calls(self, graph: Any) -> Iterator[Call]:
        last: dict[str, int] = {}
        for number, node in enumerate(graph.node):
            last |= dict.fromkeys(node.input, number)
        for number, node in enumerate(graph.node):
            attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
            if "value" in attributes:
                attributes["value"] = numpy_helper.to_array(attributes["value"])
            drops = tuple(
                name for name in dict.fromkeys(node.input) if last[name] == number and name not in self._known
            )
            own = onnx.NodeProto()
            own.CopyFrom(node)  # the graph may be rewritten while this network goes on
            yield Call(own, self.operators[node.op_type], attributes, tuple(node.input), tuple(node.output), drops)

    @property
    def _known(self) -> set[str]:
        return {*self._places, *self._fixed, "", self._output}

    @property
    def has_depthwise(self) -> bool:
        """Whether a convolution has one input channel for each of several groups."""
        return any(
            call.node.op_type == "Conv"
            and call.attributes.get("group", 1) > 1
            and call.node.input[1] in self._places
            and getattr(self, self._places[call.node.input[1]]).shape[1] == 1
            for call in self.calls
        )

    def weights(self) -> dict[str, Tensor]:
        """Trainable constants by their name in the graph."""
        return {name: getattr(self, place) for name, place in self._places.items() if place in self._parameters}

    def constant(self, name: str, call: Call) -> Tensor:  # noqa: ARG002  a subclass looks at the reader
        """The value of a constant, as `call` reads it."""
        value: Tensor = self._fixed[name] if name in self._fixed else getattr(self, self._places[name])
        return value

    def computed(self, name: str, value: Tensor) -> Tensor:  # noqa: ARG002  a subclass looks at the name
        """The value of a tensor, as every node reads it."""
        return value

    def run_call(self, call: Call, arguments: list[Any]) -> Any:
        """What a node computes."""
        return call.run(call.attributes, *arguments)

    def forward(self, inputs: Tensor) -> Tensor:
        """Float32 (n, *input_shape) to logits (n, classes)."""
        values = {self._input: self.computed(self._input, inputs)}
        for call in self.calls:
            arguments = [
                None if not name else values[name] if name in values else self.constant(name, call)
                for name in call.reads
            ]
            try:
                results = self.run_call(call, arguments)
            except (NotImplementedError, KeyError) as error:
                raise PassError(
                    f"passes.{self.label}: the node '{call.node.name}' ({call.node.op_type}) cannot be trained "
                    f"through: {error}. Use quantize_static, which needs no training"
                ) from error
            for name, value in zip(call.writes, results if isinstance(results, tuple) else (results,), strict=False):
                values[name] = self.computed(name, value)
            for name in call.drops:
                values.pop(name, None)
        return values[self._output]

    @torch.no_grad()
    def store(self, model: onnx.ModelProto) -> None:
        """Write the weights into the graph they came from."""
        weights = self.weights()
        for item in model.graph.initializer:
            if item.name in weights:
                value = weights[item.name].detach().cpu().contiguous().numpy()
                item.CopyFrom(numpy_helper.from_array(value, item.name))
