"""`edgepipe compress MODEL --data PLACE`: recipe, run and bundle in one go."""

from __future__ import annotations

from pathlib import Path

from edgepipe.cli.new import drafted, options, wish_of, write_recipe


def main_compress(argv: list[str]) -> int:
    """`edgepipe compress MODEL --data PLACE [--task …] [--target …] [--drop …]`; exit codes are those of a run."""
    parser = options("compress", "Look at a model and at examples, write a recipe and run it, to a bundle.")
    parser.add_argument("--out", type=Path, help="folder of recipe and run; default: outputs/compress/MODEL_int8")
    args = parser.read(argv, mixed=True)
    if args is None:
        return 0
    found = drafted(wish_of("compress", args))
    folder = args.out or Path("outputs/compress") / found.name
    path = folder.parent / f"{folder.name}.yaml"
    write_recipe(found, path, "compress", argv)
    from edgepipe.cli.job import run_command

    return run_command([f"recipe={path}", f"hydra.run.dir={folder}"])
