"""Peak memory of calibration does not grow with the number of pictures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.measure.graphs import small_network

pytest.importorskip("resource", reason="peak memory is read through POSIX getrusage")

_RUN = """
import resource, sys
from edgepipe.__main__ import main
code = main(sys.argv[1:])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sys.stderr.write(f"peak {peak}")
sys.exit(code)
"""
_SIZE = 64


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for split, count in (("train", 3000), ("test", 40)):
        for number in range(count):
            folder = root / split / f"class{number % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            pixels = np.kron(rng.integers(0, 256, (8, 8, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
            Image.fromarray(pixels).save(folder / f"{number}.png", compress_level=1)
    return root


def peak(pictures: Path, folder: Path, count: int) -> int:
    argv = [
        "recipe=ptq",
        "model=onnx",
        f"model.path={folder}/m.onnx",
        "data=image_folder",
        f"data.root={pictures}",
        f"data.image_size={_SIZE}",
        f"data.calibration_size={count}",
        "data.workers=2",
        "passes.quantize.observer=entropy",
        "~goal",
        f"store.root={folder}/store",
        f"hydra.run.dir={folder}/run{count}",
    ]
    done = subprocess.run([sys.executable, "-c", _RUN, *argv], capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.rpartition("peak ")[2])


def test_the_entropy_observer_takes_the_same_memory_for_200_and_3000_pictures(pictures: Path, tmp_path: Path) -> None:
    small_network(tmp_path / "m.onnx", size=_SIZE)
    few, many = peak(pictures, tmp_path, 200), peak(pictures, tmp_path, 3000)
    # All inputs together would take 150 MB, their activations more.
    assert abs(many - few) < 0.1 * few
