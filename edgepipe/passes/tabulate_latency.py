"""Measure what each layer takes at several widths."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from edgepipe.contract import Job, Pass
from edgepipe.contract.artifact import ARCHITECTURE_FILE, WEIGHTS_FILE, Artifact, Kind
from edgepipe.contract.traits import LATENCY_TABLE
from edgepipe.errors import PassError
from edgepipe.targets.host import environment

if TYPE_CHECKING:
    from edgepipe.measure.layer_times import Layer
    from edgepipe.pruning.allocation import Step


class TabulateLatency(Pass):
    """Time every convolution and linear layer in ONNX Runtime here, narrower and narrower; the model stays as it is.

    The table becomes a file of the artifact, so `prune_channels` with scope=latency, directly after it, is as
    reproducible as every pass. Source: Yang et al., NetAdapt, ECCV 2018, arXiv:1804.03230 (layer-wise tables).
    """

    reads: ClassVar[Kind] = Kind.TORCH
    writes: ClassVar[Kind] = Kind.TORCH
    timed: ClassVar[bool] = True
    provides: ClassVar[tuple[str, ...]] = (LATENCY_TABLE,)
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "onnx", "onnxruntime", "safetensors")

    precision: Literal["int8", "float32"] = Field("int8", description="arithmetic that will be deployed")
    threads: int = Field(1, ge=1, description="threads of the runtime")
    round_to: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="measured widths are multiples of this; auto: as prune_channels has it"
    )

    def apply(self, model: Artifact, job: Job) -> Artifact:
        from edgepipe.measure.layer_times import layer_milliseconds
        from edgepipe.pruning import allocation
        from edgepipe.torch import artifact as torch_artifact

        network = torch_artifact.build(model)
        layers = _layers(network, model.signature.input_shape)
        if not layers:
            raise PassError(f"passes.{job.label}: there is no 2-d convolution or linear layer to time")
        known: dict[Layer, allocation.LayerTable] = {}
        found = {}
        for number, (name, layer) in enumerate(layers.items()):
            job.progress(number / len(layers), f"timing {name}")
            if layer not in known:
                ins, outs, options = _options(layer, self.round_to, first=number == 0, last=name == list(layers)[-1])
                with job.alone():
                    times = layer_milliseconds(options, int8=self.precision == "int8", threads=self.threads)
                rows = tuple(tuple(times[i * len(outs) : (i + 1) * len(outs)]) for i in range(len(ins)))
                known[layer] = allocation.LayerTable(ins=ins, outs=outs, milliseconds=rows)
            found[name] = known[layer]
        processor = environment(threads=self.threads).cpu
        table = allocation.LatencyTable(
            precision=self.precision, threads=self.threads, processor=processor, layers=found
        )
        for name in (ARCHITECTURE_FILE, WEIGHTS_FILE):
            shutil.copyfile(model.path / name, job.out / name)
        table.write(job.out)
        shapes = allocation.layer_shapes(network)
        job.facts["layers_milliseconds"] = sum(item.at(*shapes[name]) for name, item in found.items())
        return job.seal(Kind.TORCH, model.signature)


def _options(
    layer: Layer, round_to: Step, *, first: bool, last: bool
) -> tuple[tuple[int, ...], tuple[int, ...], list[Layer]]:
    """Widths of input and output to measure, and the layers of these widths, inputs varying slowest."""
    from edgepipe.pruning.allocation import grid

    if layer.groups == 1:
        ins, outs = grid(layer.channels_in, round_to, first), grid(layer.channels_out, round_to, last)
        return ins, outs, [replace(layer, channels_in=i, channels_out=o) for i in ins for o in outs]
    if layer.groups == layer.channels_in == layer.channels_out:  # depthwise: one width
        outs = grid(layer.channels_out, round_to, False)
        same = [replace(layer, channels_in=width, channels_out=width, groups=width) for width in outs]
        return (layer.channels_in,), outs, same
    return (layer.channels_in,), (layer.channels_out,), [layer]  # grouped: never cut


def _layers(network: Any, input_shape: tuple[int, ...]) -> dict[str, Any]:
    """Every layer with the size of its input, in the order they run."""
    import torch
    from torch import nn

    from edgepipe.measure.layer_times import Layer

    names = {module: name for name, module in network.named_modules()}
    found: dict[str, Layer] = {}

    def note(module: Any, inputs: Any, _output: Any) -> None:
        size = tuple(inputs[0].shape[2:]) if isinstance(module, nn.Conv2d) else (1, 1)
        if isinstance(module, nn.Linear):
            found[names[module]] = Layer(module.in_features, module.out_features, 1, (1, 1), (1, 1), (0, 0), (1, 1))
        elif not isinstance(module.padding, str) and module.dilation == (1, 1):
            found[names[module]] = Layer(
                module.in_channels,
                module.out_channels,
                module.groups,
                module.kernel_size,
                module.stride,
                module.padding,
                size,
            )

    hooks = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    with torch.no_grad():
        network.eval()(torch.zeros((1, *input_shape)))
    for hook in hooks:
        hook.remove()
    return found
