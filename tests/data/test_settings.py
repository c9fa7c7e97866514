from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from edgepipe.contract import DataSource
from edgepipe.data.cifar10 import Cifar10Data
from edgepipe.data.digits import DigitsData
from edgepipe.data.image_folder import ImageFolderData
from edgepipe.data.npz import NpzData

KINDS = (DigitsData, ImageFolderData, Cifar10Data, NpzData)


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_has_a_description(kind: type[DataSource]) -> None:
    assert [name for name, field in kind.model_fields.items() if not field.description] == []


def test_settings_import_neither_numpy_nor_pillow_nor_torch() -> None:
    modules = ", ".join(sorted({kind.__module__ for kind in KINDS}))
    code = f"import sys, {modules}; print([m for m in ('numpy', 'PIL', 'torch', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_opening_and_reading_digits_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from edgepipe.data.digits import DigitsData; "
        "from edgepipe.contract import Split; "
        "next(DigitsData().open(Path(sys.argv[1])).batches(Split.TRAIN, 8)); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": 0}, "greater than or equal to 1"),
        ({"interpolation": "cubic"}, "'bilinear', 'bicubic' or 'nearest'"),
        ({"mean": (0.5, 0.5)}, "mean has 2 values for 3 channels"),
        ({"std": (0.2, 0.0, 0.2)}, "std must be above 0"),
        ({"evaluation_size": 0}, "greater than or equal to 1"),
        ({"sise": 3}, "Extra inputs"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DigitsData.model_validate(settings)


def test_one_size_is_square_and_two_are_height_and_width() -> None:
    assert DigitsData(image_size=32).preprocessing.image_size == (32, 32)
    assert DigitsData.model_validate({"image_size": [24, 32]}).signature(()).input_shape == (3, 24, 32)


def test_one_channel_averages_the_three_means() -> None:
    preprocessing = DigitsData(channels=1).preprocessing
    assert (preprocessing.mean, preprocessing.std) == ((0.449,), (0.226,))
