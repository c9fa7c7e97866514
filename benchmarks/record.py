"""Run a command and keep what it measured as data, `benchmarks/results/NAME.json`.

    python -m benchmarks.record NAME [options] -- recipe=resnet18_int8 data.image_size=32     a run of edgepipe
    python -m benchmarks.record NAME [options] -- -m recipe=resnet18_int8 passes.prune.ratio=0.1,0.3    a sweep
    python -m benchmarks.record NAME [options] -- python benchmarks/architectures.py …        the last table it prints
    python -m benchmarks.record NAME [options] --run outputs/RECIPE/DATE_TIME                 a run that is finished

Of a run the rows are those of its own table, out of its metrics.json. A second call with the same NAME replaces the
figures and keeps title, page, summary and texts that are not given anew. Then `python -m tests.docs` writes the pages.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.results_file import FOLDER, ROOT, Result, read, write

KEPT = ("title", "page", "order", "summary", "summary_row", "before", "after", "behind")
"""What a second recording leaves as it is, where nothing else is said."""


def main(argv: list[str] | None = None) -> int:
    """Record one result; the exit code is that of the command where it failed."""
    parser = argparse.ArgumentParser("python -m benchmarks.record", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", help="of the file in benchmarks/results/")
    parser.add_argument("--title", help="heading on its page; default: NAME")
    parser.add_argument("--page", help="page of docs/results/; default: NAME")
    parser.add_argument("--order", type=int, help="place on the page")
    parser.add_argument("--summary", help="what the README's table calls it; without: it does not stand there")
    parser.add_argument("--summary-row", type=int, help="which row the README shows; default: the last one")
    parser.add_argument("--before", help="Markdown above the table")
    parser.add_argument("--after", help="Markdown below it: what the figures say")
    parser.add_argument("--behind", nargs="+", metavar="PATH", help="what may move the figures; default: edgepipe")
    parser.add_argument("--machine", help="default: processor, cores and instruction sets of this one")
    parser.add_argument("--commit", help="what a finished run was made with, where it is not what is checked out now")
    parser.add_argument("--run", type=Path, help="a finished run in place of a command")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=argparse.SUPPRESS)
    own, command = _parted(sys.argv[1:] if argv is None else argv)
    args = parser.parse_args(own)
    if bool(command) == bool(args.run):
        parser.error("a command behind --, or a finished run with --run")
    path = args.folder / f"{args.name}.json"
    known = read(path) if path.is_file() else None
    if args.run:
        code, found = 0, _of_run(args.run)
    else:
        code, found = _of_command(args.name, command)
    if not found:
        print(f"nothing recorded: the command ended with {code} and left no table", file=sys.stderr)
        return code or 1
    given = {key: getattr(args, key) for key in (*KEPT, "machine") if getattr(args, key) is not None}
    kept = {key: getattr(known, key) for key in KEPT} if known else {"title": args.name, "page": args.name}
    if args.commit:
        given |= {"commit": _git("rev-parse", args.commit), "dirty": False}
    write(Result.model_validate({**_here(), **found, **kept, **given, "how": "recorded"}), path)
    print(f"{path}: {len(found['rows'])} rows. Now write the pages: python -m tests.docs")
    return code


def _parted(argv: list[str]) -> tuple[list[str], list[str]]:
    """Options of this command, and the command behind `--`."""
    if "--" not in argv:
        return argv, []
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]


def _of_command(name: str, command: list[str]) -> tuple[int, dict[str, Any]]:
    """(exit code, what it measured); nothing where it left no table."""
    if "=" not in command[0] and command[0] not in ("-m", "--multirun"):
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        sys.stdout.write(done.stdout)
        tables = markdown_tables(done.stdout)
        return done.returncode, {**tables[-1], "commands": [_typed(command)]} if tables else {}
    folder = ROOT / "outputs" / "results" / name
    where = "hydra.sweep.dir" if command[0].startswith("-") else "hydra.run.dir"
    line = [sys.executable, "-m", "edgepipe", *command, f"{where}={folder}"]
    code = subprocess.run(line, cwd=ROOT, check=False).returncode
    typed = [f"edgepipe {_typed(command)}"]
    if command[0].startswith("-"):
        table = folder / "sweep.md"
        tables = markdown_tables(table.read_text(encoding="utf-8")) if table.is_file() else []
        return code, {**tables[0], "commands": typed} if tables else {}
    return code, {**_of_run(folder), "commands": typed} if (folder / "metrics.json").is_file() else {}


def _of_run(folder: Path) -> dict[str, Any]:
    """What a run's metrics.json says: its table, its machine, and its final model in numbers."""
    from edgepipe.records.metrics import read_metrics
    from edgepipe.report.table import columns, rows

    metrics = read_metrics(folder)
    if metrics.status == "failed":
        return {}
    record = folder / "metrics.json" if folder.is_dir() else folder
    machine = metrics.environment
    final = metrics.final.model_dump(mode="json") if metrics.final else {}
    versus = metrics.versus_baseline.model_dump(mode="json") if metrics.versus_baseline else {}
    proofs = [{"place": item.where, "alike": item.alike, "identical": item.identical} for item in metrics.proofs]
    return {
        "commands": [f"edgepipe {_typed(_plain(metrics.overrides, metrics.recipe))}"],
        "date": metrics.started[:10],
        "machine": _machine(machine.cpu, machine.cores, machine.instruction_sets, machine.threads),
        "versions": {"edgepipe": machine.edgepipe, "python": machine.python, **machine.libraries},
        "columns": list(columns(metrics)),
        "rows": [list(row) for row in rows(metrics)],
        "run": {
            "recipe": metrics.recipe,
            "status": metrics.status,
            "metrics_sha256": hashlib.sha256(record.read_bytes()).hexdigest(),
            "files": metrics.files,
            "goal": [item.model_dump(mode="json", exclude_defaults=True) for item in metrics.goal],
            "final": {key: value for key, value in final.items() if value is not None},
            "versus_baseline": {key: value for key, value in versus.items() if value is not None and key != "outputs"},
            **({"proofs": proofs} if proofs else {}),
        },
    }


def _plain(overrides: list[str], recipe: str) -> list[str]:
    """A run's words without the folder it was written into."""
    words = [word for word in overrides if not word.startswith("hydra.run.dir=")]
    return words if any(word.startswith("recipe=") for word in words) else [f"recipe={recipe}", *words]


def _typed(command: list[str]) -> str:
    words = ["python" if word == sys.executable else word for word in command]
    return " ".join(word if re.fullmatch(r"[\w@%+=:,./\[\]-]+", word) else shlex.quote(word) for word in words)


def _machine(cpu: str, cores: int, instruction_sets: list[str], threads: int) -> str:
    return f"{cpu}, {cores} cores ({', '.join(instruction_sets)}), {threads} thread(s) for speed"


def _here() -> dict[str, Any]:
    """Commit, date, machine and versions of now, for what no metrics.json says."""
    from edgepipe.targets import host

    return {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--", "edgepipe", "recipes")),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": _machine(host.cpu_name(), host.available_cores(), host.instruction_sets(), 1),
        "versions": host.versions(),
    }


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def markdown_tables(text: str) -> list[dict[str, Any]]:
    """Every table of a text: its columns and rows."""
    tables, lines = [], []
    for line in [*text.splitlines(), ""]:
        if line.lstrip().startswith("|"):
            lines.append([cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")])
            continue
        if len(lines) > 2 and all(re.fullmatch(r":?-+:?", cell) for cell in lines[1]):
            tables.append({"columns": lines[0], "rows": [row for row in lines[2:] if len(row) == len(lines[0])]})
        lines = []
    return tables


if __name__ == "__main__":
    sys.exit(main())
