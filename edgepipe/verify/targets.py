"""The names that `verify:` takes, and those of them that `edgepipe targets install` prepares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgepipe.verify import arm64, browser
from edgepipe.verify.place import Target
from edgepipe.verify.x86 import X86Avx2


def target_of(name: str) -> Target:
    """The target behind a name of `edgepipe.verify.settings.TARGETS`."""
    known: dict[str, Target] = {
        "x86_avx2": X86Avx2(),
        "arm64": arm64.Arm64(),
        "browser_wasm": browser.BrowserWasm(),
    }
    return known[name]


INSTALLERS: dict[str, Callable[[Callable[[str], None]], Path]] = {
    "arm64": arm64.install,
    "browser_wasm": browser.install,
}
"""What needs more than packages of the system."""
