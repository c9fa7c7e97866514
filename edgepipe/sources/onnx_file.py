"""`model.source: onnx`: a float ONNX file, untrusted until checked."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field, JsonValue

from edgepipe.base.files import is_file
from edgepipe.contract import Job, ModelSource, Signature, Tensor
from edgepipe.contract.artifact import ONNX_FILE, Artifact, Kind, file_sha256, seal
from edgepipe.contract.guess import Guess, Sure
from edgepipe.contract.settings import PathText
from edgepipe.errors import ModelError
from edgepipe.onnx import ends as onnx_ends
from edgepipe.onnx import external_data
from edgepipe.onnx.batch_axis import Rows
from edgepipe.onnx.examples import ExampleShapes
from edgepipe.onnx.expanded import in_order, without_functions, without_sparse
from edgepipe.onnx.files import load_structure
from edgepipe.onnx.inputs import takes
from edgepipe.onnx.layout import Layout
from edgepipe.onnx.messages import messages
from edgepipe.onnx.rewritten import difference
from edgepipe.onnx.session import words
from edgepipe.onnx.written import LARGEST_BYTES, check_size, too_large

if TYPE_CHECKING:
    import onnx

_ALIKE = 1e-5
"""Largest difference of a graph that only says the same in other words, as a share of the largest answer."""


class OnnxModel(ModelSource):
    """A float ONNX file; external data lies in its own folder, or in the one that its link ends in."""

    kind: ClassVar[Kind] = Kind.ONNX
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")

    # How much the first run may take says nothing of its result.
    located: ClassVar[frozenset[str]] = frozenset({"path", "weights", "most_minutes", "most_gigabytes"})

    path: PathText = Field(description="the .onnx file")
    most_minutes: float | None = Field(
        None, gt=0, description="how long its first load and run may take; null: a minute, and one per 500 MB of it"
    )
    most_gigabytes: float | None = Field(
        None, gt=0, description="memory (10^9 bytes) that may take; null: 8 and 8 times its size, 3/4 of the machine's"
    )

    @classmethod
    def guess(cls, given: str) -> Guess | None:
        fits = given.lower().endswith(".onnx") and is_file(Path(given))
        return Guess({"path": given}, Sure.CERTAIN, "an ONNX file") if fits else None

    def takes(self) -> tuple[Tensor, ...]:
        return takes(_parse(Path(self.path)))

    def digests(self) -> dict[str, JsonValue]:
        path = Path(self.path)
        if not is_file(path, "model.path"):
            raise ModelError(f"model.path: {path} is no file")
        found: dict[str, JsonValue] = {"model": file_sha256(path)}
        files = {place.name: place.file for place in external_data.places(_parse(path), path)}
        for name, file in sorted(files.items()):
            found[name if name != "model" else "./model"] = file_sha256(file)
        return found

    def takes_pixels(self) -> bool:
        path = Path(self.path)
        try:
            return is_file(path, "model.path") and onnx_ends.takes_pixels(_parse(path))  # no pipe is waited for
        except ModelError:  # which whoever loads it tells
            return False

    def load(self, out: Path, signature: Signature, seed: int, job: Job | None = None) -> Artifact:
        from edgepipe.sources.first_run import example_of

        return self.load_with(example_of(signature, job), out, signature, seed, job)

    def load_with(self, example: Rows, out: Path, signature: Signature, seed: int, job: Job | None = None) -> Artifact:
        """As `load`, with an example of the data, by its names, (1, ...) each."""
        import onnx

        from edgepipe.sources import first_run

        path = Path(self.path)
        where = f"model.path: {path}"
        network = _parse(path)
        found = external_data.places(network, path)
        left = onnx_ends.check(network, where)
        rows = first_run.rows_of(network, signature, example, where)
        sized = first_run.sized(signature, example)
        compared = first_run.tried(self, network, sized, rows, seed, job)  # nothing is read or written out before
        external_data.read(found)
        check_size(network, where, ModelError)
        _weights_are_no_inputs(network)
        in_order(network, where)
        layout: Layout = "same"
        shapes = {name: value.shape[1:] for name, value in rows.items()}
        if len(rows) == 1:
            layout = onnx_ends.layout(network, sized, where)
            shapes = dict.fromkeys(rows, onnx_ends.shape_in(layout, sized))
            rows = {name: np.zeros_like(value) if value.dtype.kind == "f" else value for name, value in rows.items()}
        else:
            onnx_ends.check_shapes(network, rows, where)
        network, notes = _in_plain_words(network, shapes, rows, where, compared=compared)
        notes += left + _in_float32(network, shapes, rows, where)
        notes += onnx_ends.arrange(network, layout, sized, where, rows)
        if signature.preprocessing.image_size is not None and onnx_ends.takes_pixels(network):
            notes.append(
                "the graph takes whole numbers: pictures are given as their pixels, 0 to 255, and data.mean and "
                "data.std are not used; the bundle does the same"
            )
        told, axes = onnx_ends.declare(network, rows, where)
        notes += told
        try:
            network.doc_string = ""
            onnx.save(network, out / ONNX_FILE)
            onnx.checker.check_model(str(out / ONNX_FILE))
        except Exception as error:
            raise ModelError(f"{where}: not a valid ONNX model: {str(error)[:300]}") from None
        if job is not None and notes:
            job.add("notes", *notes)
        return seal(out, Kind.ONNX, onnx_ends.described(network, axes, signature))


def _in_plain_words(
    network: onnx.ModelProto, example: ExampleShapes, real: Rows, where: str, *, compared: bool
) -> tuple[onnx.ModelProto, list[str]]:
    """The graph as passes know one, with what people should be told; it answers as the one that was given.

    Args:
        compared: in a process with bounds, by this function: the runtime can die of functions and sparse weights.
    """
    import onnx

    notes: list[str] = []
    if not network.functions and not any(messages(network, onnx.SparseTensorProto)):
        return network, notes
    given = copy.deepcopy(network)
    plain = without_functions(network, where)
    if size := without_sparse(plain, where):
        notes.append(f"its sparse weights are stored densely: {size:,} bytes")
    share = 0.0 if compared else difference(given, plain, example, where, "", real=real)
    if share > _ALIKE:
        raise ModelError(
            f"{where}: with its local functions written out and its sparse weights dense it answers otherwise, by "
            f"{share:.2g} of the largest answer. Export it without local functions"
        )
    return plain, notes


def _in_float32(network: onnx.ModelProto, example: ExampleShapes, real: Rows, where: str) -> list[str]:
    """Make a graph of another float type one of float32, in place; what people should be told."""
    from edgepipe.onnx.in_float32 import kinds, other_float, to_float32

    kind = other_float(network)
    if kind is None:
        return []
    name, allowed = kinds()[kind]
    given, size = copy.deepcopy(network), network.ByteSize()
    try:
        to_float32(network)
    except Exception as error:
        raise ModelError(f"{where}: a {name} graph, which cannot be made float32: {str(error)[:200]}") from None
    check_size(network, where, ModelError)
    why = f"a {name} graph (edgepipe works on float32): "
    share = difference(given, network, example, where, why, real=real)
    if share > allowed:
        raise ModelError(
            f"{where}: a {name} graph, which in float32 answers otherwise, by {share:.2g} of the largest answer (at "
            f"most {allowed:g}). Export it in float32"
        )
    compared = f"which answers alike (largest difference {share:.2g} of the largest answer)"
    if math.isnan(share):
        compared = f"not compared, for in {name} its answers to drawn examples are not finite"
    return [
        f"the graph is {name} and came in as float32, {compared}: the baseline's size and times are those of float32, "
        f"the {name} graph has {size:,} bytes"
    ]


def _parse(path: Path) -> onnx.ModelProto:

    if is_file(path, "model.path") and path.stat().st_size > LARGEST_BYTES:
        raise ModelError(f"model.path: {path}: {too_large(path.stat().st_size)}")
    try:
        network = load_structure(path)
        if not network.graph.node:
            raise ValueError("its graph has no nodes")
    except Exception as error:
        raise ModelError(f"model.path: {path}: not an ONNX file: {words(error)[:200]}") from None
    return network


def _weights_are_no_inputs(network: onnx.ModelProto) -> None:
    """Old exporters list every weight as an input too, with the weight as its default; nobody else feeds one."""
    weights = {item.name for item in network.graph.initializer}
    weights |= {item.values.name for item in network.graph.sparse_initializer}
    inputs = [item for item in network.graph.input if item.name not in weights]
    del network.graph.input[:]
    network.graph.input.extend(inputs)
    network.ir_version = max(network.ir_version, 4)  # before, weights had to be inputs
