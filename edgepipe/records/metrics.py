"""The schema of metrics.json, written by every run and read by the report, sweeps and checks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, JsonValue, model_validator

from edgepipe.base.files import is_folder, read_record
from edgepipe.contract import Interval
from edgepipe.records import old
from edgepipe.records.quality import Drop, Record, Score, TaskRecord

SCHEMA_VERSION: Literal[2] = 2


def _deprecated(description: str) -> Any:
    """A field of schema 1 that is written for one more version."""
    return Field(None, description=f"deprecated: {description}", json_schema_extra={"deprecated": True})


class Int8Share(Record):
    """Share of multiply-accumulates that the runtime really does in int8, in [0, 1]; null: it has none."""

    conv: float | None = None
    matmul: float | None = None
    layers: float | None = Field(None, description="of both together")


class Measurements(Record):
    """One artifact, as ONNX Runtime runs it. Null: not measurable for this artifact or data."""

    examples: int = Field(description="evaluation examples that the quality rests on")
    quality: dict[str, Score] = Field(default={}, description="each measure of the task, the headline first")
    top1: float | None = _deprecated("quality.top1.value")
    top1_ci95: Interval | None = _deprecated("quality.top1.ci95")
    top5: float | None = _deprecated("quality.top5.value")
    by_class: dict[str, dict[str, float]] = Field(
        default={}, description="what the task tells of each class, as IoU; empty: nothing"
    )
    size_bytes: int = Field(description="bytes of the ONNX file")
    gzip_bytes: int = Field(description="bytes of the ONNX file after gzip -6, as a browser or app store transfers it")
    parameters: int = Field(description="stored weights and biases, scales and zero points not counted")
    nonzero_share: float = Field(description="share of the parameters that are not zero, in [0, 1]")
    macs: int = Field(description="multiply-accumulates for one example")
    latency_p50_ms: float
    latency_p90_ms: float
    load_ms: float = Field(description="time to open the model in a fresh process, runtime already imported")
    peak_rss_bytes: int = Field(description="peak resident memory of a fresh process that loads and runs the model")
    int8_share: Int8Share = Int8Share()

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, content: Any) -> Any:
        return old.measurements(content, cls.model_fields)


class OutputChange(Record):
    """One output against the baseline's on the same examples, asked one at a time."""

    name: str
    values: int = Field(description="numbers for one example")
    examples: int
    relative_error: float = Field(description="length of the difference over length of the output; mean of examples")
    relative_error_worst: float = Field(description="mean of the worst 1% of the examples, at least of one")
    cosine: float
    cosine_worst: float = Field(description="mean of the worst 1% of the examples, at least of one")
    r2: float | None = Field(None, description="share of the output's variance kept; null: it hardly varies")
    worst_part: str | None = Field(None, description="the slice of the output, along one axis, that is kept worst")
    worst_part_r2: float | None = None
    rows_alike: float | None = Field(
        None, description="of an output of rows, (steps, letters): share whose largest value is the same one"
    )
    examples_alike: float | None = Field(None, description="share of examples of which all rows are alike")


class Versus(Record):
    """One artifact against the baseline, measured interleaved in the same process."""

    times_smaller: float
    times_faster: float
    times_faster_ci95: Interval = Field(description="bootstrap interval of the median of paired ratios")
    quality: dict[str, Drop] = Field(default={}, description="each measure of the task against the baseline's")
    alike: float | None = Field(None, description="share of examples answered as the baseline answers")
    accuracy_drop: float | None = _deprecated("quality.top1.drop")
    accuracy_drop_ci95: Interval | None = _deprecated("quality.top1.ci95")
    agreement: float | None = _deprecated("alike")
    outputs: list[OutputChange] = Field(
        default=[], description="each output that the task does not judge; empty: not measured"
    )

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, content: Any) -> Any:
        return old.versus(content, cls.model_fields)


class OperatorTime(Record):
    """Time spent in one operator type of the optimized graph."""

    operator: str
    nodes: int
    milliseconds: float
    share: float = Field(description="share of the time of all operators, in [0, 1]")
    int8: bool = Field(description="whether it computes on 8-bit integers")


class LayerCost(Record):
    """One convolution or matrix product of the deployed graph."""

    name: str
    operator: str
    weight_shape: list[int]
    weight_bytes: int
    macs: int
    milliseconds: float | None = None
    int8: bool = False


class Audit(Record):
    """What ONNX Runtime really runs after its own optimizations."""

    operators: list[OperatorTime] = Field(default=[])
    layers: list[LayerCost] = Field(default=[])
    leftover_qdq: int = Field(0, description="QuantizeLinear and DequantizeLinear nodes left in the optimized graph")
    leftover_casts: int = Field(0, description="Cast nodes left in the optimized graph")
    uncounted: list[str] = Field(
        default=[], description="operators that multiply, or may, and are in no count; int8_share is then null"
    )


class WrongAnswer(Record):
    """An evaluation example that the step answers wrongly though the baseline was right."""

    index: int
    label: str
    answer: str
    picture_png: str | None = Field(None, description="the preprocessed picture as base64 PNG, when it is one")
    label_png: str | None = Field(None, description="what is right, drawn by the task")
    baseline_png: str | None = Field(None, description="what the baseline answers, likewise")
    answer_png: str | None = Field(None, description="what the step answers, likewise")


class ArtifactRef(Record):
    """Where a step's artifact lies, relative to the run's folder, and what it is."""

    kind: str
    path: str
    sha256: str
    size_bytes: int


class StepRecord(Record):
    """One step of the run."""

    label: str
    pass_: str = Field(alias="pass")
    status: Literal["ok", "failed", "not_run"] = "ok"
    inserted: bool = Field(False, description="added by the plan (a lowering), not written in the recipe")
    settings: dict[str, JsonValue] = Field(default={})
    seconds: float = 0.0
    cached: bool = False
    key: str | None = Field(None, description="name of the result in the store")
    computed_because: list[str] = Field(
        default=[], description="what differed from the nearest stored result; empty when it was reused"
    )
    measurement_cached: bool = False
    measured_because: list[str] = Field(
        default=[], description="what differed from the nearest stored measurement; empty when it was reused"
    )
    artifact: ArtifactRef | None = None
    measurements: Measurements | None = None
    versus_baseline: Versus | None = None
    audit: Audit | None = None
    findings: list[str] = Field(default=[])
    facts: dict[str, JsonValue] = Field(default={})
    wrong: list[WrongAnswer] = Field(default=[])

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Tolerance(Record):
    """How far a metric may be worse than in the baseline."""

    worse_by: float = Field(
        ge=0, allow_inf_nan=False, description="in the metric's own unit; a share of the value if relative"
    )
    relative: bool = False


class Failure(Record):
    """Why a run failed: the step, the kind of error and its message."""

    step: str | None
    error: str
    message: str


class GoalResult(Record):
    """One line of the recipe's goal. `margin` is positive when the goal is met with room to spare."""

    name: str
    wanted: float
    got: float | None
    margin: float | None
    met: bool
    method: str = Field("", description="how an estimate was made; empty: measured here")


class Estimate(Record):
    """A budget's quantity on the target: measured, or reckoned as a range with its method."""

    name: str = Field(description="storage_mb, memory_mb, latency_ms or energy_mj")
    low: float
    high: float = Field(description="what a goal is judged by")
    measured: bool
    method: str


class Proof(Record):
    """The deployed file run on another processor or runtime, on the same examples as on this machine."""

    target: str = Field(description="the name in `verify:`")
    place: str = Field(description="processor or runtime; empty where the whole target was skipped")
    status: Literal["ok", "failed", "skipped"] = "ok"
    why: str = Field("", description="why it failed or was skipped, and the remedy")
    runtime: str = ""
    threads: int = 1
    examples: int
    alike: float | None = Field(None, description="share of examples answered as on this machine")
    identical: bool | None = Field(None, description="whether all outputs are bit-identical with this machine's")
    largest_difference: float | None = Field(None, description="of any output; null: one of them is not finite")
    quality: dict[str, float] = Field(default={}, description="by measure what is reached there; empty without labels")
    quality_here: dict[str, float] = Field(
        default={}, description="by measure what is reached on this machine, on the same examples"
    )
    agreement: float | None = _deprecated("alike")
    top1: float | None = _deprecated("quality.top1")
    top1_here: float | None = _deprecated("quality_here.top1")
    latency_p50_ms: float | None = Field(
        None, description="median of one run; null where emulated: an emulator's time says nothing of the device"
    )
    float_operators: list[str] = Field(
        default=[], description="operators that compute on floats; none: the graph is int8 and must be bit-identical"
    )
    seconds: float = 0.0

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, content: Any) -> Any:
        return old.proof(content)

    @property
    def where(self) -> str:
        """Target and place, for people."""
        return f"{self.target}: {self.place}" if self.place else self.target


Word = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
"""A short text without control characters, which a terminal would obey."""


class DeviceRun(Record):
    """What the bundle's own example said on a real device; a device may say anything, so each value has bounds."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    device: str = Field(description="where it ran, without a user's name")
    when: str = Field(description="ISO 8601, UTC")
    golden: Literal["ok", "failed"]
    identical: bool
    largest_difference: float | None = Field(description="of any output; null: one of them is not finite")
    latency_p50_ms: float = Field(ge=0)
    latency_p90_ms: float = Field(ge=0)
    runs: int = Field(ge=1)
    host: Word
    machine: Word
    cores: int | None = Field(ge=1)
    threads: int = Field(ge=1)
    python: Word
    onnxruntime: Word

    @property
    def match(self) -> str:
        """How its answers compare with the golden ones, for people."""
        if self.identical:
            return "bit-identical"
        return "not finite" if self.largest_difference is None else f"differ by {self.largest_difference:.2g}"


class Inputs(Record):
    """SHA-256 digests of everything that came in."""

    recipe: str
    model: str | None = None
    data: dict[str, str] = Field(default={})


class Environment(Record):
    """Versions, machine and threads that the numbers belong to."""

    edgepipe: str
    python: str
    platform: str
    cpu: str
    instruction_sets: list[str]
    cores: int
    threads: int = Field(description="threads of the latency measurement")
    libraries: dict[str, str]


class Metrics(Record):
    """The whole of metrics.json."""

    schema_version: Literal[2] = SCHEMA_VERSION
    recipe: str
    task: TaskRecord | None = Field(None, description="what the outputs mean; null where the run ended before")
    status: Literal["ok", "failed", "missed_goal", "not_verified"]
    failure: Failure | None = None
    started: str = Field(description="ISO 8601, UTC")
    seconds: float
    baseline_step: str | None = None
    baseline: Measurements | None = None
    final: Measurements | None = None
    versus_baseline: Versus | None = None
    goal: list[GoalResult] = Field(default=[])
    devices: list[DeviceRun] = Field(default=[], description="runs of the bundle on real devices, newest last")
    target: str = Field("host", description="name of the target profile")
    estimates: list[Estimate] = Field(default=[], description="what the final model needs on the target")
    proofs: list[Proof] = Field(default=[], description="the deployed file on other processors and runtimes")
    passes: list[StepRecord] = Field(default=[])
    inputs: Inputs
    environment: Environment
    overrides: list[str] = Field(default=[])
    tolerances: dict[str, Tolerance] = Field(
        default={}, description="of the regression gate, where the recipe states any"
    )
    files: dict[str, str] = Field(default={}, description="what lies in final/, name to SHA-256")

    @model_validator(mode="before")
    @classmethod
    def _of_schema_1(cls, content: Any) -> Any:
        return old.metrics(content)


def read_metrics(run: Path) -> Metrics:
    """The metrics of a run: its folder, or the metrics.json itself.

    Raises:
        InputError: there is none, or it is not one.
    """
    path = run / "metrics.json" if is_folder(run) else run
    return read_record(path, Metrics, "Name a run's folder, e.g. outputs/RECIPE/DATE_TIME")
