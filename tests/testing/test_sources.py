"""Sources of models keep their contract, and the kit says of a broken one what is broken."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from edgepipe.contract import ONNX_FILE, Artifact, Job, Kind, ModelSource, Signature, seal
from edgepipe.sources.onnx_file import OnnxModel
from edgepipe.sources.python import PythonModel
from edgepipe.sources.sklearn.file import SklearnModel
from edgepipe.sources.torchvision import TorchvisionModel
from edgepipe.testing import Broken, check_source
from edgepipe.testing.toys import classifier


def test_an_onnx_file_keeps_the_contract(tmp_path: Path) -> None:
    check_source(OnnxModel(path=str(classifier(tmp_path / "m.onnx"))))


def test_networks_of_torch_keep_the_contract() -> None:
    check_source(PythonModel(factory="edgepipe.testing.toys:network", trust_code=True))
    check_source(TorchvisionModel(name="squeezenet1_1"), signature=Signature(input_shape=(3, 32, 32)))


def test_an_estimator_keeps_the_contract(tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io", reason="needs the extra sklearn: pip install 'edgepipe[sklearn]'")
    pytest.importorskip("skl2onnx")
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    skops.dump(LogisticRegression().fit(rng.random((40, 768)), np.arange(40) % 8), tmp_path / "m.skops")
    check_source(SklearnModel(path=str(tmp_path / "m.skops")))


class Toy(ModelSource):
    """A toy classifier."""

    kind: ClassVar[Kind] = Kind.ONNX

    def digests(self) -> dict[str, Any]:
        return {"toy": "1"}

    def load(self, out: Path, signature: Signature, seed: int, job: Job | None = None) -> Artifact:  # noqa: ARG002
        classifier(out / ONNX_FILE)
        return seal(out, Kind.ONNX, signature)


_COUNT = [0]


def _counted(*_: Any) -> dict[str, Any]:
    _COUNT[0] += 1
    return {"toy": _COUNT[0]}


def _another(self: Any, out: Path, signature: Signature, *_: Any) -> Artifact:
    _counted()
    (out / "note.txt").write_text(str(_COUNT[0]), encoding="utf-8")
    return Toy.load(self, out, signature, 0)


def _unsealed(_: Any, out: Path, *__: Any) -> Path:
    return classifier(out / ONNX_FILE)


def _no_network(_: Any, out: Path, signature: Signature, *__: Any) -> Artifact:
    (out / ONNX_FILE).write_text("none", encoding="utf-8")
    return seal(out, Kind.ONNX, signature)


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "a kind": ({"kind": "onnx file"}, r"Odd\.kind: is 'onnx file'"),
    "a setting": ({"located": frozenset({"folder"})}, r"Odd\.located: names \['folder'\]"),
    "a digest of the moment": ({"digests": _counted}, r"Odd\.digests: asked twice they are others"),
    "no JSON": ({"digests": lambda _: {"toy": np.int64(1)}}, r"Odd\.digests: it\['toy'\] is"),
    "no bool": ({"takes_pixels": lambda _: None}, r"Odd\.takes_pixels: is no bool"),
    "no pairs": ({"problems": lambda _: ["bad"]}, r"Odd\.problems: returned 'bad', and \(setting, sentence\)"),
    "no setting": ({"misfits": lambda *_: [("size", "is bad")]}, r"Odd\.misfits: speaks of a setting 'size'"),
    "another each time": ({"load": _another}, r"Odd\.load: loaded twice, with one seed, it is another model"),
    "a path": ({"load": _unsealed}, r"Odd\.load: Odd: broke its contract: it returned something"),
    "another kind": ({"kind": Kind.TORCH}, r"Odd\.load: Odd: broke its contract: it promised torch"),
    "no network": ({"load": _no_network}, r"Odd\.load: raised MeasureError"),
}


def odd(**methods: Any) -> type[ModelSource]:
    return type(Toy)("Odd", (Toy,), {"__doc__": "Odd.", "__module__": __name__, **methods})


def test_the_toy_keeps_its_contract() -> None:
    check_source(Toy)


@pytest.mark.parametrize("case", CASES)
def test_a_broken_promise_is_told_with_the_method(case: str) -> None:
    methods, said = CASES[case]
    with pytest.raises(Broken, match=said):
        check_source(odd(**methods))


def test_a_source_that_writes_into_its_own_file_is_told(tmp_path: Path) -> None:
    class Scribbles(OnnxModel):
        """Scribbles."""

        def load(self, out: Path, signature: Signature, seed: int, job: Job | None = None) -> Artifact:
            made = super().load(out, signature, seed, job)
            with Path(self.path).open("ab") as stream:
                stream.write(b"\x12\x00")  # another producer: the same graph
            return made

    shutil.copy(classifier(tmp_path / "m.onnx"), tmp_path / "n.onnx")
    with pytest.raises(Broken, match=r"Scribbles\.load: "):
        check_source(Scribbles(path=str(tmp_path / "n.onnx")))


def test_what_is_not_defined_is_told() -> None:
    with pytest.raises(Broken, match=r"ModelSource\.digests: is not defined, and every model source has it"):
        check_source(ModelSource)  # type: ignore[type-abstract]
