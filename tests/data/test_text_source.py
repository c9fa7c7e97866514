"""Texts of a table stay in their file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.texts import tokenizer

_MEMORY = """
import resource, sys
from pathlib import Path
from edgepipe.contract import Split
from edgepipe.data.text import TextData
import edgepipe.data.text_source, tokenizers
settings = dict(tokenizer=Path(sys.argv[1]), max_length=8, padding="fixed")
TextData(evaluation=Path(sys.argv[2]), **settings).open(Path(sys.argv[4]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
data = TextData(evaluation=Path(sys.argv[3]), **settings).open(Path(sys.argv[4]))
print(data.count(Split.EVALUATION), sum(len(b) for b in data.batches(Split.EVALUATION, 4, range(0, 1000, 99))))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_reading_many_long_texts_takes_no_memory_for_them(tmp_path: Path) -> None:
    few, many = tmp_path / "few.jsonl", tmp_path / "many.jsonl"
    few.write_text('{"text": "a cat"}\n', encoding="utf-8")
    with many.open("w", encoding="utf-8") as stream:
        for number in range(1000):
            stream.write('{"text": "' + f"{number} " + "cat " * 12_000 + '"}\n')  # 48 MB
    command = [sys.executable, "-c", _MEMORY, *map(str, (tokenizer(tmp_path), few, many, tmp_path))]
    count, read, grown_kib = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert (int(count), int(read)) == (1000, 11)
    assert int(grown_kib) < 30_000
