"""`edgepipe verify`: a run's deployed file, or any ONNX file, on other processors and runtimes."""

from __future__ import annotations

from pathlib import Path

from edgepipe.base.disk import refuse_unwritable
from edgepipe.base.files import is_file
from edgepipe.base.suggest import did_you_mean
from edgepipe.engine.verified import examples_for, model_of, ran_of, record_proofs, refuse_changed
from edgepipe.errors import RecipeError
from edgepipe.plugins import entries
from edgepipe.records.metrics import read_metrics
from edgepipe.report.table import goal_line, rich_proofs
from edgepipe.report.terminal import Arguments, LiveWatcher, output_console, print_note
from edgepipe.store.store import Store
from edgepipe.verify.settings import AGREEMENT, EXAMPLES


def main_verify(argv: list[str]) -> int:
    """`edgepipe verify RUN_OR_FOLDER --on x86_avx2,...`."""
    known = list(entries("places"))
    parser = Arguments(
        "edgepipe verify",
        description="Run a deployed file on other processors and runtimes, and compare its answers with those of this "
        "machine. Of a run, the results go into its metrics.json and report.",
    )
    parser.add_argument("what", type=Path, help="a run's folder, a folder with model.onnx, or an ONNX file")
    parser.add_argument("--on", default=",".join(known), help=f"targets, with commas; of {', '.join(known)}")
    parser.add_argument(
        "--inputs", type=Path, help=".npz with an array for each input and `labels`, where there is no run's data"
    )
    parser.add_argument("--examples", type=int, help=f"examples to run, at most (default: as the run, or {EXAMPLES})")
    parser.add_argument("--agreement", type=float, help=f"share that must agree (default: as the run, or {AGREEMENT})")
    parser.add_argument("--require-verify", action="store_true", help="what this machine cannot run has failed")
    parser.add_argument("--store", type=Path, help="store of finished work (default: as the run, or outputs/.store)")
    args = parser.read(argv)
    if args is None:
        return 0
    wanted = [name.strip() for name in args.on.split(",") if name.strip()]
    if not wanted:
        raise RecipeError(f"command line: verify: --on: name at least one of {', '.join(known)}")
    for name in wanted:
        if name not in known:
            raise RecipeError(f"command line: verify: --on: unknown '{name}'.{did_you_mean(name, known)}")
    if args.examples is not None and args.examples < 1:
        raise RecipeError(f"command line: verify: --examples must be at least 1, found {args.examples}")
    if args.agreement is not None and not 0 <= args.agreement <= 1:  # neither is NaN
        raise RecipeError(f"command line: verify: --agreement must be in [0, 1], found {args.agreement}")
    ran = ran_of(args.what)
    model = model_of(args.what)
    run = args.what if args.inputs is None and is_file(args.what / "metrics.json") else None
    if run is not None:
        refuse_changed(run, model)
        refuse_unwritable("verify", run, f"Verify the file by itself: edgepipe verify {model} --inputs FILE.npz")
    store = Store(args.store or Path(ran.store.root), print_note)
    from edgepipe.verify.prove import complaint, prove

    with store.in_use(), LiveWatcher() as watcher:
        count = args.examples or ran.verify_examples
        watcher.begin("verify", 1, 1)
        proofs = prove(
            model,
            examples_for(args.inputs, args.what, ran, store, count),
            wanted,
            store,
            agreement=args.agreement if args.agreement is not None else ran.verify_agreement,
            require=args.require_verify,
            progress=watcher.progress,
        )

    output_console().print(rich_proofs(proofs, read_metrics(run).task if run else None), soft_wrap=True)
    missed = False
    if run is not None:
        for line in record_proofs(run, proofs, ran.target):
            output_console().print(goal_line(line), markup=False, soft_wrap=True)
            missed = missed or not line.met
    return 1 if missed or complaint(proofs) else 0
