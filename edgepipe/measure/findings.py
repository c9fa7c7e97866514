"""What the numbers mean, in plain words; every sentence takes its numbers from the measurements."""

from __future__ import annotations

from collections.abc import Iterator

from edgepipe.contract import Measure, Task
from edgepipe.onnx.operators import RECURRENT
from edgepipe.records.metrics import Audit, LayerCost, Measurements, OperatorTime, Versus

NO_INT8_KERNEL = {
    "HardSwish",
    "HardSigmoid",
    "LayerNormalization",
    "SkipLayerNormalization",
    "SimplifiedLayerNormalization",
    "GroupNormalization",
    "InstanceNormalization",
    "Gelu",
    "FastGelu",
    "BiasGelu",
    "Erf",
    "Sub",
    "Div",
}
"""Operators that ONNX Runtime's CPU provider computes in float only."""

_LSTM = "quantize_dynamic runs LSTM in int8, quantize_static does not"
_QDQ = ("QuantizeLinear", "DequantizeLinear")


def findings(
    measurements: Measurements,
    versus: Versus | None,
    audit: Audit,
    task: Task,
    *,
    previous: Measurements | None = None,
    previous_versus: Versus | None = None,
    previous_audit: Audit | None = None,
    told: Versus | None = None,
    forced: bool = False,
) -> list[str]:
    """What is worth knowing about a step.

    Args:
        task: says which measures there are.
        versus: the step against the baseline; None for the baseline itself, which only gets
            what holds without a comparison.
        previous: the measured step before this one (for the first step, the baseline).
        previous_versus: the same step against the baseline; None stands for the baseline's own 1.0.
        previous_audit: of the same step.
        told: the last step of whose quality something was said, against the baseline.
        forced: whether a pass so far was told to keep nothing in float for the sake of time.
    """
    found = [*_conv_integer(audit), *_still_float(measurements, audit), *_uncounted(audit)]
    if versus is not None:
        gained = versus.times_faster / (previous_versus.times_faster if previous_versus else 1.0)
        found += [
            *_int8(measurements, versus, audit, previous, previous_versus, previous_audit, forced),
            *_quality(versus, told, task),
        ]
        found += [text for text in _outputs(versus) if previous_versus is None or text not in _outputs(previous_versus)]
        if previous is not None:
            found += [
                *_zeros(measurements, previous, gained),
                *_bytes(measurements, previous),
                *_macs(measurements, previous, gained),
                *_channels(measurements, previous, audit),
            ]
    return [*found, *_leftovers(audit), *_few_bits(audit)]


def _zeros(now: Measurements, before: Measurements, gained: float) -> Iterator[str]:
    if (_has_int8(now) and not _has_int8(before)) or _bytes_each(now) < 0.9 * _bytes_each(before):
        return  # stored in fewer bits: small weights were rounded to zero, and nobody pruned them
    zeros = 1 - now.nonzero_share
    if zeros >= 0.1 and before.nonzero_share - now.nonzero_share >= 0.05 and gained < 1.1:
        yield f"{zeros:.0%} of the weights are zero, but this runtime does not use that: {gained:.2f}x faster"


def _bytes_each(measured: Measurements) -> float:
    return measured.size_bytes / max(1, measured.parameters)


def _bytes(now: Measurements, before: Measurements) -> Iterator[str]:
    if abs(now.size_bytes - before.size_bytes) > 0.001 * before.size_bytes:
        return
    if abs(now.nonzero_share - before.nonzero_share) < 0.01:
        return  # a lowering or a packaging step never set out to save bytes
    text = f"bytes did not change: {_mb(now.size_bytes)}"
    if now.gzip_bytes < 0.98 * before.gzip_bytes:
        text += f"; only gzip gains, from {_mb(before.gzip_bytes)} to {_mb(now.gzip_bytes)}"
    yield text


def _macs(now: Measurements, before: Measurements, gained: float) -> Iterator[str]:
    if before.macs and now.macs < 0.9 * before.macs and gained < 1.05:
        yield f"{1 - now.macs / before.macs:.0%} fewer multiply-accumulates, but {gained:.2f}x faster"


def _int8(
    now: Measurements,
    versus: Versus,
    audit: Audit,
    before: Measurements | None,
    before_versus: Versus | None,
    before_audit: Audit | None,
    forced: bool,
) -> Iterator[str]:
    if not _has_int8(now):
        return
    # Where int8 came in after a step that was faster already, it is held against that step: both were timed against
    # the baseline, and the interval of their ratio is at most as wide as both together.
    came_in = before_versus if before is not None and not _has_int8(before) else None
    low, high = came_in.times_faster_ci95 if came_in else (1.0, 1.0)
    times = versus.times_faster / (came_in.times_faster if came_in else 1.0)
    interval = (versus.times_faster_ci95[0] / high, versus.times_faster_ci95[1] / low)
    if interval[1] < 1:
        text = f"int8 is slower than float here ({times:.2f}x, 95% {interval[0]:.2f} to {interval[1]:.2f})"
        worst = next((row for row in audit.operators if not row.int8 and row.share >= 0.1), None)
        yield text if worst is None else f"{text}: {_spent(worst)}"
        slower = _slower(audit, before_audit) if before is None or not _has_int8(before) else []
        named = ", ".join(name for name, _, _ in slower)
        if slower:
            times_of = ", ".join(f"{name} ({old:.2f} to {new:.2f} ms)" for name, old, new in slower)
            yield f"slower in int8 than in float: {times_of}"
        if forced:
            yield (
                "keep_float=never asks for that: leave it out, and what the table of kernel costs says int8 makes no "
                "faster stays float; or put up with the time for the bytes"
            )
            return
        yield (
            "to keep what loses in float: keep_float=measured in quantize_static with a step `pass: time_int8` before "
            f"it; where that is set already, {f'exclude: [{named}]' if slower else 'the layers that lose in exclude'}; "
            "or leave the quantization out"
        )
        return
    for row in audit.operators:
        if row.operator in NO_INT8_KERNEL and row.share >= 0.2:
            yield _spent(row)


def _slower(now: Audit, before: Audit | None) -> list[tuple[str, float, float]]:
    """(name, milliseconds before, now) of the layers that int8 made slower, at most three, the worst first."""
    old = {layer.name: layer.milliseconds for layer in (before.layers if before else []) if not layer.int8}
    found = [
        (layer.name, was, layer.milliseconds)
        for layer in now.layers
        if layer.int8 and layer.milliseconds is not None and (was := old.get(layer.name)) is not None
    ]
    lost = [item for item in found if item[2] > 1.2 * item[1] and item[2] - item[1] > 0.01]
    return sorted(lost, key=lambda item: item[1] - item[2])[:3]


def _has_int8(measured: Measurements) -> bool:
    return bool(measured.int8_share.conv or measured.int8_share.matmul)


def _spent(row: OperatorTime) -> str:
    why = "which has no int8 kernel" if row.operator in NO_INT8_KERNEL else "which does not compute in int8"
    return f"{row.share:.0%} of the time is in {row.operator}, {why}"


def _conv_integer(audit: Audit) -> Iterator[str]:
    for row in audit.operators:
        if row.operator == "ConvInteger":
            yield (
                f"{_count(row.nodes, 'convolution')} as ConvInteger, {row.share:.0%} of the time: "
                "this runtime has no fast kernel for it; quantize convolutions statically"
            )


def _still_float(now: Measurements, audit: Audit) -> Iterator[str]:
    families = (("convolution", now.int8_share.conv, True), ("matrix product", now.int8_share.matmul, False))
    any_int8 = any(share for _, share, _ in families)
    for noun, share, conv in families:
        layers = [layer for layer in audit.layers if _is_conv(layer) == conv and layer.operator not in RECURRENT]
        left = sum(not layer.int8 for layer in layers)
        # All convolutions in float is worth a word only in a model that was meant to be int8.
        if any_int8 and left and share is not None and share < 1 and (share > 0 or conv):
            yield f"{left} of {len(layers)} {noun}{'s' if len(layers) != 1 else ''} still run in float"
    left_over = [layer for layer in audit.layers if layer.operator in RECURRENT and not layer.int8]
    if any_int8 and left_over:
        kinds = sorted({layer.operator for layer in left_over})
        part = sum(layer.macs for layer in left_over) / max(1, sum(layer.macs for layer in audit.layers))
        spent = sum(row.share for row in audit.operators if row.operator in kinds)
        yield (
            f"{' and '.join(kinds)} run in float: {part:.0%} of the multiply-accumulates, {spent:.0%} of the time; "
            + (_LSTM if "LSTM" in kinds else "there is no int8 kernel for them")
        )
    if not any_int8 and audit.leftover_qdq > 2:
        yield f"{audit.leftover_qdq} quantize and dequantize nodes run, but no layer runs in int8"


def _uncounted(audit: Audit) -> Iterator[str]:
    if audit.uncounted:
        what = "they multiply" if len(audit.uncounted) > 1 else "it multiplies"
        yield (
            f"{', '.join(audit.uncounted)}: how often {what} is not known here: the multiply-accumulates are "
            "those of the other layers, and the share in int8 is unknown"
        )


def _channels(now: Measurements, before: Measurements, audit: Audit) -> Iterator[str]:
    if now.macs >= before.macs:  # the widths are the author's own, not this step's
        return
    convolutions = [layer for layer in audit.layers if _is_conv(layer) and layer.weight_shape]
    odd = [layer for layer in convolutions if layer.weight_shape[0] % 16]
    if odd:
        yield (
            f"{len(odd)} of {len(convolutions)} convolutions have channel counts off a multiple of 16 "
            f"({odd[0].name}: {odd[0].weight_shape[0]}), which leaves kernels partly empty"
        )


def told_of(versus: Versus, told: Versus | None, task: Task) -> Versus | None:
    """What `told` is for the next step: this one if something was said of it, none where nothing is left to say."""
    if not list(_quality(versus, None, task)):
        return None
    return versus if list(_quality(versus, told, task)) else told


def _quality(versus: Versus, told: Versus | None, task: Task) -> Iterator[str]:
    """The first measure that differs from the baseline's by more than chance explains.

    Where the baseline's answers are what is right, any other answer is a loss, so only one worth telling is told.
    """
    for measure in task.measures:
        found = versus.quality.get(measure.name)
        if found is None or found.drop is None or found.ci95 is None:
            continue
        low, high = found.ci95
        if low <= (0 if task.labelled else measure.worse_by) and high >= 0:
            continue
        if told is not None and _as_told(measure, found.drop, told):
            return  # it was said of the step that cost it
        fell = (measure.better == "higher") == (low > 0)
        if low <= 0:
            low, high = -high, -low
        shown = [measure.change_text(abs(value)).removeprefix("+") for value in (found.drop, low, high)]
        yield (
            f"{measure.title} {'fell' if fell else 'rose'} by {shown[0]} against the baseline, more than chance "
            f"explains (95% interval {shown[1]} to {shown[2]})"
        )
        return


def _as_told(measure: Measure, drop: float, told: Versus) -> bool:
    """Within a tenth of a point of a share, or a hundredth of another measure's change."""
    before = told.quality.get(measure.name)
    if before is None or before.drop is None:
        return False
    apart = abs(drop - before.drop)
    return apart < 0.001 if measure.unit == "share" else apart <= 0.01 * abs(before.drop)


def _outputs(versus: Versus) -> Iterator[str]:
    """Where the mean is good and a few examples, a part of the values or the order of the values are not."""
    for item in versus.outputs:
        good = item.cosine >= 0.97 or (item.r2 is not None and item.r2 >= 0.9)
        name = f"output '{item.name}'"
        if (
            good
            and item.values > 1
            and (item.cosine_worst < 0.9 or item.relative_error_worst > max(0.3, 3 * item.relative_error))
        ):
            yield (
                f"{name} moved much in few examples: mean cosine {item.cosine:.4f}, but {item.cosine_worst:.4f} in the "
                f"worst 1%, whose relative error is {item.relative_error_worst:.0%} (mean {item.relative_error:.0%})"
            )
        elif good and item.values == 1 and item.relative_error_worst > max(0.3, 3 * item.relative_error):
            yield (
                f"{name} moved much in few examples: by {item.relative_error_worst:.0%} in the worst 1% (mean "
                f"{item.relative_error:.0%})"
            )
        if good and item.worst_part_r2 is not None and item.worst_part_r2 < min(0.8, (item.r2 or 1.0) - 0.15):
            yield (
                f"a part of {name} moved much: {item.worst_part} keeps R2 {item.worst_part_r2:.2f}, the whole "
                f"{'little varies' if item.r2 is None else f'{item.r2:.2f}'}. Judge it by the task's own measure "
                "(boxes found, strings read) before it is used"
            )
        rows, examples = item.rows_alike, item.examples_alike
        if rows is not None and examples is not None and rows < 0.99 and examples < 0.9:
            yield (
                f"in {1 - examples:.0%} of the examples the largest value of a row of {name} is another one "
                f"({1 - rows:.1%} of all rows): where rows are letters or boxes, these answers changed"
            )


def _leftovers(audit: Audit) -> Iterator[str]:
    share = {row.operator: row.share for row in audit.operators}
    spent = sum(share.get(operator, 0.0) for operator in _QDQ)
    if audit.leftover_qdq > 2 and spent >= 0.05:  # one at the entry and one at the exit are the normal case
        yield f"{audit.leftover_qdq} quantize and dequantize nodes are left, {spent:.0%} of the time"
    if audit.leftover_casts and share.get("Cast", 0.0) >= 0.05:
        yield f"{_count(audit.leftover_casts, 'cast', '')} left, {share['Cast']:.0%} of the time"


def _few_bits(audit: Audit) -> Iterator[str]:
    for row in audit.operators:
        if row.operator == "MatMulNBits":
            yield f"{_count(row.nodes, 'matrix product')} on few-bit weights, but in float arithmetic"


def _is_conv(layer: LayerCost) -> bool:
    return "Conv" in layer.operator


def _count(number: int, noun: str, verb: str = "run") -> str:
    text = f"{number} {noun}{'' if number == 1 else 's'}"
    if not verb:
        return f"{text} {'is' if number == 1 else 'are'}"
    return f"{text} {verb}{'s' if number == 1 else ''}"


def _mb(size: int) -> str:
    return f"{size / 1e6:.2f} MB" if size >= 1e5 else f"{size} bytes"
