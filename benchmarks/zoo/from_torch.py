"""Networks of pictures by the names of their libraries, and own ones: settled, their weights saved, or exported."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.zoo.brought import Arrays, Brought, Network, numbers, pictures, signals

SETTLING = 16


def _network(words: list[str], build: Callable[[], Any], examples: Callable[[int, int], Arrays]) -> Any:
    """A maker of one whose settled weights are saved beside, to be loaded by its model source."""

    def make(folder: Path, seed: int) -> Brought:
        import torch
        from safetensors.torch import save_file

        from benchmarks.zoo.settled import settle

        torch.manual_seed(seed)
        network = build()
        (given,) = examples(seed + 10, SETTLING).values()
        settle(network, torch.from_numpy(given))
        path = folder / "weights.safetensors"
        save_file({name: value.contiguous().clone() for name, value in network.state_dict().items()}, path)
        return Brought([*words, f"model.weights={path}"], examples, torch=True)

    return make


def _exported(build: Callable[[], Any], examples: Callable[[int, int], Arrays], recipe: str) -> Any:
    """A maker of one that comes as an ONNX file, written by PyTorch's older exporter as most files were."""

    def make(folder: Path, seed: int) -> Brought:
        import torch

        from benchmarks.zoo.settled import settle

        torch.manual_seed(seed)
        torch.backends.mha.set_fastpath_enabled(False)  # whose operator the older exporter does not know
        network = build()
        given = {name: torch.from_numpy(value) for name, value in examples(seed + 10, SETTLING).items()}
        positional = tuple(given.values())
        settle(_Positional(network), {"given": positional})
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            outputs = network(*positional)
            names = [f"out{at}" for at in range(len(outputs) if isinstance(outputs, tuple) else 1)]
            torch.onnx.export(
                network,
                tuple(value[:2] for value in positional),
                folder / "model.onnx",
                dynamo=False,
                opset_version=17,
                input_names=list(given),
                output_names=names,
                dynamic_axes={name: {0: "batch"} for name in (*given, *names)},
            )
        return Brought(["model=onnx", f"model.path={folder / 'model.onnx'}"], examples, recipe)

    return make


def _Positional(network: Any) -> Any:
    from torch import nn

    class Asked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, given: Any) -> Any:
            return self.network(*given)

    return Asked()


def _torchvision(name: str, size: int) -> Network:
    def build() -> Any:
        from edgepipe.torch.torchvision_networks import build_network

        return build_network(name, 10)

    words = ["model=torchvision", f"model.name={name}", "model.num_classes=10"]
    return Network(name, "torchvision", _network(words, build, pictures(3, size, size)))


def _timm(name: str, size: int) -> Network:
    def build() -> Any:
        from edgepipe.torch.timm_networks import build_network

        return build_network(name, 10)

    words = ["model=timm", f"model.name={name}", "model.num_classes=10"]
    return Network(f"timm {name}", "timm", _network(words, build, pictures(3, size, size)))


def _small(name: str, out: int, examples: Callable[[int, int], Arrays], channels: int = 3, width: int = 16) -> Network:
    def build() -> Any:
        from edgepipe.torch.small.networks import build_small

        return build_small(name, channels, out, width)

    more = f"model.{'scale' if name == 'espcn' else 'num_classes'}={out}"
    words = ["model=small", f"model.name={name}", more, f"model.width={width}"]
    return Network(f"small {name}", "small", _network(words, build, examples))


def _python(function: str, family: str, examples: Callable[[int, int], Arrays], **given: str) -> Network:
    """A network of `own`, by its function there."""

    def build() -> Any:
        from benchmarks.zoo import own

        return getattr(own, function)(**given)

    shown = ", ".join(f"{key}: {value}" for key, value in given.items())
    words = [
        "model=python",
        f"model.factory=benchmarks.zoo.own:{function}",
        f"model.kwargs={{{shown}}}",
        "trust_code=true",
    ]
    return Network(given.get("name", function.replace("_", " ")), family, _network(words, build, examples))


def _own(kind: str, *given: Any) -> Callable[[], Any]:
    def build() -> Any:
        from benchmarks.zoo import own

        return getattr(own, kind)(*given)

    return build


def recommended(seed: int, count: int) -> Arrays:
    """Numbers of users and things, and columns."""
    draw = np.random.default_rng(seed)
    whole: dict[str, NDArray[Any]] = {
        "user": draw.integers(0, 500, count),
        "thing": draw.integers(0, 800, count),
        "more": draw.standard_normal((count, 8)).astype(np.float32),
    }
    return whole


def mixed(seed: int, count: int) -> Arrays:
    """A picture and a row."""
    row = np.random.default_rng(seed).standard_normal((count, 12)).astype(np.float32)
    return {"picture": pictures(3, 32, 32)(seed, count)["images"], "row": row}


def pairs(seed: int, count: int) -> Arrays:
    """Two pictures."""
    return {side: pictures(3, 32, 32)(seed + at, count)["images"] for side, at in (("left", 0), ("right", 1000))}


def networks() -> list[Network]:
    """All of this file."""
    sequence = signals(24, 16, name="sequence")
    exported = [
        ("SSDLite MobileNetV3, raw", "detection", _own("Raw", "ssdlite320_mobilenet_v3_large"), pictures(3, 96, 96)),
        ("RetinaNet ResNet-50, raw", "detection", _own("Raw", "retinanet_resnet50_fpn"), pictures(3, 64, 64)),
        ("FCOS ResNet-50, raw", "detection", _own("Raw", "fcos_resnet50_fpn"), pictures(3, 64, 64)),
        ("CRNN with CTC", "text lines", _own("Recognizer"), pictures(1, 32, 96)),
        ("LSTM, two layers", "recurrent", _own("Recurrent", "LSTM"), sequence),
        ("LSTM, both ways", "recurrent", _own("Recurrent", "LSTM", 1, True), sequence),
        ("GRU, two layers", "recurrent", _own("Recurrent", "GRU"), sequence),
        ("RNN, tanh", "recurrent", _own("Recurrent", "RNN", 1), sequence),
        ("attention over floats", "sequence", _own("Attention"), sequence),
        ("picture and row", "several inputs", _own("Mixed"), mixed),
        ("two pictures", "several inputs", _own("Pair"), pairs),
        ("recommender", "several inputs", _own("Recommender"), recommended),
    ]
    return [
        *(
            Network(name, family, _exported(build, examples, "ptq_dynamic" if family == "recurrent" else "ptq"))
            for name, family, build, examples in exported
        ),
        _python("plain", "own", pictures(3, 32, 32)),
        _python("branches", "own", pictures(3, 32, 32)),
        _python("gated", "own", pictures(3, 32, 32)),
        _python("group_norm", "own", pictures(3, 32, 32)),
        _python("autoencoder", "own", pictures(3, 32, 32)),
        _python("sound_1d", "1-D", signals(1, 4000)),
        _python("dilated_1d", "1-D", signals(8, 128)),
        _python("volume", "3-D", signals(1, 8, 24, 24)),
        _python("table", "table", numbers(inputs=(40,))),
        _small("unet", 5, pictures(3, 64, 64)),
        _small("espcn", 2, pictures(3, 32, 32)),
        _small("ds_cnn", 10, signals(1, 40, 64), channels=1, width=64),
        _small("detector", 3, pictures(3, 96, 96)),
        *(_timm(name, size) for name, size in TIMM.items()),
        *(_torchvision(name, size) for name, size in TORCHVISION.items()),
        *(_python("segmenter", "segmentation", pictures(3, 64, 64), name=name) for name in SEGMENTERS),
    ]


SEGMENTERS = ("lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large", "fcn_resnet50")

TORCHVISION = {
    "alexnet": 64,
    "squeezenet1_1": 64,
    "resnet18": 64,
    "mobilenet_v2": 64,
    "mobilenet_v3_small": 64,
    "mnasnet0_5": 64,
    "shufflenet_v2_x0_5": 64,
    "efficientnet_b0": 64,
    "regnet_x_400mf": 64,
    "regnet_y_400mf": 64,
    "convnext_tiny": 64,
    "swin_t": 64,
    "googlenet": 64,
    "densenet121": 64,
}
"""Each with the side of its pictures."""

TIMM = {
    "test_byobnet": 96,
    "test_convnext": 96,
    "test_efficientnet": 96,
    "test_efficientnet_gn": 96,
    "test_mambaout": 96,
    "test_nfnet": 96,
    "test_resnet": 96,
    "test_vit": 160,
    "test_vit4": 160,
    "test_maxvit": 160,
    "test_coatnet": 160,
    "lcnet_050": 64,
    "tinynet_e": 64,
    "ghostnet_050": 64,
    "mobilenetv4_conv_small_035": 64,
    "starnet_s050": 64,
    "fasternet_t0": 64,
    "repghostnet_050": 64,
    "mobilevit_xxs": 64,
    "edgenext_xx_small": 64,
    "efficientvit_b0": 64,
    "ese_vovnet19b_slim": 64,
    "hgnetv2_b0": 64,
    "dla34": 64,
    "skresnet18": 64,
}
