"""`edgepipe bundle verify|serve DIR`: check what is deployed, and try it in a browser."""

from __future__ import annotations

from pathlib import Path

from edgepipe.bundle.manifest import bundle_folder, read_bundle
from edgepipe.errors import InputError, RecipeError
from edgepipe.report.terminal import Arguments, output_console, print_error, print_note


def main_bundle(argv: list[str]) -> int:
    """`edgepipe bundle verify|serve DIR`."""
    parser = Arguments("edgepipe bundle", description="Check a bundle (a run's final/ folder), or serve its page.")
    parser.add_argument("do", choices=["verify", "serve"], help="verify: digests and golden outputs; serve: the page")
    parser.add_argument("folder", type=Path, help="a run's folder or its final/")
    parser.add_argument("--port", type=int, default=8000, help="of the page, on this computer only; 0: any")
    args = parser.read(argv)
    if args is None:
        return 0
    if not 0 <= args.port <= 65535:
        raise RecipeError(f"command line: bundle: --port must be in 0 to 65535, found {args.port}")

    folder = bundle_folder(args.folder)
    return _verify(folder) if args.do == "verify" else _serve(folder, args.port)


def _verify(folder: Path) -> int:
    from edgepipe.bundle.verify import edited, problems

    bundle, wrong = problems(folder)
    for text in wrong:
        print_error(f"{folder}: {text}")
    if not wrong:
        how = "bit for bit" if bundle.bit_identical else f"within {bundle.tolerance:g}"
        output_console().print(
            f"{folder}: {bundle.name}: {len(bundle.files)} files as sealed, golden outputs met {how}", markup=False
        )
    changed = edited(folder, bundle) if not wrong else []
    if changed:
        print_note(
            f"{folder}: {', '.join(changed)}: not as this version of edgepipe writes it: by another version, or "
            "changed before it was sealed. Read it before you run or serve it"
        )
    return 1 if wrong else 0


def _serve(folder: Path, port: int) -> int:
    """edgepipe's own server over a bundle that is whole: nothing that lies in the bundle runs on this computer."""
    from edgepipe.bundle.serve import give_runtime, serve
    from edgepipe.bundle.verify import problems

    if "index.html" not in read_bundle(folder).files:
        raise InputError(f"{folder}: no page: only models of one picture or one sound have one")
    bundle, wrong = problems(folder)
    for text in wrong:
        print_error(f"{folder}: {text}")
    if wrong:
        return 1
    give_runtime(folder, bundle)
    complaint = serve(folder, port)
    if complaint is not None:
        print_error(complaint)
    return 1 if complaint else 0
