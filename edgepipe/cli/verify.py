"""`edgepipe verify`: a run's deployed file, or any ONNX file, on other processors and runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgepipe.base.disk import refuse_unwritable
from edgepipe.base.files import is_file, is_there, write_text
from edgepipe.contract.artifact import ONNX_FILE, Task, file_sha256
from edgepipe.data.task import with_task
from edgepipe.errors import EdgepipeError, InputError, RecipeError
from edgepipe.plugins import did_you_mean, source_class
from edgepipe.recipe.files import read_yaml
from edgepipe.recipe.schema import StoreSettings
from edgepipe.records.metrics import GoalResult, Metrics, Proof, read_metrics
from edgepipe.records.run_folder import refuse_another
from edgepipe.report.terminal import Arguments, LiveWatcher, error_console, output_console
from edgepipe.store.store import Store
from edgepipe.targets.profile import Target
from edgepipe.verify.settings import AGREEMENT, EXAMPLES, TARGETS


def main_verify(argv: list[str]) -> int:
    """`edgepipe verify RUN_OR_FOLDER --on x86_avx2,...`."""
    parser = Arguments(
        "edgepipe verify",
        description="Run a deployed file on other processors and runtimes, and compare its answers with those of this "
        "machine. Of a run, the results go into its metrics.json and report.",
    )
    parser.add_argument("what", type=Path, help="a run's folder, a folder with model.onnx, or an ONNX file")
    parser.add_argument("--on", default=",".join(TARGETS), help=f"targets, with commas; of {', '.join(TARGETS)}")
    parser.add_argument("--inputs", type=Path, help=".npz with `images` and `labels`, where there is no run's data")
    parser.add_argument("--examples", type=int, help=f"examples to run, at most (default: as the run, or {EXAMPLES})")
    parser.add_argument("--agreement", type=float, help=f"share that must agree (default: as the run, or {AGREEMENT})")
    parser.add_argument("--require-verify", action="store_true", help="what this machine cannot run has failed")
    parser.add_argument("--store", type=Path, help="store of finished work (default: as the run, or outputs/.store)")
    args = parser.read(argv)
    if args is None:
        return 0
    wanted = [name.strip() for name in args.on.split(",") if name.strip()]
    if not wanted:
        raise RecipeError(f"command line: verify: --on: name at least one of {', '.join(TARGETS)}")
    for name in wanted:
        if name not in TARGETS:
            raise RecipeError(f"command line: verify: --on: unknown '{name}'.{did_you_mean(name, TARGETS)}")
    if args.examples is not None and args.examples < 1:
        raise RecipeError(f"command line: verify: --examples must be at least 1, found {args.examples}")
    if args.agreement is not None and not 0 <= args.agreement <= 1:  # neither is NaN
        raise RecipeError(f"command line: verify: --agreement must be in [0, 1], found {args.agreement}")
    ran = _ran(args.what)
    model = _model(args.what)
    run = args.what if args.inputs is None and is_file(args.what / "metrics.json") else None
    if run is not None:
        _check_unchanged(run, model)
        refuse_unwritable("verify", run, f"Verify the file by itself: edgepipe verify {model} --inputs FILE.npz")
    store = Store(args.store or Path(ran.store.root), _note)
    from edgepipe.verify.prove import complaint, prove

    with store.in_use(), LiveWatcher() as watcher:
        count = args.examples or ran.verify_examples
        watcher.begin("verify", 1, 1)
        proofs = prove(
            model,
            _examples(args.inputs, args.what, ran, store, count),
            wanted,
            store,
            agreement=args.agreement if args.agreement is not None else ran.verify_agreement,
            require=args.require_verify,
            progress=watcher.progress,
        )
    from edgepipe.report.table import goal_line, rich_proofs

    output_console().print(rich_proofs(proofs), soft_wrap=True)
    missed = False
    if run is not None:
        for line in _record(run, proofs, ran.target):
            output_console().print(goal_line(line), markup=False, soft_wrap=True)
            missed = missed or not line.met
    return 1 if missed or complaint(proofs) else 0


def main_targets(argv: list[str]) -> int:
    """`edgepipe targets`: what this machine can verify; `targets install NAME ...` prepares it."""
    from edgepipe.verify.targets import INSTALLERS, target_of

    parser = Arguments("edgepipe targets", description="What `verify` can run here, and how to get what is lacking.")
    parser.add_argument("do", nargs="?", choices=["install"], help=f"prepare {' or '.join(INSTALLERS)}")
    parser.add_argument("names", nargs="*", help="what to install")
    parser.add_argument("--missing", action="store_true", help="leave what is installed already as it is")
    args = parser.read(argv, mixed=True)
    if args is None:
        return 0
    if args.do == "install" and not args.names:
        raise RecipeError(f"command line: targets install: say what, one of: {', '.join(INSTALLERS)}")
    for name in args.names:
        if name not in INSTALLERS:
            hint = did_you_mean(name, INSTALLERS)
            if name in TARGETS:
                lacking = target_of(name).lacking()
                hint = " It is ready here" if lacking is None else f" It lacks: {lacking}"
            raise RecipeError(f"command line: targets install: nothing to install for '{name}'.{hint}")
    console = output_console()
    for name in args.names:
        if args.missing and target_of(name).lacking() is None:
            continue
        place = INSTALLERS[name](_note)
        console.print(f"{name}: installed in {place}", markup=False)
    if args.do is None:
        for name in TARGETS:
            lacking = target_of(name).lacking()
            places = ", ".join(place.name for place in target_of(name).places())
            console.print(f"{name}: {lacking or 'ready: ' + places}", markup=False)
    return 0


def _note(text: str) -> None:
    error_console().print(f"note: {text}", markup=False)


class _Ran(BaseModel):
    """What `verify` needs of the composed recipe beside a run's metrics."""

    model_config = ConfigDict(extra="ignore")

    store: StoreSettings = StoreSettings()
    verify_examples: int = Field(EXAMPLES, ge=1)
    verify_agreement: float = Field(AGREEMENT, ge=0, le=1)
    task: Task | None = None
    data: dict[str, Any] | None = None
    target: Target | None = None


def _ran(what: Path) -> _Ran:
    """The recipe of a run; the defaults where there is none.

    Raises:
        InputError: it cannot be read, or is not what a run writes.
    """
    path = what / "recipe.yaml"
    if not is_there(path):
        return _Ran()
    try:
        return _Ran.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "recipe"
        raise InputError(f"{path}: {key}: {first['msg']}. It is not as the run wrote it: run it again") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def _check_unchanged(run: Path, model: Path) -> None:
    """Refuse another file in the place of the one that the run made: its proof would be the run's.

    Raises:
        InputError: names the file and both digests.
    """
    refuse_another(run, ONNX_FILE, file_sha256(model))


def _model(what: Path) -> Path:
    for path in (what, what / "final" / ONNX_FILE, what / ONNX_FILE):
        if is_file(path):
            return path
    raise InputError(f"{what}: no model there: name a run's folder, a folder with {ONNX_FILE}, or an ONNX file")


def _examples(inputs: Path | None, what: Path, ran: _Ran, store: Store, count: int) -> Any:
    from edgepipe.verify.prove import examples_of, examples_of_arrays

    if inputs is not None:
        images, labels = _arrays(inputs)
        return examples_of_arrays(images[:count], None if labels is None else labels[:count])
    if ran.data is None:
        raise InputError(f"{what}: no run's recipe.yaml beside it, so there are no examples: add --inputs FILE.npz")
    settings = dict(ran.data)
    try:
        data = source_class("data", settings.pop("source", None)).model_validate(settings)
    except ValueError as error:
        raise InputError(f"{what / 'recipe.yaml'}: data: {error}") from None
    return examples_of(with_task(data.open(store.cache), ran.task), count)


def _arrays(path: Path) -> tuple[Any, Any]:
    """`images` of an .npz, (n, ...), and its labels, int64 (n,), where it has any."""
    from edgepipe.data.arrays import NAMES
    from edgepipe.data.npz_file import read_npz

    arrays = read_npz(path, (*NAMES, "labels"))
    name = next((name for name in NAMES if name in arrays), None)
    if name is None:
        raise InputError(f"{path}: no array `images` in it")
    images, labels = arrays[name], arrays.get("labels")
    if images.ndim < 2 or 0 in images.shape:
        raise InputError(f"{path}: `{name}` has shape {images.shape}: give (examples, ...), as in (200, 3, 224, 224)")
    if labels is None:
        return images, None
    if labels.shape != images.shape[:1]:
        raise InputError(f"{path}: `labels` have shape {labels.shape}, but there are {len(images)} examples")
    if labels.dtype.kind == "f" and not (labels % 1 == 0).all():  # NaN and infinity are not either
        raise InputError(f"{path}: `labels` are no classes: give whole numbers, or leave them out")
    return images, labels.astype("int64")


def _record(run: Path, proofs: list[Proof], target: Target | None) -> list[GoalResult]:
    """The proofs into the run's metrics and report; those of other targets, and of what is skipped now, stay.

    Returns:
        The lines of the goal that rest on a time measured just now; all lines are judged again.
    """
    from edgepipe.engine.run import judged, status_of
    from edgepipe.report.html import write_report
    from edgepipe.targets.estimate import estimates

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
            wanted = {line.name: line.wanted for line in goal}
            goal = judged(wanted, metrics.final, metrics.versus_baseline, found)
            update |= {"estimates": found, "goal": goal}
            if any(proof.target == target.verify and proof.latency_p50_ms is not None for proof in proofs):
                rests = [line for line in goal if line.name in ("latency_ms", "energy_mj")]
        update["status"] = status_of(goal, every)
    updated: Metrics = metrics.model_copy(update=update)
    try:
        write_text(run / "metrics.json", updated.model_dump_json(indent=1, by_alias=True))
        write_report(updated, run / "report.html")
    except OSError as error:
        raise EdgepipeError(f"{run}: the proofs cannot be written: {error.strerror or error}") from None
    return rests
