"""Recipe to typed steps: order and kinds are checked here, and missing lowerings inserted."""

from __future__ import annotations

from dataclasses import dataclass

from edgepipe.contract import ModelSource, Pass, Preprocessing, Task
from edgepipe.contract.artifact import Kind
from edgepipe.plugins import find
from edgepipe.recipe.known import Known
from edgepipe.recipe.schema import Recipe

LOAD = "load"
LOWER = "lower"
_LONGEST_LABEL = 100


@dataclass(frozen=True)
class PlannedStep:
    """One step in order. `settings` is None for the step that loads the model."""

    label: str
    name: str
    settings: Pass | None
    reads: Kind | None
    writes: Kind
    inserted: bool = False


@dataclass(frozen=True)
class Plan:
    """Typed steps, the baseline's label and every problem found, as (key, sentence, value)."""

    steps: tuple[PlannedStep, ...]
    baseline: str
    problems: tuple[tuple[str, str, str], ...]


def make_plan(recipe: Recipe) -> Plan:
    """Order the recipe's steps, insert `lower` where a pass reads ONNX and the model is still torch.

    The model also becomes ONNX at the end, so that every run has something to deploy.
    """
    kind: Kind = recipe.model.settings.gives()
    steps = [PlannedStep(LOAD, recipe.model.source, None, None, kind)]
    problems: list[tuple[str, str, str]] = []
    baseline = recipe.baseline or LOAD
    source = recipe.model.source
    came = f" from {source}" if source != str(kind) else ""
    onnx_since = f"this model came as {kind}{came}" if kind is Kind.ONNX else ""

    known = Known()

    def lower(label: str) -> None:
        known.come_through(label, LOWER, recipe.lowering)
        steps.append(PlannedStep(label, LOWER, recipe.lowering, Kind.TORCH, Kind.ONNX, inserted=True))

    def free_label() -> str:
        taken = {step.label for step in steps} | set(recipe.passes)
        return next(name for name in (LOWER, *(f"{LOWER}_{i}" for i in range(2, 99))) if name not in taken)

    for label, step in recipe.passes.items():
        key = f"passes.{label}"
        if label == LOAD:
            problems.append(
                (key, f"the label '{LOAD}' is taken by the step that loads the model: choose another", label)
            )
        if not label or not label.replace("_", "").replace("-", "").isalnum():
            problems.append((key, "a label has letters, digits, '_' and '-' only, since it names a folder", label))
        elif len(label.encode()) > _LONGEST_LABEL:
            text = f"a label names a folder: at most {_LONGEST_LABEL} letters"
            problems.append((key, text, f"{label[:12]}..., {len(label)} letters"))
        wants = step.settings.reads
        if wants is Kind.ONNX and kind is Kind.TORCH:
            lower(free_label())
            kind, onnx_since = Kind.ONNX, f"the model became onnx for '{label}'"
        if wants is not kind:
            problems.append(
                (
                    f"{key}.pass",
                    f"{step.name} reads {wants}, but here the model is {kind} ({onnx_since}): "
                    + (
                        "move it before the first pass that reads onnx"
                        if "became" in onnx_since
                        else "use passes that read onnx, or start from a PyTorch model"
                    ),
                    step.name,
                )
            )
        else:
            problems += [(f"{key}.pass", wrong, step.name) for wrong in known.refuse(label, step.name, step.settings)]
        wrong = step.settings.behind(steps[-1].settings)
        if wrong is not None:
            problems.append((key, wrong, step.name))
        if step.settings.needs_teacher and baseline not in {earlier.label for earlier in steps}:
            problems.append((key, f"{step.name} learns from the baseline, and '{baseline}' comes later", step.name))
        known.come_through(label, step.name, step.settings)
        if kind is Kind.TORCH and step.settings.writes is Kind.ONNX:
            onnx_since = f"the model became onnx in '{label}'"
        kind = step.settings.writes
        steps.append(PlannedStep(label, step.name, step.settings, wants, kind))
    if kind is Kind.TORCH:
        lower(free_label())
    return Plan(tuple(steps), baseline, tuple(problems))


def _task(recipe: Recipe) -> tuple[str, type[Task] | None]:
    """The task that the recipe names or its data is known to be of; None: nothing says it yet."""
    if recipe.task is not None:
        return recipe.task.name, type(recipe.task.settings)
    known = recipe.data.settings.task_known()
    return known or "", None if known is None else find("tasks", known)


def one_class_only(name: str, task: str) -> str:
    """Why a pass cannot learn for a task whose examples have not one class each, and what can."""
    return (
        f"{name} learns with these settings from scores of one class for each example, and the task '{task}' has none. "
        "Train with `train` or `finetune`, which take the task's own loss, cut channels with importance=magnitude, and "
        "quantize with quantize_static"
    )


def unusable(recipe: Recipe) -> list[str]:
    """What the recipe names that no library has or that does not take the data's pictures, in sentences with keys.

    May import torch.
    """
    parts: list[tuple[str, ModelSource | Pass]] = [("model", recipe.model.settings)]
    parts += [(f"passes.{label}", step.settings) for label, step in recipe.passes.items()]
    found = [f"{key}.{setting}: {text}" for key, settings in parts for setting, text in settings.problems()]
    how = getattr(recipe.data.settings, "preprocessing", None)
    if isinstance(how, Preprocessing) and how.channels is not None and how.image_size is not None:
        shape = (how.channels, *how.image_size)
        found += [f"{key}.{setting}: {text}" for key, settings in parts for setting, text in settings.misfits(shape)]
    name, task = _task(recipe)
    if task is not None and task.trains and not task.one_class:
        found += [
            f"passes.{label}: {one_class_only(step.name, name)}"
            for label, step in recipe.passes.items()
            if step.settings.one_class_only()
        ]
    names = recipe.data.settings.input_names()
    found += [f"{key}.{setting}: {text}" for key, settings in parts for setting, text in settings.inputs_misfit(names)]
    learning = [label for label, step in recipe.passes.items() if step.settings.learns()]
    if learning and task is not None and not task.trains:
        found.append(f"passes.{learning[0]}: it trains, and the task '{name}' does not: remove the step")
    elif learning and (why := recipe.data.settings.no_training()):
        found.append(f"passes.{learning[0]}: it trains, but {why}, or remove the step")
    return found
