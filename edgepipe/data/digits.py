"""The 1,797 scans of handwritten digits that come with scikit-learn: the offline default."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from edgepipe.contract import Dataset
from edgepipe.data.settings import PictureSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class DigitsData(PictureSettings):
    """1,797 grey 8x8 scans of the digits 0 to 9, upsampled; no download.

    Source: Alpaydin and Kaynak, UCI Optical Recognition of Handwritten Digits (its test part).
    """

    evaluation_size: int = Field(
        900, ge=1, le=1700, description="pictures held out for evaluation, drawn by seed and class; the rest is train"
    )

    def open(self, cache: Path) -> Dataset:  # noqa: ARG002  1,797 scans are hashed faster than hashes are read
        """Read the scans and hold out `evaluation_size` of them."""

        from edgepipe.data.pictures import PictureSource, Pool
        from edgepipe.data.splits import hold_out

        scans, labels = read_digits()
        hashes = [hashlib.sha256(scan.tobytes()).hexdigest() for scan in scans]
        pool = Pool([f"digits[{row}]" for row in range(len(scans))], labels, hashes, lambda row: scans[row])
        train, evaluation = hold_out(hashes, labels, self.seed, self.evaluation_size)
        classes = [str(digit) for digit in range(10)]
        return PictureSource("data=digits", self, classes, pool.take(train), pool.take(evaluation))


def read_digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Scans, uint8 in [0, 255], (1797, 8, 8), and labels, int64, (1797,)."""
    import importlib.util

    import numpy as np

    spec = importlib.util.find_spec("sklearn")
    file = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz" if spec and spec.origin else None
    if file is not None and file.is_file():  # importing scikit-learn takes a second, its file 3 ms
        table = np.loadtxt(file, delimiter=",", dtype=np.int64)
        grey, labels = table[:, :-1].reshape(-1, 8, 8), table[:, -1]
    else:
        from sklearn.datasets import load_digits

        digits = load_digits()
        grey, labels = digits.images, digits.target
    # The scans count ink from 0 to 16.
    return np.round(grey * (255 / 16)).astype(np.uint8), np.asarray(labels, np.int64)
