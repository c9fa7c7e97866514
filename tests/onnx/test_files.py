"""An ONNX file is read whole, or without the weights that lie in files beside it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, numpy_helper

from edgepipe.errors import MeasureError
from edgepipe.onnx.clean import clean_file
from edgepipe.onnx.files import load, load_structure, metadata_of
from tests.onnx import networks


def test_weights_beside_a_file_are_read_or_left(tmp_path: Path) -> None:
    path = networks.free_picture(tmp_path / "m.onnx")
    wanted = numpy_helper.to_array(onnx.load(path).graph.initializer[0])
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights", size_threshold=0)
    (left,) = load_structure(path).graph.initializer
    assert left.data_location == TensorProto.EXTERNAL and not left.raw_data
    (read,) = load(path).graph.initializer
    assert (numpy_helper.to_array(read) == wanted).all()
    (tmp_path / "weights").unlink()
    load_structure(path)
    with pytest.raises(MeasureError, match=r"m\.onnx: not a readable ONNX file: .*weights"):
        load(path)


@pytest.mark.parametrize("read", [load, load_structure])
def test_what_is_no_onnx_file_is_told_by_its_name(tmp_path: Path, read) -> None:
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    for name in ("junk.onnx", "missing.onnx"):
        with pytest.raises(MeasureError, match=rf"{name}: not a readable ONNX file"):
            read(tmp_path / name)


def test_what_a_file_says_of_itself_is_read_and_kept_but_for_what_tools_leave(tmp_path: Path) -> None:
    path = networks.free_picture(tmp_path / "m.onnx")
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"character": "a\nb", "onnx.infer": "x", "pkg.torch.onnx.ExportedProgram": "y"})
    onnx.save(model, path)
    clean_file(path)
    assert metadata_of(path) == {"character": "a\nb"}
