"""Run in a fresh process: a folder of transformers to model.onnx, compared with PyTorch's own answers."""

from __future__ import annotations

import inspect
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgepipe.onnx.clean import clean_file
from edgepipe.onnx.session import Session
from edgepipe.sources.converter import Refused

HEADS = (
    "logits",
    "pred_boxes",
    "pred_masks",
    "class_queries_logits",
    "masks_queries_logits",
    "start_logits",
    "end_logits",
    "predicted_depth",
    "reconstruction",
    "image_embeds",
    "text_embeds",
    "audio_embeds",
    "embeddings",
)
"""What networks with a head answer, by the names that transformers gives it."""
_ENCODES = ("ForMaskedLM", "ForPreTraining", "ForMaskedImageModeling", "LMHeadModel")
"""Classes that a checkpoint is saved as whose encoder is what people bring to a device."""
_SEVERAL_PASSES = ("ForCausalLM", "ForConditionalGeneration", "ForSeq2SeqLM", "ForSpeechSeq2Seq", "EncoderDecoderModel")


class Named(nn.Module):
    """The network, its answers by name in a fixed order.

    Args:
        pooling: of an encoder: "mean", "cls" or "none"; None: the network has a head.
        to_inputs: the data's names to the network's.
    """

    def __init__(self, network: nn.Module, outputs: Sequence[str], pooling: str | None, normalized: bool) -> None:
        super().__init__()
        self.network, self.outputs, self.pooling, self.normalized = network, tuple(outputs), pooling, normalized

    def forward(self, **inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        answer = self.network(**inputs, return_dict=True)
        if self.pooling is None:
            return tuple(answer[name] for name in self.outputs)
        pooled = _pooled(answer["last_hidden_state"], inputs.get("attention_mask"), self.pooling)
        return (nn.functional.normalize(pooled, dim=-1) if self.normalized and self.pooling != "none" else pooled,)


def _pooled(states: torch.Tensor, mask: torch.Tensor | None, pooling: str) -> torch.Tensor:
    """One vector of those of tokens, (n, length, width), or of a map, (n, width, height, width)."""
    if pooling == "none":
        return states
    if states.dim() == 4:
        return states.mean((2, 3))
    if states.dim() == 2:
        return states
    if pooling == "cls":
        return states[:, 0]
    if mask is None or mask.shape[1] != states.shape[1]:  # of sounds the mask counts samples, not frames
        return states.mean(1)
    weight = mask.unsqueeze(-1).to(states.dtype)
    return (states * weight).sum(1) / weight.sum(1).clamp(min=1e-9)


def main() -> None:
    """Answer the request in the folder that the command line names."""
    space = Path(sys.argv[1])
    asked = json.loads((space / "request.json").read_text(encoding="utf-8"))
    warnings.simplefilter("ignore")
    try:
        with np.load(space / "examples.npz", allow_pickle=False) as arrays:
            reply = convert(asked, {name: arrays[name] for name in arrays.files}, space)
    except Refused as error:
        reply = {"error": str(error)}
    except MemoryError:
        reply = {"memory": True}
    except Exception as error:
        reply = {"error": f"{type(error).__name__}: {_line(error)}"}
    (space / "reply.json").write_text(json.dumps(reply), encoding="utf-8")


def convert(asked: Mapping[str, Any], examples: Mapping[str, NDArray[Any]], space: Path) -> dict[str, Any]:
    """Export, compare, and say what people should be told.

    Raises:
        Refused: transformers cannot load it, it does not take these examples, or cannot be exported.
    """
    network, encodes, notes = _loaded(asked)
    inputs = _matched(network, list(examples), type(network).__name__)
    rows = {inputs[name]: torch.from_numpy(np.ascontiguousarray(value)) for name, value in examples.items()}
    if len(next(iter(rows.values()))) < 2:  # the exporter takes a batch of 1 for one that is always 1
        rows = {name: torch.cat([value, value]) for name, value in rows.items()}
    answer = _asked_once(network, rows)
    _longest(network, rows, asked)
    pooling = None
    if encodes:
        pooling = asked["pooling"] or "mean"
        vector = "sentence_embedding" if "input_ids" in rows else "pooled_embedding"
        outputs: tuple[str, ...] = ("last_hidden_state" if pooling == "none" else vector,)
        if "last_hidden_state" not in answer:
            raise Refused(
                f"{type(network).__name__} gives no last_hidden_state: name its class with model.architecture"
            )
    else:
        outputs = tuple(name for name in HEADS if isinstance(answer.get(name), torch.Tensor))
        if not outputs:
            raise Refused(f"{type(network).__name__} answers {', '.join(answer)}, none of {', '.join(HEADS)}")
    wrapped = Named(network, outputs, pooling, bool(asked["normalized"])).eval()
    free = {inputs[name]: {int(axis): size for axis, size in axes.items()} for name, axes in asked["free"].items()}
    file = space / "model.onnx"
    _export(wrapped, rows, free, outputs, file, asked)
    clean_file(file)
    _name_axes(file, free)
    return {
        "notes": notes,
        "classifies": not encodes and outputs == ("logits",),
        "difference": _difference(wrapped, rows, outputs, file, asked["tolerance"]),
        "examples": len(next(iter(rows.values()))),
    }


def _loaded(asked: Mapping[str, Any]) -> tuple[nn.Module, bool, list[str]]:
    """The network in eval mode, whether it is an encoder, and what people should be told."""
    import importlib

    transformers: Any = importlib.import_module("transformers")  # its annotations are not those of --strict
    transformers.logging.set_verbosity_error()
    path = asked["path"]
    try:
        config = transformers.AutoConfig.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise Refused(
                "its code lies in the folder, and code from a folder is not run: only classes of transformers itself "
                "are taken. Export it to ONNX yourself and use model=onnx"
            ) from None
        raise Refused(f"transformers cannot read its config.json: {_line(error)}") from None
    for part in (config, getattr(config, "backbone_config", None)):
        if part is not None and getattr(part, "use_pretrained_backbone", None):
            part.use_pretrained_backbone = False  # its weights are in the folder: nothing is fetched
    named = asked["architecture"] or next(iter(getattr(config, "architectures", None) or ()), None)
    if named is not None and named.endswith(_SEVERAL_PASSES):
        raise Refused(
            f"{named} answers in many passes, one for each token: one pass is compressed here. Its encoder can be "
            "brought with model.architecture, or export the parts to ONNX and use model=onnx"
        )
    encodes = named is None or named.endswith("Model") or (not asked["architecture"] and named.endswith(_ENCODES))
    kind: Any = transformers.AutoModel
    if named is not None and not (encodes and not named.endswith("Model")):
        kind = getattr(transformers, named, None)
        if not (inspect.isclass(kind) and issubclass(kind, transformers.PreTrainedModel)):
            raise Refused(f"transformers {transformers.__version__} has no class '{named}': set model.architecture")
    return _with_weights(kind, path, config, encodes)


def _with_weights(kind: Any, path: str, config: Any, encodes: bool) -> tuple[nn.Module, bool, list[str]]:
    try:
        network, told = kind.from_pretrained(
            path,
            config=config,
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            attn_implementation="eager",
            output_loading_info=True,
        )
    except MemoryError:
        raise
    except Exception as error:
        raise Refused(f"{kind.__name__} of transformers cannot be loaded from it: {_line(error)}") from None
    missing = [key for key in told["missing_keys"] if "pooler" not in key and "position_ids" not in key]
    if missing:
        raise Refused(
            f"its weights lack {missing[0]} and {len(missing) - 1} others of {kind.__name__}: what is missing would be "
            "random. Train it first, or name the class that it was saved from with model.architecture"
        )
    wrong = told.get("mismatched_keys") or []
    if wrong:
        raise Refused(f"its weights are of other sizes than its config.json says: {wrong[0]}")
    return network.eval(), encodes, []


def _matched(network: nn.Module, names: Sequence[str], kind: str) -> dict[str, str]:
    """The data's inputs to the network's: by name; an only one is the network's first.

    Raises:
        Refused: the network knows none of that name.
    """
    known = list(inspect.signature(network.forward).parameters)
    if len(names) == 1 and names[0] not in known:
        main = getattr(network, "main_input_name", known[0])
        return {names[0]: main if main in known else known[0]}
    odd = next((name for name in names if name not in known), None)
    if odd is not None:
        tensors = [name for name in known if name.startswith(("input", "attention", "token_type", "pixel", "bbox"))]
        raise Refused(f"{kind} has no input '{odd}' (it has {', '.join(tensors)}): set data.inputs to match")
    return {name: name for name in names}


def _asked_once(network: nn.Module, rows: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    try:
        with torch.inference_mode():
            return dict(network(**rows, return_dict=True))
    except Exception as error:
        shapes = ", ".join(f"{name} {list(value.shape[1:])}" for name, value in rows.items())
        raise Refused(
            f"{type(network).__name__} does not take the data's examples ({shapes}): {_line(error)}{_sizes(network)}"
        ) from None


def _sizes(network: nn.Module) -> str:
    """What the settings say of sizes, for a message."""
    names = ("image_size", "num_channels", "num_mel_bins", "max_length", "max_position_embeddings", "vocab_size")
    values = {name: getattr(network.config, name, None) for name in names}
    known = [f"{name}={value}" for name, value in values.items() if isinstance(value, (int, list, tuple))]
    return f". Its config.json says {', '.join(known)}" if known else ""


def _longest(network: nn.Module, rows: Mapping[str, torch.Tensor], asked: Mapping[str, Any]) -> None:
    """Whether it takes texts as long as the data may give."""
    length = asked["max_length"]
    if length is None:
        return
    longest = {name: torch.ones((1, length), dtype=value.dtype) for name, value in rows.items()}
    if "token_type_ids" in longest:
        longest["token_type_ids"] *= 0
    try:
        with torch.inference_mode():
            network(**longest)
    except Exception as error:
        most = getattr(network.config, "max_position_embeddings", None)
        raise Refused(
            f"does not take {length} tokens, as data.max_length says ({_line(error)}): it has "
            f"{most if most is not None else 'fewer'} positions: lower data.max_length"
        ) from None


def _export(
    wrapped: Named,
    rows: Mapping[str, torch.Tensor],
    free: Mapping[str, Mapping[int, str]],
    outputs: Sequence[str],
    file: Path,
    asked: Mapping[str, Any],
) -> None:
    # Bounds of axes are the network's own: given here, the guards that come of them do not trace in PyTorch 2.14.
    shapes = {name: dict.fromkeys((0, *free[name]), torch.export.Dim.DYNAMIC) for name in rows}
    try:
        torch.onnx.export(
            wrapped,
            (),
            file,
            kwargs=dict(rows),
            dynamo=True,
            external_data=False,
            opset_version=asked["opset"],
            input_names=list(rows),
            output_names=list(outputs),
            dynamic_shapes={"inputs": shapes},
            verbose=False,
        )
    except Exception as error:
        said = _line(error.__cause__ or error)
        raise Refused(f"PyTorch cannot export {type(wrapped.network).__name__} to ONNX: {said}") from None


def _name_axes(file: Path, free: Mapping[str, Mapping[int, str]]) -> None:
    """Call axes as the data does, which the exporter calls s0, s1 and so on."""
    import onnx

    model = onnx.load(file)
    names: dict[str, str] = {}
    for item in model.graph.input:
        for axis, dim in enumerate(item.type.tensor_type.shape.dim):
            if dim.dim_param:
                names.setdefault(dim.dim_param, "batch" if axis == 0 else free[item.name].get(axis, dim.dim_param))
    for item in (*model.graph.input, *model.graph.output):
        for dim in item.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = names.get(dim.dim_param, dim.dim_param)
    onnx.save(model, file)


def _difference(
    wrapped: nn.Module, rows: Mapping[str, torch.Tensor], outputs: Sequence[str], file: Path, tolerance: float
) -> float:
    """Largest difference of ONNX Runtime's answers to PyTorch's, as a share of the largest; of one example, too."""
    session = Session(file)
    worst = 0.0
    for count in (len(next(iter(rows.values()))), 1):
        fed = {name: value[:count] for name, value in rows.items()}
        with torch.inference_mode():
            wanted = [value.numpy() for value in wrapped(**fed)]
        answers = session.run({name: value.numpy() for name, value in fed.items()}, outputs)
        found = [answers[name] for name in outputs]
        for name, one, other in zip(outputs, found, wanted, strict=True):
            if one.shape != other.shape:
                raise Refused(f"the exported file answers '{name}' of shape {one.shape}, PyTorch {other.shape}")
            if not np.isfinite(other).all():
                raise Refused(f"its answers '{name}' to the data's examples are not finite")
            share = float(np.abs(one - other).max() / max(float(np.abs(other).max()), 1e-12)) if one.size else 0.0
            worst = max(worst, share)
    if worst > tolerance:
        raise Refused(
            f"the exported file answers otherwise than PyTorch, by {worst:.2g} of the largest answer (at most "
            f"{tolerance:g}, model.tolerance)"
        )
    return worst


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


if __name__ == "__main__":
    main()
