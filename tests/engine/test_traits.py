"""A result that has not what its pass provides, and no note that says why, is a broken promise."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import pytest

from edgepipe.contract import ONNX_FILE, Kind, Signature, seal
from edgepipe.contract.traits import FILES, HALF, INT8, INT8_TIMES, SPARSE
from edgepipe.engine.checks import Promise, keeps_its_promises
from edgepipe.engine.traits import lacking
from edgepipe.errors import PassError
from tests.measure.graphs import quantized, small_network

SIGNATURE = Signature(input_shape=(3, 16, 16))


def sealed(folder: Path, source: Path) -> Path:
    folder.mkdir(parents=True)
    shutil.copyfile(source, folder / ONNX_FILE)
    return folder


def test_weights_of_8_bits_show_int8_and_no_others_do(tmp_path: Path) -> None:
    source = small_network(tmp_path / "f.onnx")
    made = seal(sealed(tmp_path / "a", source), Kind.ONNX, SIGNATURE)
    assert lacking(made, (INT8,)) == "int8, and none of its weights has 8 bits or fewer"
    assert lacking(made, (HALF,)) == "half, and none of its weights is float16"
    assert lacking(made, (SPARSE, "a word of somebody's own")) is None
    made = seal(sealed(tmp_path / "b", quantized(source, tmp_path / "q.onnx")), Kind.ONNX, SIGNATURE)
    assert lacking(made, (INT8,)) is None


def test_float16_and_files_beside_are_looked_for(tmp_path: Path) -> None:
    model = onnx.load(small_network(tmp_path / "f.onnx"))
    model.graph.initializer.append(onnx.helper.make_tensor("h", onnx.TensorProto.FLOAT16, [2], [1.0, 2.0]))
    onnx.save(model, tmp_path / "h.onnx")
    folder = sealed(tmp_path / "a", tmp_path / "h.onnx")
    made = seal(folder, Kind.ONNX, SIGNATURE)
    assert lacking(made, (HALF,)) is None
    assert lacking(made, (HALF, INT8_TIMES)) == "int8_times, and there is no int8_times.json in it"
    (folder / FILES[INT8_TIMES]).write_text("{}")
    assert lacking(seal(folder, Kind.ONNX, SIGNATURE), (INT8_TIMES,)) is None


def test_a_pass_that_did_nothing_says_so_or_broke_its_contract(tmp_path: Path) -> None:
    made = seal(sealed(tmp_path / "space" / "out", small_network(tmp_path / "f.onnx")), Kind.ONNX, SIGNATURE)
    promised = Promise(Kind.ONNX, (INT8,))
    with pytest.raises(PassError, match="odd: broke its contract: it promised a model that is int8, and none of its"):
        keeps_its_promises("odd", made, made.path, promised, (), {})
    assert keeps_its_promises("odd", made, made.path, promised, (), {"notes": ["nothing to quantize"]}) is made
