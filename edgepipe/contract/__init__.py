"""What others subclass and are given: the public classes of edgepipe."""

from edgepipe.contract.artifact import (
    ARCHITECTURE_FILE,
    ONNX_FILE,
    WEIGHTS_FILE,
    Artifact,
    Kind,
    Preprocessing,
    Signature,
    Task,
    seal,
)
from edgepipe.contract.passes import Batch, DataSource, Job, Pass, Progress, Split
from edgepipe.contract.settings import Place, PlaceText, Settings

__all__ = [
    "ARCHITECTURE_FILE",
    "ONNX_FILE",
    "WEIGHTS_FILE",
    "Artifact",
    "Batch",
    "DataSource",
    "Job",
    "Kind",
    "Pass",
    "Place",
    "PlaceText",
    "Preprocessing",
    "Progress",
    "Settings",
    "Signature",
    "Split",
    "Task",
    "seal",
]
