"""A third party's pass: one class, one entry point, nothing else."""

from typing import ClassVar

from pydantic import Field

from edgepipe.contract import Job, Pass
from edgepipe.contract.artifact import Artifact, Kind


class ClipWeights(Pass):
    """Clip every float32 weight of an ONNX model to [-limit, limit]."""

    reads: ClassVar[Kind] = Kind.ONNX
    writes: ClassVar[Kind] = Kind.ONNX
    libraries: ClassVar[tuple[str, ...]] = ("onnx",)
    limit: float = Field(1.0, gt=0, description="largest magnitude that stays")

    def apply(self, model: Artifact, job: Job) -> Artifact:
        import numpy as np
        import onnx
        from onnx import numpy_helper

        network = onnx.load(model.onnx)
        clipped = 0
        for initializer in network.graph.initializer:
            if initializer.data_type == onnx.TensorProto.FLOAT:
                values = numpy_helper.to_array(initializer)
                clipped += int((np.abs(values) > self.limit).sum())
                kept = np.clip(values, -self.limit, self.limit)
                initializer.CopyFrom(numpy_helper.from_array(kept, initializer.name))
        onnx.save(network, job.out / "model.onnx")
        job.facts["clipped"] = clipped
        return job.seal(Kind.ONNX, model.signature)
