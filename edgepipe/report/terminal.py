"""The terminal: options in; one line per step, a live bar and errors out."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.text import Text

from edgepipe.base.files import is_there
from edgepipe.base.text import printable, shown
from edgepipe.contract.settings import at_home
from edgepipe.errors import RecipeError
from edgepipe.records.metrics import StepRecord
from edgepipe.records.quality import quality


class PlainConsole(Console):
    """The door to the terminal: words are words, so no markup, and nothing of them that a terminal would obey."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"highlight": False, "emoji": False, "markup": False, **settings})

    def render_str(self, text: str, **settings: Any) -> Text:
        """Before anything is measured, so that tables stay straight."""
        return super().render_str(shown(text), **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What was made of text elsewhere, too; control segments are rich's own."""
        for part in super().render(renderable, options):
            yield part if part.control or part.text.isprintable() else Segment(shown(part.text), part.style)


def error_console() -> Console:
    """Console on standard error; wraps nothing when it is not a terminal, so that logs stay greppable."""
    return PlainConsole(stderr=True, soft_wrap=True)


def output_console() -> Console:
    """Console on standard output; as wide as its tables when it is a file or a pipe."""
    width = None if sys.stdout.isatty() else 200
    return PlainConsole(soft_wrap=width is None, width=width)


def wide_console() -> Console:
    """Console on standard output for tables whose last column is prose; 160 letters wide in a file or a pipe."""
    terminal = sys.stdout.isatty()
    return PlainConsole(soft_wrap=not terminal, width=None if terminal else 160)


def print_note(text: str) -> None:
    """Print something worth a line to standard error."""
    error_console().print(f"note: {text}", markup=False)


def print_error(text: str) -> None:
    """Print a user's error, every line of it, without markup."""
    console = error_console()
    for line in text.split("\n") if text else ():
        console.print(f"error: {line}" if not line.startswith("  ") else line, style="red", markup=False)


class Arguments(argparse.ArgumentParser):
    """Options of a command; a wrong one is an error in words, like every other."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Raise instead of printing the usage and leaving the process."""
        raise RecipeError(f"command line: {self.prog}: {message}. `{self.prog} --help` shows the options")

    def read(self, argv: list[str], *, mixed: bool = False) -> argparse.Namespace | None:
        """The options, or None when help was asked for and printed; `mixed`: options may stand between arguments."""
        try:
            found = self.parse_intermixed_args(argv) if mixed else self.parse_args(argv)
        except SystemExit:
            return None
        for name, value in vars(found).items():
            setattr(found, name, _at_home(value))
            self._check_names(value)
        return found

    def _check_names(self, value: Any) -> None:
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Path):
                is_there(item, f"command line: {self.prog}")


def _at_home(value: Any) -> Any:
    """Paths among the options with their `~` written out: no shell does so behind `--out=`."""
    if isinstance(value, list):
        return [_at_home(item) for item in value]
    return Path(at_home(str(value))) if isinstance(value, Path) else value


def time_left(elapsed_seconds: float, share: float) -> str:
    """`2:05 left`, when the share of the work in [0, 1] went on evenly; nothing where that is a guess."""
    if elapsed_seconds < 2 or not 0.01 <= share < 1:
        return ""
    minutes, seconds = divmod(round(elapsed_seconds * (1 - share) / share), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02d}" if hours else str(minutes)) + f":{seconds:02d} left"


class LiveWatcher:
    """Shows a run's steps on standard error."""

    def __init__(self) -> None:
        self.console = error_console()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._share, self._since = 0.0, time.monotonic()

    def __enter__(self) -> LiveWatcher:
        if self.console.is_terminal and sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[text]}", markup=False),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}"),
                console=self.console,
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(self, *details: Any) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, label: str, number: int, total: int) -> None:
        """A step starts."""
        title = f"[{number}/{total}] {printable(label)}"
        if self._bar is None:
            self.console.print(f"{title} ...", markup=False)
            return
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(title, total=1.0, text="", left="")
        self._share, self._since = 0.0, time.monotonic()

    def progress(self, share: float, text: str) -> None:
        """The current step has done `share` of its work."""
        if self._bar is not None and self._task is not None:
            if share < self._share:  # another part of the step begins: training, then measuring
                self._since = time.monotonic()
            self._share = share
            left = time_left(time.monotonic() - self._since, share)
            self._bar.update(self._task, completed=share, text=printable(text), left=left)

    def notice(self, text: str) -> None:
        """Something worth a line."""
        self.console.print(f"note: {printable(text)}", markup=False)

    def done(self, record: StepRecord) -> None:
        """A step is finished and measured: one line with what it bought."""
        parts = [f"{printable(record.label)}:"]
        measured, versus = record.measurements, record.versus_baseline
        if measured is not None:
            answers = quality(measured)
            if answers is not None:
                parts.append(f"{answers.name} {answers.text}")
            parts.append(f"{measured.size_bytes / 1e6:.2f} MB")
            parts.append(f"{measured.latency_p50_ms:.2f} ms")
        if versus is not None:
            parts.append(f"({versus.times_smaller:.2f}x smaller, {versus.times_faster:.2f}x faster)")
        parts.append("cached" if record.cached else f"{record.seconds:.1f} s")
        epoch = record.facts.get("resumed_from_epoch")
        if epoch and not record.cached:
            parts.append(f"(went on after epoch {epoch})")
        self.console.print("  " + "  ".join(parts), markup=False)
