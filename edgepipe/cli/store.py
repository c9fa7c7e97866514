"""`edgepipe store ls|verify|gc`: look after the stored steps."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

from rich import box
from rich.table import Table

from edgepipe.base.files import is_folder
from edgepipe.errors import InputError, RecipeError
from edgepipe.report.terminal import Arguments, output_console, print_note
from edgepipe.store.collection import collect, verify
from edgepipe.store.collection import rooms as rooms_of
from edgepipe.store.store import Store

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def main_store(argv: list[str]) -> int:
    """`edgepipe store ls|verify|gc`."""
    verbs = {"ls": _ls, "verify": _verify, "gc": _gc}
    if not argv or argv[0] in ("-h", "--help"):
        output_console().print(
            "edgepipe store ls [--root DIR]                         what is stored, oldest use first\n"
            "edgepipe store verify [--root DIR]                     read everything against its digests\n"
            "edgepipe store gc --keep-bytes N [--root DIR] [--dry-run]  remove the least recently used, as in 20G",
            markup=False,
        )
        return 0
    if argv[0] not in verbs:
        raise RecipeError(f"command line: store: unknown '{argv[0]}'. One of: {', '.join(verbs)}")
    return verbs[argv[0]](argv[1:])


def _parser(verb: str, description: str) -> Arguments:
    parser = Arguments(f"edgepipe store {verb}", description=description)
    parser.add_argument("--root", type=Path, default=Path("outputs/.store"), help="the store (default: outputs/.store)")
    return parser


def _open(root: Path) -> Store:
    if not is_folder(root / "steps"):
        raise InputError(f"{root}: no store there. Name it with --root DIR, as store.root=DIR did for the run")
    return Store(root, print_note)


def _ls(argv: list[str]) -> int:
    args = _parser("ls", "What is stored, least recently used first.").read(argv)
    if args is None:
        return 0
    rooms = rooms_of(_open(args.root).root)
    table = Table(box=box.MARKDOWN, padding=(0, 1))
    for column in ("what", "pass", "label", "key", "bytes", "last used"):
        table.add_column(column, justify="right" if column == "bytes" else "left", no_wrap=True)
    for room in rooms:
        name, label = room.named()
        used = datetime.datetime.fromtimestamp(room.used).strftime("%Y-%m-%d %H:%M")
        table.add_row(room.room, name, label, room.path.name[:12], f"{room.size_bytes:,}", used)
    console = output_console()
    console.print(table)
    console.print(
        f"{len(rooms)} entries, {sum(room.size_bytes for room in rooms):,} bytes in {args.root}", markup=False
    )
    return 0


def _verify(argv: list[str]) -> int:
    args = _parser("verify", "Read every entry against its digests; exit 1 if one is damaged.").read(argv)
    if args is None:
        return 0
    good, damaged = verify(_open(args.root))
    output_console().print(f"{good} entries are whole, {len(damaged)} damaged", markup=False)
    return 1 if damaged else 0


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?", text.strip().lower())
    if found is None or found[2] not in _UNITS or len(text) > 30:
        raise RecipeError(f"command line: --keep-bytes: '{text}' is no size. Give bytes, or as in 500M, 20G, 16GiB")
    return int(float(found[1]) * _UNITS[found[2]])


def _gc(argv: list[str]) -> int:
    parser = _parser("gc", "Remove what killed processes left, then the least recently used entries.")
    parser.add_argument("--keep-bytes", required=True, help="bytes that may stay, as in 20G")
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")
    args = parser.read(argv)
    if args is None:
        return 0
    keep = _bytes(args.keep_bytes)
    removed = collect(_open(args.root), keep, dry_run=args.dry_run)
    verb = "would be removed" if args.dry_run else "removed"
    size = sum(room.size_bytes for room in removed)
    output_console().print(f"{len(removed)} entries {verb}, {size:,} bytes", markup=False)
    return 0
