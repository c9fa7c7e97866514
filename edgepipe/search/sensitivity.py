"""What each layer alone costs, in int8 or pruned, on evaluation examples."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepipe.base.disk import refuse_unwritable
from edgepipe.base.files import read_record, write_text
from edgepipe.base.marks import check, claim, ran_here
from edgepipe.contract import Job, Split
from edgepipe.contract.artifact import Artifact
from edgepipe.engine.step import Steps, incoming
from edgepipe.engine.task import opened
from edgepipe.errors import DataError, EdgepipeError, RecipeError
from edgepipe.passes.prune_channels import PruneChannels
from edgepipe.passes.prune_weights import PruneWeights
from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.recipe.plan import Plan, PlannedStep
from edgepipe.recipe.schema import Recipe
from edgepipe.records.quality import TaskRecord
from edgepipe.records.sensitivity import LayerEffect, Sensitivity
from edgepipe.report.sensitivity import markdown_sensitivity, write_sensitivity
from edgepipe.report.terminal import LiveWatcher
from edgepipe.search.prune_alone import pruned_effects
from edgepipe.store import memo
from edgepipe.store.digests import library_versions, module_digest, package_digest
from edgepipe.store.store import Store
from edgepipe.targets.host import environment

if TYPE_CHECKING:
    from edgepipe.quant.study.answers import Effect

_FILE = "sensitivity.json"


def sensitivity(recipe: Recipe, plan: Plan, *, most: int, ratio: float | None, folder: Path) -> Sensitivity:
    """What each layer alone costs; from the store where it is known.

    Args:
        recipe: with `pixels` resolved.
        most: evaluation examples, at most.
        ratio: share that each prunable layer alone loses; None: none is pruned.
        folder: where the result will be published; what is wrong with it is told before the work.
    """
    quantize = _step(plan, (QuantizeStatic,), "quantize_static")
    prune = None if ratio is None else _step(plan, (PruneChannels, PruneWeights), "prune_channels")
    check(folder, "results", "command line: --out", ran_here)
    refuse_unwritable("command line: --out", folder, "Choose a writable folder")
    with LiveWatcher() as watcher:
        store = Store(Path(recipe.store.root), watcher.notice)
        with store.in_use():
            data, judged = opened(recipe, store)
            for split in (Split.CALIBRATION, Split.EVALUATION):
                if data.count(split) == 0:
                    raise DataError(f"sensitivity needs {split} examples, and the recipe's data has none")
            steps = [step for step in (prune, quantize) if step is not None]
            run = Steps(recipe, plan, Path(), store, data, judged, watcher)
            models, data = incoming(run, {step.label for step in steps}), run.data
            parts: dict[str, Any] = {
                "steps": {step.label: step.settings.settings() for step in steps if step.settings is not None},
                "models": {step.label: models[step.label].digest for step in steps},
                "prune": ratio,
                "task": run.judged.key(),
                "examples": most,
                "data": {str(split): data.digest(split) for split in Split if data.count(split)},
                "seed": recipe.seed,
                "code": [module_digest(__name__), package_digest("data")],
                "libraries": library_versions(("onnxruntime", "onnx", "numpy", "torch", "torch-pruning")),
            }

            def work(space: Path) -> None:
                job = Job(space, space, data, recipe.seed, quantize.label, watcher.progress, task=run.judged.task)
                watcher.begin("sensitivity", len(plan.steps), len(plan.steps))
                result = _measure(recipe.name, quantize, prune, models, job, most, ratio)
                for path in space.iterdir():  # what passes have written meanwhile
                    shutil.rmtree(path)
                write_text(space / _FILE, result.model_dump_json(indent=1))

            found = memo.files(store, parts, "sensitivity", _read, work).content
    told = TaskRecord.of(run.judged.name, run.judged.task)
    return found.model_copy(update={"recipe": recipe.name, "task": told})  # another recipe may have asked the same


def _read(folder: Path) -> Sensitivity:
    return read_record(folder / _FILE, Sensitivity, "It is measured again")


def _step(plan: Plan, kinds: tuple[type, ...], wanted: str) -> PlannedStep:
    for step in plan.steps:
        if isinstance(step.settings, kinds):
            return step
    raise RecipeError(
        f"command line: sensitivity: the recipe has no {wanted} step whose layers could be looked at. Name a recipe "
        "with one, " + ("as in recipe=ptq model=…" if "quantize" in wanted else "or leave --prune out")
    )


def publish(result: Sensitivity, folder: Path) -> None:
    """As JSON, Markdown and HTML.

    Raises:
        EdgepipeError: the folder cannot be written.
    """

    try:
        claim(folder, "results", "command line: --out", ran_here)
        write_text(folder / _FILE, result.model_dump_json(indent=1) + "\n")
        write_text(folder / "sensitivity.md", markdown_sensitivity(result))
        write_sensitivity(result, folder / "sensitivity.html")
    except OSError as error:
        raise EdgepipeError(f"--out: {folder}: {error.strerror or error}. Choose a writable folder") from None


def _measure(
    name: str,
    quantize: PlannedStep,
    prune: PlannedStep | None,
    models: dict[str, Artifact],
    job: Job,
    most: int,
    ratio: float | None,
) -> Sensitivity:
    from edgepipe.quant.study.answers import answers, effect, examples_of
    from edgepipe.quant.study.sensitivity import alone, layer_effects

    started = time.perf_counter()
    settings = quantize.settings
    assert isinstance(settings, QuantizeStatic)
    share = 0.5 if prune is not None else 1.0
    quantizer, excluded = settings.quantizer(models[quantize.label], job)
    placement = settings.placed(quantizer.network, excluded, models[quantize.label], quantize.label)
    singles = alone(quantizer)
    if not singles:
        raise EdgepipeError("sensitivity: the model has no convolution or matrix product that could run in int8")
    quantizer.calibrate([placement, *singles.values()])
    quantizer.fit(placement)
    # Of several outputs all are studied side by side, and no task knows them so.
    task = job.task if len(quantizer.network.graph.output) == 1 else None
    with examples_of(quantizer.data, Split.EVALUATION, most, task) as examples:
        wanted = answers(quantizer.network, examples.rows)
        layers = layer_effects(
            quantizer,
            placement,
            singles,
            examples,
            wanted,
            lambda done, text: job.progress(share * done, text),
        )
        every = effect(answers(quantizer.write(placement)[0], examples.rows), wanted, examples)
        before: dict[str, float] = {}
        pruned: list[LayerEffect] = []
        if prune is not None and ratio is not None:
            assert isinstance(prune.settings, (PruneChannels, PruneWeights))
            before, pruned = pruned_effects(
                prune.settings,
                models[prune.label],
                Job(job.out, job.state, job.data, job.seed, prune.label, job.progress),
                examples,
                ratio,
            )
        count = len(examples)
        float_model = effect(wanted, wanted, examples)
    return Sensitivity(
        recipe=name,
        examples=count,
        calibration_examples=job.data.count(Split.CALIBRATION),
        label=quantize.label,
        settings={**settings.settings(), **settings.resolved()},
        quality=float_model.quality,
        every=_whole(every, layers),
        layers=layers,
        prune_label=prune.label if prune else None,
        prune_ratio=ratio,
        prune_quality=before,
        pruned=pruned,
        seconds=round(time.perf_counter() - started, 1),
        environment=environment(threads=1),
    )


def _whole(every: Effect, layers: list[LayerEffect]) -> LayerEffect:
    placed = [layer for layer in layers if layer.int8]
    return LayerEffect(
        name="all layers at once",
        operator=f"{len(placed)} layers",
        weight_shape=[],
        macs=sum(layer.macs for layer in placed),
        sqnr_db=every.sqnr_db,
        error_share=1.0,
        alike=every.alike,
        quality=every.quality,
        float_bytes=sum(layer.float_bytes for layer in placed),
    )
