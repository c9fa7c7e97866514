"""Static quantization of one float model: calibrated and fitted once, written for any choice of layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgepipe.contract import Dataset, Progress, Split
from edgepipe.errors import PassError
from edgepipe.onnx.clean import clean
from edgepipe.quant.calibrate.choose import choose_ranges
from edgepipe.quant.calibrate.means import Means, layer_means
from edgepipe.quant.calibrate.moments import Moments, watch
from edgepipe.quant.calibrate.observers import UNLIMITED
from edgepipe.quant.calibrate.run import calibrate, stream
from edgepipe.quant.place.curves import lookups
from edgepipe.quant.place.guards import guard_floats
from edgepipe.quant.place.placement import Placement, Wiring
from edgepipe.quant.write.apart import Apart, far_apart, shared_scales, with_probes
from edgepipe.quant.write.channels import FarChannels, Place, channel_spans, far_channels, readings
from edgepipe.quant.write.fit import fit
from edgepipe.quant.write.qdq import QdqWriter, Weight, WeightKey

_COLUMNS = 16_384
"""Columns that a layer's second moment is taken from; more change no answer and cost minutes on large pictures."""
_MEANS = 32
"""Calibration examples that means are taken of; 64 were no better on any of nine networks, and cost twice as much."""


@dataclass(frozen=True)
class How:
    """The settings of `quantize_static` that say how, with the preset's filled in."""

    observer: str
    batch_size: int
    percentile: float = 99.99
    per_channel: bool = True
    saturation_safe: bool = True
    weight_search: bool = True
    learned: bool = False
    bias_correction: bool = False
    examples: int = 64


class StaticQuantizer:
    """A prepared float model, what calibration knows of it, and the int8 graph of any placement.

    Attributes:
        network: the prepared model; never written to.
        observers: tensor to the observer that its range comes from, where they were chosen one by one.
        gain: layer to the share of its rounding error that learned rounding leaves.
    """

    def __init__(self, network: onnx.ModelProto, data: Dataset, how: How, label: str, progress: Progress) -> None:
        self.network, self.data, self.how, self.label, self.progress = network, data, how, label, progress
        self.observers: dict[str, str] = {}
        self.gain: dict[str, float] = {}
        self._typical: dict[str, float] = {}
        self._ranges: dict[str, tuple[float, float]] = {}
        self._spans: dict[str, tuple[float, float]] = {}  # of values that share another tensor's range
        self._channels: dict[Place, NDArray[np.float64]] = {}  # spans of each channel
        self._weights: dict[WeightKey, Weight] = {}
        self._biases: dict[str, NDArray[np.float32]] = {}

    def calibrate(self, placements: Iterable[Placement]) -> None:
        """Learn the range of every tensor of the placements that is not known yet; the first has the say in how.

        Raises:
            PassError: a tensor holds NaN or infinity.
        """
        found = list(placements)
        tensors = {name: None for placement in found for name in placement.tensors if name not in placement.same_as}
        missing = [name for name in tensors if name not in self._ranges]
        if not missing:
            return

        def limits(tensor: str) -> tuple[float, float]:
            return next((p.limits[tensor] for p in found if tensor in p.limits), UNLIMITED)

        observers = calibrate(
            self.network,
            missing,
            self.data,
            batch_size=self.how.batch_size,
            histogram=self.how.observer not in ("min_max", "moving_average"),
            label=self.label,
            progress=lambda share, text: self.progress(0.1 + 0.3 * share, f"calibrating {text}"),
        )
        self._typical |= {name: watched.typical.energy for name, watched in observers.items()}
        if self.how.observer != "least_error":
            self._ranges |= {
                name: watched.range(
                    self.how.observer,  # type: ignore[arg-type]
                    self.how.percentile,
                    limits(name),
                )
                for name, watched in observers.items()
            }
            return
        ranges, names = choose_ranges(
            self.network,
            found[0],
            observers,
            self.data,
            percentile=self.how.percentile,
            examples=self.how.examples,
            batch_size=self.how.batch_size,
            progress=lambda share, text: self.progress(0.4 + 0.2 * share, text),
        )
        self._ranges |= ranges
        self.observers |= names

    def apart(self, placement: Placement) -> list[Apart | FarChannels]:
        """Where parts or channels of a quantized tensor of a calibrated placement have too few steps of its scale.

        Raises:
            PassError: a tensor holds NaN or infinity.
        """
        shares = shared_scales(self.network, placement)
        names = {part.tensor for share in shares for part in share.parts}
        wiring = Wiring(self.network)
        held = {name: value for name in names if (value := wiring.array(name)) is not None}
        self._spans |= {name: (float(value.min()), float(value.max())) for name, value in held.items()}
        missing = sorted(names - self._ranges.keys() - self._spans.keys())
        if missing:
            observers = calibrate(
                with_probes(self.network, shares),
                missing,
                self.data,
                batch_size=self.how.batch_size,
                histogram=True,
                label=self.label,
                progress=lambda share, text: self.progress(0.4 + 0.1 * share, f"comparing spans {text}"),
            )
            self._spans |= {name: watched.range("relative_mse") for name, watched in observers.items()}
        found = far_apart(self.network, shares, self._spans | self._ranges)
        barred = {name for item in found for name in item.barred}
        return [*found, *(item for item in self.far_channels(placement, self._ranges) if item.tensor not in barred)]

    def far_channels(
        self, placement: Placement, ranges: Mapping[str, tuple[float, float]] | None = None
    ) -> list[FarChannels]:
        """Layers of a placement that live on channels with too few steps of their input's scale.

        Args:
            ranges: (low, high) of the quantized tensors; None: what their channels cover, before any calibration.
        """
        found = readings(self.network, placement)
        missing = [item.place for item in found if item.place not in self._channels]
        if missing:
            self._channels |= channel_spans(
                self.network,
                missing,
                self.data,
                batch_size=self.how.batch_size,
                progress=lambda share, text: self.progress(0.5 + 0.1 * share, f"comparing channels {text}"),
            )
        return far_channels(self.network, placement, found, self._channels, ranges)

    def fit(self, placement: Placement) -> None:
        """Round the weights and correct the biases of a calibrated placement to what its layers compute.

        Raises:
            PassError: a weight holds NaN or infinity.
        """
        if not self.how.learned and not self.how.bias_correction:
            return
        writer = self._writer(self.network)
        parameters = writer.parameters(placement, self._known(placement))
        layers = {node.name: (node, writer.wiring.constants[node.input[1]].dims) for node in writer.layers(placement)}
        moments: dict[str, Moments] = {}
        means: dict[str, Means] = {}
        if self.how.bias_correction:
            means = layer_means(
                self.network,
                {name: layer for name, layer in layers.items() if writer.bias(layer[0]) is not None},
                parameters,
                self.data,
                examples=_MEANS,
                batch_size=self.how.batch_size,
                progress=lambda share, text: self.progress(0.6 + 0.1 * share, f"means {text}"),
            )
        if self.how.learned:
            examples = max(1, self.data.count(Split.CALIBRATION))
            typical = {name: self._typical_of(name, placement) for name in parameters}
            moments, take = watch(layers, parameters, per_example=-(-_COLUMNS // examples), typical=typical)
            stream(
                self.network,
                sorted({node.input[0] for node, _ in layers.values()}),
                self.data,
                take,
                batch_size=self.how.batch_size,
                progress=lambda share, text: self.progress(0.7 + 0.1 * share, f"fitting {text}"),
            )
        try:
            self._weights, self._biases, self.gain = fit(
                writer,
                placement,
                parameters,
                moments,
                means,
                progress=lambda share, text: self.progress(0.8 + 0.2 * share, text),
            )
        except ValueError as error:
            raise self._broken(error) from None

    def _typical_of(self, tensor: str, placement: Placement) -> float:
        """Energy of most examples; of a tensor that only moves another's values, that of the other."""
        while tensor not in self._typical and tensor in placement.same_as:
            tensor = placement.same_as[tensor]
        return self._typical.get(tensor, 0.0)

    def write(self, placement: Placement) -> tuple[onnx.ModelProto, int]:
        """The int8 graph of a calibrated placement, and how many tensors are quantized in it.

        Layers that `fit` has seen keep what it found; others are rounded to the nearest.

        Raises:
            PassError: a weight holds NaN or infinity.
        """
        model = onnx.ModelProto()
        model.CopyFrom(self.network)
        try:
            tensors = _write(self._writer(model), placement, self._known(placement), self._weights, self._biases)
        except ValueError as error:
            raise self._broken(error) from None
        return model, tensors

    def _writer(self, model: onnx.ModelProto) -> QdqWriter:
        how = self.how
        return QdqWriter(model, per_channel=how.per_channel, pair_safe=how.saturation_safe, search=how.weight_search)

    def _known(self, placement: Placement) -> dict[str, tuple[float, float]]:
        return {name: self._ranges[name] for name in placement.tensors if name in self._ranges}

    def _broken(self, error: Any) -> PassError:
        return PassError(f"passes.{self.label}: {error}. The float model is broken there")


def without_apart(
    quantizer: StaticQuantizer, placement: Placement, again: Callable[[set[str]], Placement] | None
) -> tuple[Placement, set[str], list[str]]:
    """A placement in which no values have too few steps of the scale that they share.

    Args:
        again: makes the placement without some tensors; None: it stays as it is.
    Returns:
        The placement, calibrated; the tensors that are not quantized for that; and what to tell people.
    Raises:
        PassError: a tensor holds NaN or infinity.
    """
    barred: set[str] = set()
    said: dict[str, str] = {}
    while placement.nodes:
        quantizer.calibrate([placement])
        found = quantizer.apart(placement)
        said |= {item.key: item.said(again is not None) for item in found}
        more = {name for item in found for name in item.barred} - barred
        if again is None or not more:
            break
        barred |= more
        placement = again(barred)
    return placement, barred, list(said.values())


def write_untuned(network: onnx.ModelProto, placement: Placement) -> onnx.ModelProto:
    """The int8 graph of a placement with scales that fit no data: as fast as the real one, and of no other use.

    Every activation is said to lie in [0, 1]: the range performs each ReLU and clip behind a layer, as a real one does.
    """
    model = onnx.ModelProto()
    model.CopyFrom(network)
    writer = QdqWriter(model, per_channel=True, pair_safe=True, search=False)
    _write(writer, placement, dict.fromkeys(placement.tensors, (0.0, 1.0)), {}, {})
    return model


def _write(
    writer: QdqWriter,
    placement: Placement,
    ranges: Mapping[str, tuple[float, float]],
    weights: Mapping[WeightKey, Weight],
    biases: Mapping[str, NDArray[np.float32]],
) -> int:
    """Rewrite the writer's model in place, ready to be saved; returns how many tensors are quantized."""
    known = writer.weights(placement, writer.parameters(placement, ranges), weights)
    parameters = writer.write(placement, ranges, weights=known, biases=biases)
    lookups(writer.model, placement)
    guard_floats(writer.model)
    clean(writer.model)
    return len(parameters)
