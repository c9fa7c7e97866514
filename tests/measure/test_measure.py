from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from edgepipe.errors import MeasureError
from edgepipe.measure.answers import Answered, Model, answered, targets_of
from edgepipe.measure.measure import measure
from edgepipe.measure.settings import MeasureSettings
from edgepipe.measure.wrong import picture_png, wrong_answers
from edgepipe.tasks.classification import Classification
from tests.measure.graphs import SMALL_MACS, SMALL_PARAMETERS, Arrays, pictures, quantized, small_network

TASK = Classification()
QUICK = MeasureSettings(latency_seconds=0.1, audit_runs=2, probe_runs=1)


def labelled_by(model: Path, count: int = 40) -> Arrays:
    """Pictures labelled with what the model answers, so that its accuracy is 1."""
    data = pictures(count)
    return Arrays(data.inputs, answered(Model.of(model, data), data, TASK).answers["answers"])


def test_a_baseline_and_its_int8_step_give_consistent_records(tmp_path: Path) -> None:
    source = small_network(tmp_path / "f.onnx")
    step = quantized(source, tmp_path / "q.onnx")
    data = labelled_by(source)
    seen: list[float] = []
    base = measure(source, data, TASK, None, None, QUICK, lambda share, _text: seen.append(share))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert base.measurements.top1 == 1.0
    assert base.measurements.macs == SMALL_MACS
    assert base.measurements.parameters == SMALL_PARAMETERS
    assert (base.versus.times_faster, base.versus.times_smaller, base.versus.accuracy_drop) == (1.0, 1.0, 0.0)
    found = measure(step, data, TASK, source, base, QUICK)
    assert found.measurements.int8_share.conv == 1.0
    assert found.versus.times_smaller == pytest.approx(source.stat().st_size / step.stat().st_size)
    assert found.measurements.top1 is not None
    assert found.versus.accuracy_drop == pytest.approx(1.0 - found.measurements.top1)
    assert found.versus.agreement == found.measurements.top1  # labels are the baseline's answers
    assert len(found.wrong) == round(40 * (1 - found.measurements.top1))


def test_without_labels_the_baseline_agrees_with_itself(tmp_path: Path) -> None:
    source = small_network(tmp_path / "f.onnx")
    base = measure(source, pictures(20, labelled=False), TASK, None, None, QUICK)
    assert base.measurements.top1 == 1.0
    assert base.measurements.top5 is None
    assert base.versus.accuracy_drop == 0.0


def test_without_labels_every_disagreement_is_an_accuracy_drop(tmp_path: Path) -> None:
    source, data = small_network(tmp_path / "f.onnx"), pictures(20, labelled=False)
    alone = measure(source, data, TASK, None, None, QUICK)
    base = alone.answered.answers
    changed = np.concatenate([base["answers"][:15], base["answers"][15:] + 1])
    other = Answered({**base, "answers": changed}, 20)
    found = measure(source, data, TASK, source, replace(alone, answered=other), QUICK)
    assert found.measurements.top1 == found.versus.agreement == 0.75
    assert found.versus.accuracy_drop == 0.25
    assert found.versus.accuracy_drop_ci95 is not None
    low, high = found.versus.accuracy_drop_ci95
    assert 0.05 < low < 0.25 < high < 0.5


def test_a_baseline_without_its_measurement_is_refused(tmp_path: Path) -> None:
    source = small_network(tmp_path / "f.onnx")
    with pytest.raises(MeasureError, match="belong together"):
        measure(source, pictures(4), TASK, source, None, QUICK)


def test_wrong_answers_carry_names_and_the_denormalised_picture(tmp_path: Path) -> None:
    source = small_network(tmp_path / "f.onnx")
    data = labelled_by(source)
    base = answered(Model.of(source, data), data, TASK).answers
    rolled = Arrays(np.roll(data.inputs, 1, axis=0), data.given)
    shifted = answered(Model.of(source, data), rolled, TASK).answers
    targets = targets_of(TASK, data, base)
    assert targets is not None
    labels = targets["labels"]
    found = wrong_answers(TASK, shifted, base, targets, data, most=3)
    changed = [index for index in range(40) if shifted["answers"][index] != labels[index]]
    assert len(found) == min(3, len(changed))
    for item in found:
        assert item.index in changed
        assert item.label == f"class{labels[item.index]}"
        assert item.picture_png is not None
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(item.picture_png))), np.float32) / 255
        expected = np.clip(data.inputs[item.index] * 0.25 + 0.5, 0, 1).transpose(1, 2, 0)
        assert np.abs(shown - expected).max() <= 0.5 / 255 + 1e-6


def test_only_pictures_become_pictures() -> None:
    signature = pictures(1).signature
    assert picture_png(np.zeros((5, 8, 8), np.float32), signature) is None
    assert picture_png(np.zeros(8, np.float32), signature) is None
    assert picture_png(np.zeros((1, 8, 8), np.float32), Arrays(np.zeros((1, 1, 8, 8), np.float32), None).signature)


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"latency_seconds": 0}, {"thread": 1}])
def test_settings_out_of_range_or_mistyped_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        MeasureSettings.model_validate(wrong)
