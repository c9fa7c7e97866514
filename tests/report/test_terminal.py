"""What a person sees while a run goes on."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from edgepipe.report import terminal
from edgepipe.report.terminal import LiveWatcher, time_left


@pytest.mark.parametrize(
    ("elapsed", "share", "said"),
    [
        (10, 0.5, "0:10 left"),
        (100, 0.1, "15:00 left"),
        (3600, 0.25, "3:00:00 left"),
        (1, 0.5, ""),
        (9, 0.0, ""),
        (9, 1, ""),
    ],
)
def test_time_left(elapsed: float, share: float, said: str) -> None:
    assert time_left(elapsed, share) == said


def test_the_bar_shows_what_is_done_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(terminal, "error_console", lambda: Console(file=shown, force_terminal=True, width=160))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with LiveWatcher() as watcher:
        watcher.begin("train", 1, 2)
        now = 60.0
        watcher.progress(0.25, "epoch 1/4 loss 1.250 accuracy 0.500")
        assert watcher._bar is not None
        watcher._bar.refresh()
        assert "epoch 1/4 loss 1.250 accuracy 0.500" in shown.getvalue()
        assert "3:00 left" in shown.getvalue()
        watcher.progress(0.1, "measuring")  # begins anew: nothing is known about it yet
        watcher._bar.refresh()
        assert "left" not in shown.getvalue().rpartition("measuring")[2]
