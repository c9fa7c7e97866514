"""Proofs of a finished run's deployed file: what of the run they need, and where they go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgepipe.base.files import is_file, is_there
from edgepipe.contract.artifact import ONNX_FILE, file_sha256
from edgepipe.contract.target import Target
from edgepipe.data import coded
from edgepipe.data.arrays import NAMES
from edgepipe.data.npz_file import read_npz
from edgepipe.data.task import with_task
from edgepipe.engine.judge import judged, status_of
from edgepipe.engine.task import Judged, asks_the_model, by_model
from edgepipe.errors import InputError
from edgepipe.plugins import find
from edgepipe.recipe.files import read_yaml
from edgepipe.recipe.schema import StoreSettings
from edgepipe.records.figures import OLD_NAMES
from edgepipe.records.metrics import GoalResult, Metrics, Proof, read_metrics
from edgepipe.records.run_folder import refuse_another
from edgepipe.report.record import write_record
from edgepipe.store.store import Store
from edgepipe.targets.estimate import estimates
from edgepipe.verify.settings import AGREEMENT, EXAMPLES


class Ran(BaseModel):
    """What `verify` needs of the composed recipe beside a run's metrics."""

    model_config = ConfigDict(extra="ignore")

    store: StoreSettings = StoreSettings()
    verify_examples: int = Field(EXAMPLES, ge=1)
    verify_agreement: float = Field(AGREEMENT, ge=0, le=1)
    task: str | dict[str, Any] | None = None
    data: dict[str, Any] | None = None
    target: Target | None = None

    @property
    def task_name(self) -> str | None:
        """Name of the task, where the recipe names one."""
        return str(self.task.get("name")) if isinstance(self.task, dict) else self.task

    @property
    def task_settings(self) -> dict[str, Any]:
        """Its settings."""
        return {key: value for key, value in self.task.items() if key != "name"} if isinstance(self.task, dict) else {}


def ran_of(what: Path) -> Ran:
    """The recipe of a run; the defaults where there is none.

    Raises:
        InputError: it cannot be read, or is not what a run writes.
    """
    path = what / "recipe.yaml"
    if not is_there(path):
        return Ran()
    try:
        return Ran.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "recipe"
        raise InputError(f"{path}: {key}: {first['msg']}. It is not as the run wrote it: run it again") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def refuse_changed(run: Path, model: Path) -> None:
    """Refuse another file in the place of the one that the run made: its proof would be the run's.

    Raises:
        InputError: names the file and both digests.
    """
    refuse_another(run, ONNX_FILE, file_sha256(model))


def model_of(what: Path) -> Path:
    """The deployed file of a run, of a folder, or itself.

    Raises:
        InputError: there is none.
    """
    for path in (what, what / "final" / ONNX_FILE, what / ONNX_FILE):
        if is_file(path):
            return path
    raise InputError(f"{what}: no model there: name a run's folder, a folder with {ONNX_FILE}, or an ONNX file")


def examples_for(inputs: Path | None, what: Path, ran: Ran, store: Store, count: int) -> Any:
    """At most `count` examples: those of `inputs`, else the evaluation examples of the run's data.

    Raises:
        InputError: there are neither, or they are not as they must be.
    """
    from edgepipe.verify.prove import examples_of, examples_of_arrays

    if inputs is not None:
        arrays, labels = _arrays(inputs)
        some = {name: value[:count] for name, value in arrays.items()}
        return examples_of_arrays(some, None if labels is None else labels[:count])
    if ran.data is None:
        raise InputError(f"{what}: no run's recipe.yaml beside it, so there are no examples: add --inputs FILE.npz")
    settings = dict(ran.data)
    try:
        data = find("data", settings.pop("source", None)).model_validate(settings)
    except ValueError as error:
        raise InputError(f"{what / 'recipe.yaml'}: data: {error}") from None
    opened = with_task(coded.opened(data, store.cache), ran.task_name)
    try:
        task = find("tasks", opened.signature.task).model_validate(ran.task_settings)
    except ValueError as error:
        raise InputError(f"{what / 'recipe.yaml'}: task: {error}") from None
    judged = Judged(opened.signature.task, task)
    if asks_the_model(judged):
        return examples_of(opened, count, by_model(judged, model_of(what)).task)
    return examples_of(opened, count, None if ran.task_name is None else task)


def _arrays(path: Path) -> tuple[dict[str, Any], Any]:
    """Arrays of an .npz by name, (n, ...), and its labels where it has any.

    `images` (or `inputs`) alone where it has that, else all but the labels.
    """
    arrays = read_npz(path)
    labels = arrays.pop("labels", None)
    name = next((name for name in NAMES if name in arrays), None)
    inputs = arrays if name is None else {name: arrays[name]}
    if not inputs:
        raise InputError(f"{path}: no array in it but the labels: give it one for each input of the model")
    for name, value in inputs.items():
        if value.ndim < 1 or 0 in value.shape:
            raise InputError(
                f"{path}: `{name}` has shape {value.shape}: give (examples, ...), as in (200, 3, 224, 224)"
            )
    counts = {name: len(value) for name, value in inputs.items()}
    count = next(iter(counts.values()))
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{number} of `{name}`" for name, number in counts.items())
        raise InputError(f"{path}: as many examples of each array are needed, and there are {told}")
    if labels is None:
        return inputs, None
    if labels.shape != (count,):
        raise InputError(f"{path}: `labels` have shape {labels.shape}, but there are {count} examples")
    if labels.dtype.kind == "f" and not (labels % 1 == 0).all():  # NaN and infinity are not either
        raise InputError(f"{path}: `labels` are no classes: give whole numbers, or leave them out")
    return inputs, labels.astype("int64")


def record_proofs(run: Path, proofs: list[Proof], target: Target | None) -> list[GoalResult]:
    """The proofs into the run's metrics and report; those of other targets, and of what is skipped now, stay.

    Returns:
        The lines of the goal that rest on a time measured just now; all lines are judged again.
    """

    metrics = read_metrics(run)
    ran = {proof.target for proof in metrics.proofs if proof.status != "skipped"}
    proofs = [proof for proof in proofs if proof.status != "skipped" or proof.target not in ran]
    new = {proof.target for proof in proofs}
    every = [proof for proof in metrics.proofs if proof.target not in new] + proofs
    update: dict[str, Any] = {"proofs": every}
    rests: list[GoalResult] = []
    if metrics.status != "failed":
        goal = metrics.goal
        if target is not None and metrics.final is not None:
            found = estimates(target, metrics.final, every)
            wanted = {OLD_NAMES.get(line.name, line.name): line.wanted for line in goal}
            goal = judged(wanted, metrics.task, metrics.final, metrics.versus_baseline, found)
            update |= {"estimates": found, "goal": goal}
            if any(proof.target == target.verify and proof.latency_p50_ms is not None for proof in proofs):
                rests = [line for line in goal if line.name in ("latency_ms", "energy_mj")]
        update["status"] = status_of(goal, every)
    updated: Metrics = metrics.model_copy(update=update)
    write_record(run, updated, "the proofs")
    return rests
