"""One network through its chains, in a process of its own."""

from __future__ import annotations

import io
import os
import re
import shutil
import time
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.zoo.brought import EXAMPLES, Brought, Network
from benchmarks.zoo.outcome import Outcome, Row

if TYPE_CHECKING:
    from edgepipe.records.metrics import Metrics

QUICK = (
    "task=agreement",
    "measure.latency_seconds=0.2",
    "measure.audit_runs=2",
    "measure.probe_runs=1",
    f"measure.batch_size={EXAMPLES}",
)
CUT = """# @package _global_
defaults:
  - /model: ???
  - /data: ???
  - /target: host
  - _self_

description: a quarter of the channels cut, int8

passes:
  cut: {pass: prune_channels, ratio: 0.25}
  quantize: {pass: quantize_static}
"""
_HARDLY = 1e-4
"""Variance of an output, as a share of its mean square, below which R2 says nothing."""


def run(network: Network, folder: Path, seed: int) -> Row:
    """Make it and run its chains; `folder` is emptied of all but log and records afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    work = folder / "work"
    work.mkdir()
    log = (folder / "log.txt").open("w", encoding="utf-8")
    try:
        with redirect_stdout(log), redirect_stderr(log):
            return _run(network, work, seed)
    finally:
        log.close()
        for part in ("int8", "cut"):
            record = work / part / "metrics.json"
            if record.is_file():
                shutil.copy(record, folder / f"{part}.json")
        shutil.rmtree(work)


def _run(network: Network, work: Path, seed: int) -> Row:
    try:
        brought = network.make(work, seed)
        words = [*brought.words, *_data(brought, work, seed), *QUICK, f"store.root={work / 'store'}"]
    except Exception as error:
        traceback.print_exc()
        failed = Outcome(verdict="failed", why=f"not made: {type(error).__name__}: {_line(str(error))}")
        return Row(name=network.name, family=network.family, chains={"int8": failed})
    chains = {"int8": [f"recipe={brought.recipe}", "~goal", "~passes.export"]}
    if brought.torch:
        (work / "cut_int8.yaml").write_text(CUT, encoding="utf-8")
        chains["cut"] = [f"recipe={work / 'cut_int8.yaml'}"]
    found, size = {}, None
    for chain, first in chains.items():
        started = time.monotonic()
        outcome, bytes_of = _chain([*first, *words, f"hydra.run.dir={work / chain}"], work / chain)
        found[chain] = outcome.model_copy(update={"seconds": round(time.monotonic() - started, 1)})
        size = bytes_of or size
    return Row(
        name=network.name,
        family=network.family,
        megabytes=None if size is None else round(size / 1e6, 3),
        recipe=brought.recipe,
        chains=found,
    )


def _data(brought: Brought, work: Path, seed: int) -> list[str]:
    found = ["data=npz"]
    for at, split in enumerate(("calibration", "evaluation")):
        path = work / f"{split}.npz"
        np.savez(path, **brought.examples(seed + 100 + at, EXAMPLES))  # type: ignore[arg-type]
        found.append(f"data.{split}={path}")
    if brought.state:
        found += [f"+data.state={{{','.join(map(':'.join, brought.state.items()))}}}", f"data.steps={brought.steps}"]
    return found


def _chain(argv: list[str], folder: Path) -> tuple[Outcome, int | None]:
    """(what became of it, bytes of the float file)."""
    from edgepipe.__main__ import main
    from edgepipe.records.metrics import read_metrics

    said = io.StringIO()
    try:
        with redirect_stderr(said):
            code = main(argv)
    except (Exception, SystemExit) as error:  # a defect: nothing but an exit code may come out of it
        traceback.print_exc()
        return Outcome(verdict="failed", why=f"{type(error).__name__}: {_line(str(error))}"), None
    text = said.getvalue()
    print(text)
    if not (folder / "metrics.json").is_file():
        return Outcome(verdict="refused", why=_last(text)), None
    metrics = read_metrics(folder)
    size = None if metrics.baseline is None else metrics.baseline.size_bytes
    if code or metrics.failure is not None:
        why = metrics.failure.message if metrics.failure else _last(text)
        if re.match(r"(interrupted|ended by SIG)", why):  # stopped from outside: no row, so that it is run again
            raise KeyboardInterrupt(why)
        defect = "internal" in text.lower() or "traceback" in text.lower()
        return Outcome(verdict="failed" if defect else "refused", why=_line(why)), size
    assert metrics.versus_baseline is not None
    versus = metrics.versus_baseline
    kept = _kept(metrics, folder)
    return Outcome.measured(kept, versus.times_smaller, versus.times_faster, 0.0), size


def _kept(metrics: Metrics, folder: Path) -> float:
    """R2 of the worst output of the int8 file against the float file that was quantized, on the evaluation examples."""
    from edgepipe.contract.artifact import ONNX_FILE, open_artifact
    from edgepipe.onnx.answers import NamedAnswers
    from edgepipe.onnx.sequences import opened

    files = [step.artifact for step in metrics.passes if step.artifact is not None]
    at = next(number for number, step in enumerate(metrics.passes) if step.label == "quantize")
    signature = open_artifact(folder / files[at].path).signature
    with np.load(folder.parent / "evaluation.npz", allow_pickle=False) as stored:
        given = {name: stored[name] for name in stored.files}
    if len(given) == 1 and signature.inputs[0].name not in given:
        given = {signature.inputs[0].name: next(iter(given.values()))}
    now, was = (
        NamedAnswers(opened(folder / files[number].path / ONNX_FILE, signature))(given) for number in (at, at - 1)
    )
    return min(_share(np.asarray(now[name]), np.asarray(value)) for name, value in was.items())


def _share(now: Any, was: Any) -> float:
    if now.shape != was.shape:
        return 0.0
    now, was = now.astype(np.float64), was.astype(np.float64)
    error = float(((now - was) ** 2).sum())
    varied, whole = float(((was - was.mean(0)) ** 2).sum()), float((was**2).sum())
    if varied <= _HARDLY * whole:
        return float((now * was).sum() / max(np.sqrt((now**2).sum() * whole), 1e-30))
    return 1 - error / varied


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith("error")] or text.strip().splitlines()
    return _line(lines[-1]) if lines else "no output"


def _line(text: str) -> str:
    """Short, in one line, without paths of this machine and what would end a cell of a table."""
    line = re.sub(r"(/[\w.\-]+){2,}/", "", " ".join(text.split())).replace("|", "/")
    return line if len(line) <= 160 else line[:157] + "..."


def child(name: str, folder: str, packages: str | None, seed: int) -> None:
    """Entry of the process: writes `row.json` into the folder, last of all and at once."""
    import torch

    from benchmarks.zoo.world import by_name

    os.setsid()  # whatever it starts ends with it
    os.environ["PYTHONHASHSEED"] = "0"
    torch.set_num_threads(1)
    network = by_name(Path(packages) if packages else None)[name]
    row = run(network, Path(folder), seed)
    part = Path(folder) / "row.part"
    part.write_text(row.model_dump_json(indent=1), encoding="utf-8")
    part.replace(Path(folder) / "row.json")
