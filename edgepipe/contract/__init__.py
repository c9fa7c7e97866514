"""What others subclass and are given: the six nouns, and what they speak of."""

from edgepipe.contract.artifact import ARCHITECTURE_FILE, ONNX_FILE, WEIGHTS_FILE, Artifact, Kind, seal
from edgepipe.contract.data import Batch, Dataset, DataSource, Split
from edgepipe.contract.formats import Asked, Format, Written
from edgepipe.contract.guess import Contents, Guess, Sure
from edgepipe.contract.passes import Job, Pass, Progress
from edgepipe.contract.places import Done, Place, PlaceAnswers, Processor
from edgepipe.contract.settings import PathMark, PathText, Settings
from edgepipe.contract.signature import Axis, Preprocessing, Signature, Sound, Tensor
from edgepipe.contract.sources import ModelSource
from edgepipe.contract.tasks import Answers, ByClass, Figure, Interval, Measure, Moves, Targets, Task

__all__ = [
    "ARCHITECTURE_FILE",
    "ONNX_FILE",
    "WEIGHTS_FILE",
    "Answers",
    "Artifact",
    "Asked",
    "Axis",
    "Batch",
    "ByClass",
    "Contents",
    "DataSource",
    "Dataset",
    "Done",
    "Figure",
    "Format",
    "Guess",
    "Interval",
    "Job",
    "Kind",
    "Measure",
    "ModelSource",
    "Moves",
    "Pass",
    "PathMark",
    "PathText",
    "Place",
    "PlaceAnswers",
    "Preprocessing",
    "Processor",
    "Progress",
    "Settings",
    "Signature",
    "Sound",
    "Split",
    "Sure",
    "Targets",
    "Task",
    "Tensor",
    "Written",
    "seal",
]
