"""The names that `verify:` takes."""

from __future__ import annotations

from edgepipe.verify.place import Target


def target_of(name: str) -> Target:
    """The target behind a name of `edgepipe.verify.settings.TARGETS`."""
    from edgepipe.verify.x86 import X86Avx2

    return {"x86_avx2": X86Avx2}[name]()
