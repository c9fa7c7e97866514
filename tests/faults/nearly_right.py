"""Recipes that are right in all but one place, on a small network: most get as far as a pass's own work."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np

from edgepipe.data.npz import NpzData
from edgepipe.measure.settings import MeasureSettings
from edgepipe.passes.lower import Lower
from edgepipe.plugins import find
from edgepipe.recipe.schema import Goal
from edgepipe.recipe.words import quoted
from tests.measure.graphs import small_network
from tests.small import npz

CHAINS: list[list[str]] = [
    ["quantize_static", "export"],
    ["quantize_static", "export"],
    ["time_int8", "quantize_static"],
    ["quantize_dynamic", "export"],
    ["quantize_weights", "export"],
    ["to_float16", "export"],
    ["quantize_aware", "export"],
    ["prune_trees"],
]
TORCH_CHAINS: list[list[str]] = [
    ["prune_channels", "lower", "quantize_static"],
    ["prune_weights", "lower"],
    ["finetune", "quantize_static"],
    ["distill", "export"],
    ["swap_operators", "reestimate_batchnorm", "export"],
    ["tabulate_latency", "prune_channels"],
]
SHORT: dict[str, Any] = {"epochs": 1, "seconds": 0.01, "threads": 1}
_LONG = (
    *("epochs", "steps", "seconds", "minutes", "runs", "warmup", "audit_runs", "fitting_examples", "refit_examples"),
    *("importance_examples", "examples", "parity_examples", "threads", "patience", "min_seconds", "max_seconds"),
    "batch",  # of the exported file: it runs whole batches
)
"""Settings that a valid value makes long; they stay small."""
_NAMES = ["n1", "one", "conv1", "fc", "Conv", "nowhere", "", "é", "*", "n1,n2"]


class Tiny:
    """Makes the network of `model=python`."""

    @staticmethod
    def network() -> Any:
        from torch import nn

        return nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2),
            nn.BatchNorm2d(32),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(32, 10),
        )


network = Tiny.network


def _ends(schema: dict[str, Any], name: str) -> list[Any]:
    """Values at the ends of what a setting's schema takes."""
    if "anyOf" in schema:
        return [value for item in schema["anyOf"] for value in _ends(item, name)]
    if "enum" in schema:
        return list(schema["enum"])
    if "const" in schema:
        return [schema["const"]]
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    kind = schema.get("type")
    if kind == "integer":
        most = 3 if name in _LONG else 65_536
        return [value for value in (low, 1, 2, 3, 7, high, most) if value is not None and value <= most]
    if kind == "number":
        most = 0.02 if name in _LONG else 1e12
        ends = [low, high, 0.0, 1e-300, 1e-9, 0.5, 0.999999, 1.0, 1e6, most]
        return [value for value in ends if value is not None and value <= most]
    return {
        "boolean": [True, False],
        "null": [None],
        "string": ["", "x", "é", "null"],
        "array": [[], [1, 2], *([name] for name in _NAMES), ["n1", "n1"], ["onnx", "ort"]],
        "object": [{}, {"0": 0.5}, {"epochs": 1}, {"0": 0.999}],
    }.get(str(kind), [None])


def _one(kind: Any, rng: random.Random) -> tuple[str, Any]:
    fields = kind.model_json_schema()["properties"]
    name = rng.choice(sorted(set(fields) - {"calibration", "evaluation", "train"}))
    return name, rng.choice(_ends(fields[name], name) or [1])


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(quoted(str(item)) if isinstance(item, str) else str(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{quoted(key)}:{item}" for key, item in value.items()) + "}"
    if isinstance(value, str):
        return quoted(value)
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _arrays(file: Path, rng: random.Random) -> None:
    """Examples that are odd in one way."""
    with np.load(file) as found:
        content = {name: found[name] for name in found.files}
    images = content["images"]
    odd: list[Any] = [
        images[:1],
        images[:0],
        images[:2],
        images * 0,
        images * 1e38,
        images * np.nan,
        np.where(images > 2, np.inf, images),
        images.astype(np.float64),
        images.astype(np.float16),
        images.astype(np.uint8),
        images.astype(np.int64),
        images > 0,
        images.astype(complex),
        images[:, :1],
        images[..., 0],
        images[..., None],
        images[:, :, ::2, ::2],
        np.asfortranarray(images),
        np.repeat(images[:1], len(images), 0),
        images.reshape(len(images), -1),
    ]
    count = len(images)
    labels: list[Any] = [
        np.zeros(count, int),
        np.full(count, -1),
        np.full(count, 10**9),
        np.arange(count) % 11,
        np.linspace(0, 1, count),
        np.full(count, np.nan),
        np.array(["x"] * count),
        np.zeros((count, 1), int),
        np.zeros((count, 2)),
        np.zeros(count - 1, int),
        np.zeros(count, bool),
        np.arange(count, dtype=np.uint8) % 10,
        np.eye(10)[np.arange(count) % 10],
    ]
    if rng.random() < 0.5:
        content["images"] = rng.choice(odd)
        if "labels" in content and rng.random() < 0.7:
            content["labels"] = content["labels"][: len(content["images"])]
    else:
        content["labels"] = rng.choice(labels)
    np.savez(file, **content)


def arguments(rng: random.Random, folder: Path, *, torch_share: float = 0.0) -> list[str]:
    """The command line of a run in a folder, with one thing at its edge.

    Args:
        torch_share: of networks that come in torch, which take ten times as long.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chain = rng.choice(TORCH_CHAINS if rng.random() < torch_share else CHAINS)
    torch = find("passes", chain[0]).reads == "torch"
    trains = chain[0] in ("finetune", "distill", "quantize_aware", "prune_channels")
    for name, count in (("c", 24), ("e", 40), ("t", 32)):
        npz(folder / f"{name}.npz", count, ord(name), labels=name == "t" or rng.random() < 0.5)
    argv = [
        "recipe=ptq",
        "data=npz",
        *(f"data.{name}={folder}/{name[0]}.npz" for name in ("calibration", "evaluation")),
    ]
    argv += [f"data.train={folder}/t.npz"] if trains else []
    if torch:
        argv += ["model=python", "model.factory=tests.faults.nearly_right:network", "trust_code=true"]
    else:
        small_network(folder / "m.onnx", activation=rng.choice(["Relu", "Sigmoid", "HardSwish"]))
        argv += ["model=onnx", f"model.path={folder}/m.onnx"]
    argv += ["~goal", "~passes.quantize", "~passes.export", f"store.root={folder}/store", f"hydra.run.dir={folder}/run"]
    argv += ["measure.audit_runs=3", "measure.warmup=1"]
    for number, name in enumerate(chain):
        argv.append(f"+passes.s{number}.pass={name}")
        given = {key: value for key, value in SHORT.items() if key in find("passes", name).model_fields}
        given |= {"ratio": 0.5} if name == "prune_channels" else {"amount": 0.5} if name == "prune_weights" else {}
        argv += [f"passes.s{number}.{key}={value}" for key, value in given.items()]
    where = rng.random()
    if where < 0.65:
        number = rng.randrange(len(chain))
        key, value = _one(find("passes", chain[number]), rng)
        argv.append(f"passes.s{number}.{key}={_text(value)}")
    elif where < 0.85:
        _arrays(folder / f"{rng.choice('cet' if trains else 'ce')}.npz", rng)
    else:
        part, kind = rng.choice([("measure", MeasureSettings), ("goal", Goal), ("lowering", Lower), ("data", NpzData)])
        key, value = _one(kind, rng)
        argv.append(f"{part}.{key}={_text(value)}")
    return argv
