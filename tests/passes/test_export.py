"""Export knows no format by name: what it writes, compares and keys comes from the registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pytest
from pydantic import ValidationError

from edgepipe import plugins
from edgepipe.contract import Batch, Format, Job, Signature, Split, Tensor, Written
from edgepipe.contract.artifact import Artifact, Kind
from edgepipe.errors import ParityError, PassError
from edgepipe.formats.asking import Ends, one_by_one
from edgepipe.onnx.answers import named_answers
from edgepipe.onnx.session import Session
from edgepipe.passes.export import Export
from tests.onnx import networks
from tests.registered import register


class Toy(Format):
    """The ONNX file again, asked one example at a time, its first output `factor` times as large."""

    libraries: ClassVar[tuple[str, ...]] = ("numpy",)
    factor: float = 1.0

    def write(self, onnx: Path, out: Path, int8_layers: int) -> Written:
        (out / "model.toy").write_bytes(onnx.read_bytes())
        ends, asked = Ends.of(onnx), named_answers(onnx)

        def run(row: Any) -> list[Any]:
            found = asked({name: value[None] for name, value in row.items()})
            return [value * np.float32(self.factor if index == 0 else 1) for index, value in enumerate(found.values())]

        return Written((out / "model.toy",), one_by_one(ends, run), {"int8_layers": int8_layers})


class Strange(Toy):
    """Needs what nobody has."""

    needs: ClassVar[dict[str, str]] = {"no_such_module": "pip install it"}  # type: ignore[misc]


class Rigid(Toy):
    """Knows numbers as axes only."""

    fixed_shapes: ClassVar[bool] = True

    def write(self, onnx: Path, out: Path, int8_layers: int) -> Written:
        assert all(isinstance(axis, int) for item in Session(onnx).inputs for axis in (item.shape or ())[1:])
        return super().write(onnx, out, int8_layers)


class Named:
    """Twelve examples of several inputs."""

    def __init__(self, inputs: dict[str, Any], **more: Any) -> None:
        self.inputs = inputs
        tensors = tuple(
            Tensor(name=name, dtype=value.dtype.name, shape=value.shape[1:]) for name, value in inputs.items()
        )
        self.signature = Signature(inputs=tensors, task="agreement", **more)

    def count(self, split: Split) -> int:
        return 12 if split is Split.EVALUATION else 0

    def digest(self, split: Split) -> str:
        return str(split)

    def labels(self, _split: Split) -> None:
        return None

    def batches(self, _split, size, indices=None):  # type: ignore[no-untyped-def]
        order = list(range(12) if indices is None else indices)
        for start in range(0, len(order), size):
            yield Batch({name: value[order[start : start + size]] for name, value in self.inputs.items()})


DRAW = np.random.default_rng(0)
TOKENS = {
    "ids": DRAW.integers(0, 11, (12, 5)),
    "mask": DRAW.integers(0, 2, (12, 5)),
    "types": DRAW.integers(0, 2, (12, 5)),
}


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "formats", toy=f"{__name__}:Toy", strange=f"{__name__}:Strange", rigid=f"{__name__}:Rigid")


def exported(folder: Path, data: Named, settings: Export, model: Path) -> tuple[Artifact, dict[str, Any]]:
    source, out = folder / "in", folder / "out"
    for each in (source, out, folder / "state"):
        each.mkdir()
    model.rename(source / "model.onnx")
    job = Job(out, folder / "state", data, 0, "export")  # type: ignore[arg-type]
    start = Job(source, folder / "state", data, 0, "load").seal(Kind.ONNX, data.signature)  # type: ignore[arg-type]
    return settings.apply(start, job), job.facts


def test_three_inputs_and_two_outputs_are_written_and_compared_in_every_format(tmp_path: Path) -> None:
    model = networks.encoder(tmp_path / "m.onnx")
    _, facts = exported(tmp_path, Named(TOKENS), Export(formats=("onnx", "ort", "toy")), model)
    assert facts["parity"]["examples"] == 12
    assert set(facts["formats"]) == {"ort", "toy"}
    assert facts["formats"]["toy"]["parity"]["largest_difference"] < 1e-5
    assert set(facts["formats"]["ort"]["files"]) == {"model.ort", "required_operators.config"}


def test_a_model_with_five_outputs_of_four_types_is_exported(tmp_path: Path) -> None:
    rows = {"x": DRAW.standard_normal((12, 4)).astype(np.float32)}
    model = networks.five_outputs(tmp_path / "m.onnx")
    _, facts = exported(tmp_path, Named(rows), Export(formats=("ort",)), model)
    assert facts["formats"]["ort"]["parity"]["agreement"] == 1.0


def test_every_run_of_a_state_is_compared(tmp_path: Path) -> None:
    rows = {"x": DRAW.standard_normal((12, 3, 2, 4)).astype(np.float32)}
    data = Named(rows, state={"h": "hn", "c": "cn"}, steps=3)
    model = networks.recurrent(tmp_path / "m.onnx")
    _, facts = exported(tmp_path, data, Export(formats=("ort", "toy")), model)
    assert facts["parity"]["examples"] == 36
    assert facts["formats"]["ort"]["parity"]["largest_difference"] < 1e-5


def of_any_length() -> Named:
    data = Named(TOKENS)
    free = tuple(item.model_copy(update={"shape": ("length",)}) for item in data.signature.inputs)
    data.signature = data.signature.model_copy(update={"inputs": free})
    return data


@pytest.mark.parametrize("data", [of_any_length(), Named(TOKENS)], ids=["a folder of any lengths", "all alike"])
def test_a_free_axis_has_a_number_in_the_files_of_formats_and_its_name_in_the_model(
    data: Named, tmp_path: Path
) -> None:
    model = networks.encoder(tmp_path / "m.onnx")
    settings = Export(formats=("ort", "rigid"), shapes={"length": 5})
    done, facts = exported(tmp_path, data, settings, model)
    assert [item.shape for item in Session(done.onnx).inputs] == [("batch", "length")] * 3
    assert [item.shape for item in Session(done.path / "model.toy").inputs] == [("batch", 5)] * 3
    assert [item.shape for item in Session(done.path / "model.ort").inputs] == [("batch", 5)] * 3
    said = json.loads((done.path / "formats.json").read_text())
    assert {name: (list(found["files"]), found["shapes"]) for name, found in said.items()} == {
        "ort": (["model.ort", "required_operators.config"], {"length": 5}),
        "rigid": (["model.toy"], {"length": 5}),
    }
    for name in ("ort", "rigid"):
        assert facts["formats"][name]["shapes"] == {"length": 5}
        assert facts["formats"][name]["parity"]["examples"] == 12


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Export(formats=("ort",), shapes={"lenght": 5}), "no axis 'lenght': its axes with names are length"),
        (Export(formats=("ort",), shapes={"length": 7}), "no evaluation example has length 7"),
    ],
)
def test_numbers_for_no_axis_or_of_no_example_are_refused(settings: Export, said: str, tmp_path: Path) -> None:
    with pytest.raises(PassError, match=f"passes.export.shapes: .*{said}"):
        exported(tmp_path, of_any_length(), settings, networks.encoder(tmp_path / "m.onnx"))


def test_a_format_that_takes_numbers_only_is_refused_a_free_axis_by_name(tmp_path: Path) -> None:
    model = networks.encoder(tmp_path / "m.onnx")
    wanted = r"rigid needs a number for every axis, and the model leaves length free: set passes\.export\.shapes="
    with pytest.raises(PassError, match=wanted):
        exported(tmp_path, of_any_length(), Export(formats=(cast(Any, "rigid"),)), model)


def test_numbers_for_axes_without_another_format_do_nothing_and_are_refused() -> None:
    with pytest.raises(ValidationError, match="name one in formats"):
        Export(shapes={"length": 5})


def test_settings_of_a_format_reach_it_and_a_wrong_answer_fails_the_export(tmp_path: Path) -> None:
    model = networks.encoder(tmp_path / "m.onnx")
    with pytest.raises(ParityError, match=r"model\.toy does not answer.*of its output 'states'"):
        exported(tmp_path, Named(TOKENS), Export(formats=({"name": "toy", "factor": -1.0},)), model)


def test_a_format_s_code_libraries_and_settings_are_part_of_the_pass_s_key() -> None:
    settings = Export(formats=("onnx", {"name": "toy", "factor": 2.0}))
    assert settings.uses() == (Toy(factor=2.0),)
    assert settings.settings()["formats"] == ["onnx", {"name": "toy", "factor": 2.0}]
    assert Export().uses() == ()


def test_what_a_format_needs_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(PassError, match=r"export: strange needs no_such_module, not installed here: pip install it"):
        exported(tmp_path, Named(TOKENS), Export(formats=("strange",)), networks.encoder(tmp_path / "m.onnx"))


@pytest.mark.parametrize(
    ("formats", "said"),
    [
        (("toyy",), "unknown format 'toyy'. Did you mean 'toy'?"),
        (({"name": "onnx", "factor": 1},), "unknown format 'onnx'"),
        (({"name": "toy", "speed": 1},), "speed"),
        (("toy", {"name": "toy"}), "'toy' is named twice"),
    ],
)
def test_formats_that_nobody_has_are_refused(formats: Any, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Export(formats=formats)
    assert said in str(caught.value)


def test_every_format_of_edgepipe_is_found_by_its_name() -> None:
    for name in ("ort", "openvino", "tflite", "pte"):
        assert issubclass(plugins.find("formats", name), Format)
