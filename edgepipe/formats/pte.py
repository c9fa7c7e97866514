"""ExecuTorch (`model.pte`), for Android and iOS; torch is imported when a file is written, and not to list formats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from edgepipe.contract import Format, Written


class Pte(Format):
    """ExecuTorch with XNNPACK, for Android and iOS; needs the extra `pte`."""

    needs: ClassVar[Mapping[str, str]] = {"executorch": "pip install 'edgepipe[pte]'"}
    libraries: ClassVar[tuple[str, ...]] = ("executorch",)
    fixed_shapes: ClassVar[bool] = True

    def write(self, onnx: Path, out: Path, int8_layers: int) -> Written:
        from edgepipe.formats.pte_program import written

        return written(onnx, out, int8_layers)
