"""Operators that multiply: where their operands lie, and how many multiply-accumulates one run of them is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # the findings take names from here, and import no runtime
    from onnx import NodeProto

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Operand:
    """Where the two operands of a layer lie among a node's inputs; `weight` None: in its attributes, or nowhere."""

    family: Literal["conv", "matmul"]
    activation: int = 0
    weight: int | None = 1


RECURRENT = {"LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"}
"""Matrix products with W for each step and with R for each state; both weights count."""

_LINEAR = {"LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor"}
"""Of ai.onnx.ml: the coefficients are attributes."""

LAYERS: dict[str, Operand] = {
    **dict.fromkeys(("Conv", "FusedConv", "NhwcConv", "NhwcFusedConv", "ConvTranspose"), Operand("conv")),
    **dict.fromkeys(("ConvInteger", "DeformConv", "ConvTransposeWithDynamicPads"), Operand("conv")),
    "QLinearConv": Operand("conv", 0, 3),
    **dict.fromkeys(("Gemm", "FusedGemm", "MatMul", "FusedMatMul", "TransposeMatMul"), Operand("matmul")),
    **dict.fromkeys(("MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"), Operand("matmul")),
    **dict.fromkeys(("MatMulNBits", "MatMulBnb4", "MatMulFpQ4", "FusedMatMulActivation"), Operand("matmul")),
    **dict.fromkeys(("MatMulInteger16", "GemmFastGelu", "Einsum", *RECURRENT), Operand("matmul")),
    **dict.fromkeys(("Attention", "QAttention", "MultiHeadAttention"), Operand("matmul")),
    **dict.fromkeys(sorted(_LINEAR), Operand("matmul", 0, None)),
    "QLinearMatMul": Operand("matmul", 0, 3),
    "QGemm": Operand("matmul", 0, 3),
}
"""Operators that are convolutions and matrix products, standard and of ONNX Runtime."""

INT8_LAYERS = {
    "QLinearConv",
    "ConvInteger",
    "QLinearMatMul",
    "QGemm",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul",
    "DynamicQuantizeLSTM",
}
"""Those that multiply 8-bit integers. MatMulNBits stores few bits but multiplies floats."""

_HEAVY = {"DFT", "STFT", "Det", "GridSample", "MelWeightMatrix", "LinearAttention"}
"""Standard operators that multiply more than once for each value, and that no rule here counts."""

_LIGHT = re.compile(
    r"(QLinear(Add|Mul|Sigmoid|LeakyRelu|Softmax|Concat|Where|AveragePool|GlobalAveragePool|ReduceMean)"
    r"|(Bias|Fast|Quick)?Gelu|Bias(Add|Dropout|Softmax|SplitGelu)|DynamicQuantizeLinear|MulInteger"
    r"|(Skip)?(Simplified)?(LayerNormalization|RMSNormalization)|Q?EmbedLayerNormalization|(Skip)?GroupNorm"
    r"|(De)?[qQ]uantize(Linear|BFP)|RotaryEmbedding|Gather(ND|BlockQuantized)?|Reorder(Input|Output)"
    r"|(Global)?(Max|Average)Pool|NhwcMaxPool|MaxpoolWithMask|Pad|Range|Trilu|Unique|ExpandDims|Upsample|Resize"
    r"|(Remove|Restore)Padding|ThresholdedRelu|Tokenizer|NGramRepeatBlock|BifurcationDetector)$"
)
"""Of ONNX Runtime's own operators: those that multiply once for each value at most, or only move values."""


def attribute(node: NodeProto, name: str, default: Any) -> Any:
    """Value of an attribute, or `default`."""
    from onnx.helper import get_attribute_value

    return next((get_attribute_value(item) for item in node.attribute if item.name == name), default)


def is_uncounted(node: NodeProto) -> bool:
    """Whether a node may multiply and no rule here says how often: a custom operator, a fast Fourier transform."""
    if node.op_type in LAYERS:
        return False
    if node.domain in ("", "ai.onnx", "ai.onnx.ml"):
        return node.op_type in _HEAVY
    return _LIGHT.match(node.op_type) is None


def macs(node: NodeProto, inputs: Sequence[Shape | None], output: Shape | None) -> int | None:
    """Multiply-accumulates of one run of a node of `LAYERS`; None where a shape that it takes is not known.

    Args:
        inputs: shape of each input; None: left out or not known.
    """
    if output is None and node.op_type not in RECURRENT | _LINEAR | {"ConvTranspose"}:
        return None
    try:
        return _macs(node, inputs, output or ())
    except (IndexError, KeyError, TypeError):  # an input that the count needs is missing, or has too few axes
        return None


def _macs(node: NodeProto, inputs: Sequence[Any], output: Shape) -> int:
    kind, operand = node.op_type, LAYERS[node.op_type]
    activation = inputs[operand.activation]
    weight: Any = None if operand.weight is None else inputs[operand.weight]
    if operand.family == "conv":
        # (M, C/g, k…) per output element; transposed: (C, M/g, k…) per input element.
        return int(prod(activation if "Transpose" in kind else output) * prod(weight[1:]))
    if kind in RECURRENT:  # (directions, gates * hidden, inputs) for each step of each example
        return int(activation[0] * activation[1] * (prod(weight) + prod(inputs[2])))
    if kind in _LINEAR:
        return _linear(node, activation)
    if kind == "Einsum":
        return _einsum(attribute(node, "equation", b"").decode(), inputs)
    if kind in ("Attention", "QAttention", "MultiHeadAttention"):
        return _attention(node, inputs, output)
    if kind in ("MatMulNBits", "MatMulBnb4"):
        return prod(output) * int(attribute(node, "K", 0))
    inner = activation[-2] if attribute(node, "transA", 0) and len(activation) > 1 else activation[-1]
    return prod(output) * int(inner)


def _linear(node: NodeProto, activation: Shape) -> int:
    vectors, coefficients = len(attribute(node, "support_vectors", ())), len(attribute(node, "coefficients", ()))
    return activation[0] * (vectors + coefficients)


def _einsum(equation: str, inputs: Sequence[Shape]) -> int:
    """Operands are taken in from the left; an index that nothing behind needs is summed up at once."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = [_indices(term, shape) for term, shape in zip(left.split(","), inputs, strict=True)]
    sizes: dict[str, int] = {}
    for term in terms:
        for index, size in term.items():
            sizes[index] = max(size, sizes.get(index, 1))
    if arrow:
        kept = set(_letters(right)) | ({index for index in sizes if len(index) > 1} if "..." in right else set())
    else:
        kept = {index for index in sizes if sum(index in term for term in terms) == 1 or len(index) > 1}
    total, held = 0, set(terms[0])
    for number, term in enumerate(terms[1:], 1):
        total += prod(sizes[index] for index in held | set(term))
        later = kept.union(*terms[number + 1 :])
        held = (held | set(term)) & later
    return total


def _letters(term: str) -> list[str]:
    return [index for index in term.replace("...", "") if index.isalpha()]


def _indices(term: str, shape: Shape) -> dict[str, int]:
    """Index to size; the axes of an ellipsis are called by their distance from its end."""
    before, dots, after = term.partition("...")
    hidden = len(shape) - len(before) - len(after) if dots else 0
    names = [*before, *(f"dots{hidden - i}" for i in range(hidden)), *after]
    return dict(zip(names, shape, strict=True))


def _attention(node: NodeProto, inputs: Sequence[Any], output: Shape) -> int:
    """Scores and their product with the values; with the projections where the operator holds their weights."""
    query = inputs[0]
    heads = int(attribute(node, "num_heads", 0) or attribute(node, "q_num_heads", 0))
    if node.domain in ("", "ai.onnx"):  # (batch, heads, length, size), or (batch, length, heads * size)
        key, value = inputs[1], inputs[2]
        past = inputs[4][2] if len(inputs) > 4 and inputs[4] else 0
        if len(query) == 4:
            return int(prod(query[:3]) * (key[2] + past) * (query[3] + value[3]))
        size = value[-1] // int(attribute(node, "kv_num_heads", heads))
        return int(prod(query[:2]) * (key[1] + past) * (query[2] + heads * size))
    if node.op_type != "MultiHeadAttention":  # the weight holds the columns of query, key and value
        (batch, length, _), weight, place = query, inputs[1], 8 if node.op_type == "QAttention" else 4
        past = inputs[place][3] if len(inputs) > place and inputs[place] else 0
        width = (weight[1] - output[-1]) // 2
        return int(batch * length * (prod(weight) + (length + past) * (width + output[-1])))
    length, key = query[1], inputs[1] if len(inputs) > 1 else None
    width = query[2] * query[4] if len(query) == 5 else query[2]  # packed: (batch, length, heads, 3, size)
    reach = length if key is None else key[2] if len(key) == 4 else key[1]
    return int(query[0] * length * reach * (width + output[-1]))
