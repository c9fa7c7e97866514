"""What a user's loader may not give is refused in sentences."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepipe.errors import DataError
from tests.data.loaders import loaded


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("None", "gives no examples"),
        ("3", "train is int: give a sequence"),
        ("{'training': []}", "gives 'training'. Did you mean 'train'"),
        ("{'calibration': [1]}", "gives no examples"),
        ("[]", "train: holds no examples"),
        ("[(np.zeros(3), 0)]", "one example, of which none can be held out"),
        ("[None, None]", r"train\[0\]: is None"),
        ("[(np.zeros(3), 0), (None, 0)]", r"train\[1\]: its inputs are None"),
        ("[(np.zeros(3), 0), (np.ones((3, 1)), 0)]", r"train\[1\]: is `input` .float32, 2 axes., but .*1 axes"),
        ("[(np.zeros(3), 0), np.ones(3)]", r"train\[1\]: has no label"),
        ("[(np.zeros(3), 0, 1)]", "a tuple of 3"),
        ("['text', 'other']", "found str"),
        ("[(object(), 0)]", "found object, which is no array"),
        ("[(np.array([np.nan]), 0)]", "NaN"),
        ("[(np.zeros((0, 3)), 0)]", r"have shape \(0, 3\)"),
        ("[(1.0, 0)]", "give the shape of one example"),
        ("[({}, 0)]", "has no inputs"),
        ("[(np.zeros(3), {'boxes': 1})]", "its label: found dict"),
        ("[(np.zeros(3), 0), (np.zeros(3), 'a')]", "is a text or none"),
        ("[(np.zeros(3), [1, 2]), (np.ones(3), [1])]", r"labels have shapes \(1,\) and \(2,\)"),
        ("[(np.zeros(3), -4), (np.ones(3), 1)]", "labels count from 0"),
        ("[(np.zeros(3), np.zeros((2, 2))), (np.ones(3), np.zeros((2, 3)))]", "labels of one type and shape"),
        ("{'train': Examples(0), 'classes': ['a']}", "label 2, and there are 1 classes"),
        ("{'train': Examples(0), 'classes': 'abc'}", "classes is str: give a list"),
        ("{'train': Examples(0), 'task': 'clasification'}", "Did you mean 'classification'"),
        ("{'train': Examples(0), 'evaluation': [(np.zeros((3, 5, 5)), 0)]}", "preprocess all alike"),
        ("{'train': Examples(0), 'evaluation': [{'x': np.zeros(3), 'labels': 0}]}", "only one of the splits"),
    ],
)
def test_what_no_loader_should_return_is_refused(what: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"data.factory: tests.data.loaders:returns.*{said}"):
        loaded("returns", what=what).open(tmp_path)


def test_a_line_of_the_loader_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"evaluation\[2\]: failed at .*loaders\.py:\d+: KeyError: 'picture 2'"):
        loaded("breaks").open(tmp_path)
