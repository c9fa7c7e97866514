"""ExecuTorch's format is known without torch; what it writes needs the extra, and is tried where that is installed."""

from __future__ import annotations

import subprocess
import sys
from unittest import SkipTest

from edgepipe.formats.pte import Pte
from edgepipe.testing import check_format


def test_no_built_in_noun_costs_torch_to_be_listed() -> None:
    code = (
        "import sys; from edgepipe.plugins import NOUNS, find\n"
        "_ = [find(group, name) for group, noun in NOUNS.items() for name in noun.built_in]\n"
        "sys.exit(str([name for name in ('torch', 'sklearn', 'tensorflow') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"


def test_without_its_extra_it_says_what_installs_it() -> None:
    try:
        check_format(Pte)
    except SkipTest as lacking:
        assert str(lacking) == "Pte needs executorch: pip install 'edgepipe[pte]'"
