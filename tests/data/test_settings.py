from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from edgepipe.contract import DataSource, Preprocessing
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
        ({"fit": "pad"}, "'letterbox'"),
        ({"fill": 256}, "less than or equal to 255"),
        ({"scale": 0}, "greater than 0"),
        ({"crop_share": 1.5}, "less than or equal to 1"),
        ({"order": "bgr", "channels": 1}, "order: bgr has a meaning for 3 channels only"),
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


def test_nothing_said_of_mean_and_std_is_imagenets_in_the_order_and_units_of_the_rest() -> None:
    about = DigitsData(order="bgr", scale=1).preprocessing
    assert about.mean == (103.53, 116.28, 123.675)
    assert about.std == (57.375, 57.12, 58.395)
    assert DigitsData(mean=(0, 0, 0), std=(1, 1, 1), scale=1).preprocessing.std == (1, 1, 1)


def test_a_manifest_of_before_is_read_as_it_was_meant() -> None:
    old = {"image_size": [8, 8], "channels": 3, "interpolation": "bilinear", "mean": [0.5] * 3, "std": [0.5] * 3}
    about = Preprocessing.model_validate(old)
    assert (about.fit, about.order, about.scale) == ("stretch", "rgb", 1 / 255)
    assert DigitsData(image_size=8, mean=(0.5,) * 3, std=(0.5,) * 3).preprocessing == about


def test_a_model_of_whole_numbers_gets_the_bytes_whatever_the_scale() -> None:
    assert DigitsData(scale=1).as_pixels().preprocessing.scale == 1 / 255
