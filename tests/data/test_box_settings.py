from __future__ import annotations

from edgepipe.data.voc import VocData


def test_detectors_get_letterboxed_pictures_from_0_to_1_unless_said() -> None:
    about = VocData(root="x").preprocessing
    assert (about.fit, about.image_size, about.mean, about.std) == ("letterbox", (640, 640), (0,) * 3, (1,) * 3)
    yolox = VocData(root="x", fit="letterbox_corner", order="bgr", scale=1).preprocessing
    assert (yolox.mean, yolox.std, yolox.scale, yolox.order) == ((0,) * 3, (1,) * 3, 1, "bgr")
    assert VocData(root="x", channels=1).preprocessing.std == (1,)


def test_a_split_may_be_one_name_or_several() -> None:
    assert VocData(root="x", evaluation="val").named("evaluation") == ("val",)
    assert VocData(root="x", evaluation=("val", "test")).named("evaluation") == ("val", "test")
    assert VocData(root="x").named("train") == ()
    assert VocData(root="x").task_known() == "detection"
