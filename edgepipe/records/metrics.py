"""The schema of metrics.json, written by every run and read by the report, sweeps and checks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from edgepipe.base.files import is_folder, read_record

SCHEMA_VERSION: Literal[1] = 1

Interval = tuple[float, float]
"""A 95% interval: (low, high)."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Int8Share(_Record):
    """Share of multiply-accumulates that the runtime really does in int8, in [0, 1]; null: it has none."""

    conv: float | None = None
    matmul: float | None = None
    layers: float | None = Field(None, description="of both together")


class Measurements(_Record):
    """One artifact, as ONNX Runtime runs it. Null: not measurable for this artifact or data."""

    examples: int = Field(description="evaluation examples that the accuracy rests on")
    top1: float | None = Field(
        None,
        description="share of examples answered rightly; without labels, agreement with the baseline",
    )
    top1_ci95: Interval | None = Field(None, description="Wilson score interval of top1")
    top5: float | None = None
    mae: float | None = Field(None, description="mean absolute error, in the unit of the labels")
    mae_ci95: Interval | None = None
    r2: float | None = Field(
        None,
        description="share of the labels' variance explained; without labels, the baseline's; null: it is near none",
    )
    cosine: float | None = Field(None, description="mean cosine to the baseline's vector of the same example")
    cosine_ci95: Interval | None = None
    cosine_p01: float | None = Field(None, description="cosine that 99% of the examples reach")
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


class OutputChange(_Record):
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


class Versus(_Record):
    """One artifact against the baseline, measured interleaved in the same process."""

    times_smaller: float
    times_faster: float
    times_faster_ci95: Interval = Field(description="bootstrap interval of the median of paired ratios")
    accuracy_drop: float | None = Field(None, description="baseline top1 minus this top1; negative: it got better")
    accuracy_drop_ci95: Interval | None = Field(None, description="paired interval of the drop on the same examples")
    agreement: float | None = Field(None, description="share of examples answered as the baseline answers")
    mae_rise: float | None = Field(None, description="this MAE minus the baseline's, in the unit of the labels")
    mae_rise_ci95: Interval | None = Field(None, description="paired interval of the rise on the same examples")
    outputs: list[OutputChange] = Field(
        default=[], description="each output, but the scores of a classifier; empty: not measured"
    )


class OperatorTime(_Record):
    """Time spent in one operator type of the optimized graph."""

    operator: str
    nodes: int
    milliseconds: float
    share: float = Field(description="share of the time of all operators, in [0, 1]")
    int8: bool = Field(description="whether it computes on 8-bit integers")


class LayerCost(_Record):
    """One convolution or matrix product of the deployed graph."""

    name: str
    operator: str
    weight_shape: list[int]
    weight_bytes: int
    macs: int
    milliseconds: float | None = None
    int8: bool = False


class Audit(_Record):
    """What ONNX Runtime really runs after its own optimizations."""

    operators: list[OperatorTime] = []
    layers: list[LayerCost] = []
    leftover_qdq: int = Field(0, description="QuantizeLinear and DequantizeLinear nodes left in the optimized graph")
    leftover_casts: int = Field(0, description="Cast nodes left in the optimized graph")
    uncounted: list[str] = Field(
        default=[], description="operators that multiply, or may, and are in no count; int8_share is then null"
    )


class LayerEffect(_Record):
    """One layer alone quantized, or one group of layers alone pruned: how the whole model then answers."""

    name: str = Field(description="the layer's weight, without what exporters append; of a group, its layers")
    node: str | None = Field(None, description="name of the ONNX node, as `exclude` wants it; null: pruned, not int8")
    operator: str
    weight_shape: list[int]
    macs: int = Field(description="multiply-accumulates of the layer for one example; of a group, those removed")
    sqnr_db: float | None = Field(
        None, description="decibels: energy of the float outputs over energy of the error; null: no error at all"
    )
    error_share: float = Field(description="share of what the layers, each alone, make together; in [0, 1]")
    agreement: float | None = Field(None, description="share answered as the float model answers; classifiers only")
    top1: float | None = Field(None, description="share of right answers; null without labels")
    int8: bool = Field(True, description="whether the recipe's settings run it in int8")
    float_bytes: int = Field(0, description="bytes that the file grows by if the layer stays float; pruned: it saves")
    float_ms: float | None = Field(
        None, description="milliseconds that keeping it float adds by the table of kernel costs: an estimate"
    )


class WrongAnswer(_Record):
    """An evaluation example that the step answers wrongly though the baseline was right."""

    index: int
    label: str
    answer: str
    picture_png: str | None = Field(None, description="the preprocessed picture as base64 PNG, when it is one")


class ArtifactRef(_Record):
    """Where a step's artifact lies, relative to the run's folder, and what it is."""

    kind: str
    path: str
    sha256: str
    size_bytes: int


class StepRecord(_Record):
    """One step of the run."""

    label: str
    pass_: str = Field(alias="pass")
    status: Literal["ok", "failed", "not_run"] = "ok"
    inserted: bool = Field(False, description="added by the plan (a lowering), not written in the recipe")
    settings: dict[str, JsonValue] = {}
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
    findings: list[str] = []
    facts: dict[str, JsonValue] = {}
    wrong: list[WrongAnswer] = []

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Tolerance(_Record):
    """How far a metric may be worse than in the baseline."""

    worse_by: float = Field(
        ge=0, allow_inf_nan=False, description="in the metric's own unit; a share of the value if relative"
    )
    relative: bool = False


class Quality(NamedTuple):
    """How well a model answers, in the measure of its task; `value`: higher is better."""

    name: str
    value: float
    text: str
    interval: Interval | None


def quality(measured: Measurements | Mapping[str, Any] | None) -> Quality | None:
    """Top-1 of a classifier, R2 of a regression, cosine of an embedding; None where nothing is known."""
    found = measured.model_dump() if isinstance(measured, Measurements) else dict(measured or {})
    if found.get("top1") is not None:
        return Quality("top-1", found["top1"], f"{100 * found['top1']:.2f}%", found.get("top1_ci95"))
    if found.get("r2") is not None:
        return Quality("R2", found["r2"], f"{found['r2']:.4f}", None)
    if found.get("mae") is not None:  # labels that are nearly alike have no R2
        return Quality("MAE", -found["mae"], f"{found['mae']:.4g}", None)
    if found.get("cosine") is not None:
        return Quality("cosine", found["cosine"], f"{found['cosine']:.4f}", found.get("cosine_ci95"))
    return None


class Failure(_Record):
    """Why a run failed: the step, the kind of error and its message."""

    step: str | None
    error: str
    message: str


class GoalResult(_Record):
    """One line of the recipe's goal. `margin` is positive when the goal is met with room to spare."""

    name: str
    wanted: float
    got: float | None
    margin: float | None
    met: bool
    method: str = Field("", description="how an estimate was made; empty: measured here")


class Estimate(_Record):
    """A budget's quantity on the target: measured, or reckoned as a range with its method."""

    name: str = Field(description="storage_mb, memory_mb, latency_ms or energy_mj")
    low: float
    high: float = Field(description="what a goal is judged by")
    measured: bool
    method: str


class Proof(_Record):
    """The deployed file run on another processor or runtime, on the same examples as on this machine."""

    target: str = Field(description="the name in `verify:`")
    place: str = Field(description="processor or runtime; empty where the whole target was skipped")
    status: Literal["ok", "failed", "skipped"] = "ok"
    why: str = Field("", description="why it failed or was skipped, and the remedy")
    runtime: str = ""
    threads: int = 1
    examples: int
    agreement: float | None = Field(None, description="share of examples answered as on this machine")
    identical: bool | None = Field(None, description="whether all outputs are bit-identical with this machine's")
    largest_difference: float | None = Field(None, description="of any output; null: one of them is not finite")
    top1: float | None = Field(None, description="share of right answers there; null without labels")
    top1_here: float | None = Field(None, description="share of right answers on this machine, same examples")
    latency_p50_ms: float | None = Field(
        None, description="median of one run; null where emulated: an emulator's time says nothing of the device"
    )
    float_operators: list[str] = Field(
        default=[], description="operators that compute on floats; none: the graph is int8 and must be bit-identical"
    )
    seconds: float = 0.0

    @property
    def where(self) -> str:
        """Target and place, for people."""
        return f"{self.target}: {self.place}" if self.place else self.target


Word = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
"""A short text without control characters, which a terminal would obey."""


class DeviceRun(_Record):
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


class Inputs(_Record):
    """SHA-256 digests of everything that came in."""

    recipe: str
    model: str | None = None
    data: dict[str, str] = {}


class Environment(_Record):
    """Versions, machine and threads that the numbers belong to."""

    edgepipe: str
    python: str
    platform: str
    cpu: str
    instruction_sets: list[str]
    cores: int
    threads: int = Field(description="threads of the latency measurement")
    libraries: dict[str, str]


class Sensitivity(_Record):
    """What `edgepipe sensitivity` finds: every layer alone, the worst first."""

    recipe: str
    examples: int = Field(description="evaluation examples that the answers rest on")
    calibration_examples: int
    label: str = Field(description="the step of the recipe that quantizes")
    settings: dict[str, JsonValue] = {}
    top1: float | None = Field(None, description="of the float model on the same examples")
    every: LayerEffect | None = Field(None, description="all layers at once, as the recipe's settings place them")
    layers: list[LayerEffect] = []
    prune_label: str | None = None
    prune_ratio: float | None = None
    prune_top1: float | None = Field(None, description="of the network before it is pruned")
    pruned: list[LayerEffect] = []
    seconds: float = 0.0
    environment: Environment


class Metrics(_Record):
    """The whole of metrics.json."""

    schema_version: Literal[1] = SCHEMA_VERSION
    recipe: str
    status: Literal["ok", "failed", "missed_goal", "not_verified"]
    failure: Failure | None = None
    started: str = Field(description="ISO 8601, UTC")
    seconds: float
    baseline_step: str | None = None
    baseline: Measurements | None = None
    final: Measurements | None = None
    versus_baseline: Versus | None = None
    goal: list[GoalResult] = []
    devices: list[DeviceRun] = Field(default=[], description="runs of the bundle on real devices, newest last")
    target: str = Field("host", description="name of the target profile")
    estimates: list[Estimate] = Field(default=[], description="what the final model needs on the target")
    proofs: list[Proof] = Field(default=[], description="the deployed file on other processors and runtimes")
    passes: list[StepRecord] = []
    inputs: Inputs
    environment: Environment
    overrides: list[str] = []
    tolerances: dict[str, Tolerance] = Field(
        default={}, description="of the regression gate, where the recipe states any"
    )
    files: dict[str, str] = Field(default={}, description="what lies in final/, name to SHA-256")


def read_metrics(run: Path) -> Metrics:
    """The metrics of a run: its folder, or the metrics.json itself.

    Raises:
        InputError: there is none, or it is not one.
    """
    path = run / "metrics.json" if is_folder(run) else run
    return read_record(path, Metrics, "Name a run's folder, e.g. outputs/RECIPE/DATE_TIME")
