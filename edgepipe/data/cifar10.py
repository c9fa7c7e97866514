"""CIFAR-10 as published: 50,000 training and 10,000 test pictures, 32x32, in ten classes."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from edgepipe.base.files import is_file, replacing
from edgepipe.contract import Dataset
from edgepipe.data.hashes import cache_file, recall, remember, stamp
from edgepipe.data.rows import RowFile
from edgepipe.data.settings import PictureSettings
from edgepipe.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PYTHON_FOLDER, BINARY_FOLDER = "cifar-10-batches-py", "cifar-10-batches-bin"
TRAIN_FILES = tuple(f"data_batch_{number}" for number in range(1, 6))
FILES = (*TRAIN_FILES, "test_batch")
RECORDS = 10_000  # pictures per file
PIXEL_BYTES = 3 * 32 * 32
# As in torchvision.datasets.CIFAR10 (a test compares them); importing it would import torch.
MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}


class Cifar10Data(PictureSettings):
    """CIFAR-10 from a copy on disk (Python or binary version), or downloaded through torchvision.

    Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    """

    fetched: ClassVar[frozenset[str]] = frozenset({"root"})

    root: Path = Field(Path("data"), description=f"folder that holds {PYTHON_FOLDER} or {BINARY_FOLDER}")
    download: bool = Field(False, description="download the Python version into root when there is no copy (170 MB)")

    def open(self, cache: Path) -> Dataset:
        """Verify the files once, keep their pixels in `cache`, and split as published."""
        import numpy as np

        from edgepipe.data.pictures import PictureSource, Pool

        files = self._files()
        stamps = [stamp(file) for file in files]
        memory = cache_file(cache, "cifar10", files[0].parent)
        pixels = memory.with_suffix(".pixels")
        known = recall(memory) if self.digest == "stat" else None
        if (
            not isinstance(known, dict)
            or known.get("files") != stamps
            or not is_file(pixels)
            or known.get("pixels") != stamp(pixels)
        ):
            try:
                labels, hashes = _convert(files, pixels)
                known = {"files": stamps, "pixels": stamp(pixels), "labels": labels, "hashes": hashes}
            except OSError as error:
                raise DataError(f"data.root={self.root}: {error}: is the disk full, or a file unreadable?") from error
            remember(memory, known)
        rows = RowFile(pixels, 0, PIXEL_BYTES)
        names = [f"{file.name}[{row}]" for file in files for row in range(RECORDS)]
        pool = Pool(
            names,
            np.asarray(known["labels"], np.int64),
            known["hashes"],
            lambda row: np.frombuffer(rows.read(row), np.uint8).reshape(32, 32, 3),
        )
        split = len(TRAIN_FILES) * RECORDS
        train, evaluation = pool.take(np.arange(split)), pool.take(np.arange(split, len(names)))
        return PictureSource(f"data.root={self.root}", self, CLASSES, train, evaluation)

    def _files(self) -> list[Path]:
        found = self._find()
        if not found and self.download:
            _download(self.root)
            found = self._find()
        if not found:
            raise DataError(
                f"data.root={self.root}: no {PYTHON_FOLDER} or {BINARY_FOLDER} in it: name the folder that holds one, "
                "or set data.download=true"
            )
        missing = [file.name for file in found if not is_file(file)]
        if missing:
            raise DataError(
                f"data.root={self.root}: {missing[0]} is missing in {found[0].parent}: unpack CIFAR-10 again"
            )
        return found

    def _find(self) -> list[Path]:
        for folder in (self.root / PYTHON_FOLDER, self.root / BINARY_FOLDER, self.root):
            for suffix in ("", ".bin"):
                files = [folder / f"{name}{suffix}" for name in FILES]
                if any(is_file(file) for file in files):
                    return files
        return []


def _convert(files: list[Path], out: Path) -> tuple[list[int], list[str]]:
    """Write all pixels, (height, width, 3) per picture, into `out`; return labels and content hashes."""
    labels: list[int] = []
    hashes: list[str] = []
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as new, new.open("wb") as stream:
        for file in files:
            planes, found = _read_binary(file) if file.suffix == ".bin" else _read_python(file)
            if not 0 <= min(found) <= max(found) < len(CLASSES):
                raise DataError(f"{file}: labels reach from {min(found)} to {max(found)}, not 0 to 9: unpack it again")
            for picture in _interleaved(planes):
                stream.write(picture)
                hashes.append(hashlib.sha256(picture).hexdigest())
            labels += found
    return labels, hashes


def _interleaved(planes: NDArray[np.uint8]) -> Iterator[bytes]:
    for picture in planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1):
        yield picture.tobytes()


def _read_binary(file: Path) -> tuple[NDArray[np.uint8], list[int]]:
    """One label byte, then 1,024 bytes each of red, green and blue, per record."""
    import numpy as np

    content = np.fromfile(file, np.uint8)
    if content.size != RECORDS * (1 + PIXEL_BYTES):
        raise DataError(f"{file}: {content.size} bytes, not {RECORDS * (1 + PIXEL_BYTES)}: unpack CIFAR-10 again")
    records = content.reshape(RECORDS, 1 + PIXEL_BYTES)
    return records[:, 1:], records[:, 0].tolist()


class _ArraysOnly(pickle.Unpickler):
    """The published files are pickles, which can run any code; this one can only build NumPy arrays."""

    def find_class(self, module: str, name: str) -> Any:
        import _codecs

        import numpy as np

        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return _empty_array
        allowed = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): _codecs.encode,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it wants to import {module}.{name}")
        return allowed[module, name]


def _empty_array(kind: Any, shape: Any, dtype: Any) -> Any:
    import numpy as np

    return np.ndarray.__new__(np.ndarray if kind is np.ndarray else kind, shape, dtype)


def _read_python(file: Path) -> tuple[NDArray[np.uint8], list[int]]:

    import numpy as np

    content = file.read_bytes()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != MD5[file.name]:
        raise DataError(f"{file}: MD5 is {found}, not {MD5[file.name]}: damaged or changed, unpack CIFAR-10 again")
    try:
        entry = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
        planes, labels = entry["data"], [int(label) for label in entry["labels"]]
    except Exception as error:  # unpickling damaged bytes raises anything
        raise DataError(f"{file}: not a batch of CIFAR-10 ({error}): unpack CIFAR-10 again") from error
    if not isinstance(planes, np.ndarray) or planes.dtype != np.uint8 or planes.shape != (RECORDS, PIXEL_BYTES):
        raise DataError(f"{file}: its pixels are not uint8, ({RECORDS}, {PIXEL_BYTES}): unpack CIFAR-10 again")
    if len(labels) != RECORDS:
        raise DataError(f"{file}: {len(labels)} labels for {RECORDS} pictures: unpack CIFAR-10 again")
    return planes, labels


def _download(root: Path) -> None:
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import download_and_extract_archive

    try:  # the archive alone: torchvision's own loader would unpickle it without restriction
        download_and_extract_archive(CIFAR10.url, str(root), filename=CIFAR10.filename, md5=CIFAR10.tgz_md5)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"data.download: {CIFAR10.url}: {error}. Are you online? Otherwise unpack a copy into {root}"
        ) from error
