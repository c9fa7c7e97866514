"""What training frees and needs again does not go through the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_SCRIPT = """
import resource
import torch
from edgepipe.training.heap import kept_memory

def faults():
    torch.ones(6_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        blocks = [torch.ones(size) for size in (6_000_000, 7_000_000, 3_000_000)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1])

plain = faults()
with kept_memory():
    for _ in range(6):  # until the blocks have found their places
        faults()
    inside = faults()
    held = resident()
after = resident()
print(plain, inside, held, after)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc's allocator")
def test_freed_memory_is_used_again_and_goes_back_at_the_end() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True)
    plain, inside, held, after = map(int, done.stdout.split())
    assert inside < plain / 20
    assert after < held - 40_000_000 // 4096
