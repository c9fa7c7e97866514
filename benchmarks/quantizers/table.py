"""The comparison as a Markdown table."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.quantizers.judge import Judged, OldCpu
from benchmarks.quantizers.run import Ran
from benchmarks.quantizers.tools import Tool

_COLUMNS = (
    "tool", "top-1", "drop (95%)", "agreement", "smaller", "faster (95%)", "of U8S8's speed", "int8 conv",
    "top-1: exact → Haswell", "changed", "wall s", "CPU s", "peak MB",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A tool and what came of it: a judged model, or the reason for none."""

    tool: Tool
    ran: Ran | None = None
    judged: Judged | None = None
    failure: str | None = None


def table(
    rows: list[Row],
    *,
    float_top1: float,
    float_bytes: int,
    float_old_cpu: OldCpu | None,
    pictures: tuple[int, int, int],
    where: str,
) -> str:
    """Markdown: the table, the settings of each tool, and how to read it.

    Args:
        float_old_cpu: the float model on the emulated processor; None without an emulator.
        pictures: how many were calibrated with, judged on, and judged on under emulation.
        where: date and machine.
    """
    lines = [_line(_COLUMNS), _line(["---"] + ["---:"] * (len(_COLUMNS) - 1))]
    there = "–" if float_old_cpu is None else _both(float_old_cpu)
    changed = "–" if float_old_cpu is None else _changed(float_old_cpu)
    first = ["float", f"{float_top1:.2%}", "", "", f"{float_bytes / 1e6:.2f} MB", "1.00x", "", "0%", there, changed]
    lines.append(_line([*first, "", "", ""]))
    lines += [_line(_cells(row)) for row in rows]
    calibrated, judged, emulated = pictures
    lines += [
        "",
        f"{where}. {calibrated} calibration pictures, {judged} judged, {emulated} of them also in exact arithmetic "
        "(the file's Q/DQ around float operators) and with a Haswell's kernels (AVX2, no VNNI; emulated, and run "
        "here where this machine has the same): `changed` is the share of answers that differ between the two, `bits "
        "differ` that logits of this machine and the emulated one do. "
        "Speed: one thread, batch 1, paired and interleaved. Wall and CPU seconds and peak memory are of the tool's "
        "whole process; edgepipe's command also measures every step, its quantization alone is in brackets.",
        "",
        *(f"- {_title(row.tool)}: {row.tool.settings}" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> list[str]:
    title = _title(row.tool)
    if row.failure is not None:
        return [title, row.failure.replace("|", "/"), *[""] * (len(_COLUMNS) - 2)]
    assert row.ran is not None and row.judged is not None
    ran, judged = row.ran, row.judged
    low, high = judged.drop_ci95
    slow, fast = judged.paired.times_faster_ci95
    direct, old, conv = judged.paired_with_reference, judged.old_cpu, judged.int8_share.conv
    alone = "" if ran.pass_seconds is None else f" ({ran.pass_seconds:.1f})"
    return [
        title,
        f"{judged.top1:.2%}",
        f"{100 * judged.drop:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]",
        f"{judged.agreement:.2%}",
        f"{judged.times_smaller:.2f}x",
        f"{judged.paired.times_faster:.2f}x [{slow:.2f}, {fast:.2f}]",
        "" if direct is None else f"{direct.times_faster:.2f}",
        "–" if conv is None else f"{conv:.0%}",
        "–" if old is None else _both(old),
        "–" if old is None else _changed(old),
        f"{ran.seconds:.1f}{alone}",
        f"{ran.cpu_seconds:.1f}",
        f"{ran.peak_bytes / 1e6:.0f}",
    ]


def _title(tool: Tool) -> str:
    return tool.title if tool.environment is None else f"{tool.title} {tool.environment.version}"


def _both(old: OldCpu) -> str:
    return f"{old.top1_exact:.2%} → {old.top1_there:.2%}"


def _changed(old: OldCpu) -> str:
    return f"{old.changed:.2%}" if old.identical else f"{old.changed:.2%}, bits differ"


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
