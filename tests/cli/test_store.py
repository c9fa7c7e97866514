"""Looking after the store: explain, ls, verify, gc."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgepipe.__main__ import main
from edgepipe.engine import step
from edgepipe.records.metrics import read_metrics
from edgepipe.store.collection import collect
from edgepipe.store.collection import rooms as rooms_of
from edgepipe.store.store import Store
from edgepipe.targets import host as machine
from tests.small import arguments, npz


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    assert main(arguments(folder, f"hydra.run.dir={folder}/a")) == 0
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def test_explain_names_what_differed(made: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(made, f"hydra.run.dir={made}/b", "passes.quantize.observer=min_max")) == 0
    because = {step.label: step.computed_because for step in read_metrics(made / "b").passes}
    assert because["load"] == []
    assert because["quantize"] == ['settings.observer: absent -> "min_max"']
    assert because["export"] == ["input: another model comes in from the step before"]
    capfd.readouterr()
    assert main(["explain", str(made / "b")]) == 0
    out = capfd.readouterr().out
    assert "nothing it depends on changed" in out
    assert 'settings.observer: absent -> "min_max"' in out


_EVALUATION = "data.evaluation={folder}/other.npz"


@pytest.mark.parametrize(
    ("differs", "why"),
    [
        ("measure.latency_seconds=0.1", "settings.latency_seconds: 0.05 -> 0.1"),
        (_EVALUATION, "evaluation data: other content"),
        ("machine", "machine: another one, or another processor, number of cores"),
        ("code", "code: the source of the measurements changed"),
        ("damage", "the stored measurement was damaged"),
    ],
)
def test_explain_says_why_a_measurement_was_repeated(
    differs: str, why: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    overrides = [differs.format(folder=folder)] if "=" in differs else []
    if differs == _EVALUATION:
        npz(folder / "other.npz", 100, 7)
    elif differs == "machine":
        monkeypatch.setattr(machine, "fingerprint", lambda: "another")
    elif differs == "code":
        monkeypatch.setattr(step, "module_digest", lambda *_: "another")
    elif differs == "damage":
        for file in (folder / "store" / "measurements").glob("*/measured.json"):
            file.write_text("{")
    assert main(arguments(folder, f"hydra.run.dir={folder}/b", *overrides)) == 0
    steps = read_metrics(folder / "b").passes
    assert all(step.cached and not step.measurement_cached for step in steps if step.label != "export")
    assert all(why in "; ".join(step.measured_because) for step in steps if step.label != "export")
    capfd.readouterr()
    assert main(["explain", str(folder / "b")]) == 0
    out = capfd.readouterr().out
    (load,) = [line for line in out.splitlines() if line.startswith("| load")]
    assert f"measured: {why}" in load


def test_a_new_model_and_another_baseline_are_told_apart(folder: Path) -> None:
    assert main(arguments(folder, f"hydra.run.dir={folder}/b", "passes.quantize.observer=percentile")) == 0
    because = {step.label: step.measured_because for step in read_metrics(folder / "b").passes}
    assert because["load"] == []
    assert because["quantize"] == ["this model was not measured before"]
    assert main(arguments(folder, f"hydra.run.dir={folder}/c", "baseline=quantize")) == 0
    because = {step.label: step.measured_because for step in read_metrics(folder / "c").passes}
    assert "it is compared with another baseline" in because["quantize"]


def test_changed_data_and_seed_are_named(made: Path) -> None:
    argv = arguments(made, f"hydra.run.dir={made}/c", "seed=5", "data.calibration_size=10")
    assert main(argv) == 0
    because = {step.label: step.computed_because for step in read_metrics(made / "c").passes}
    assert "seed: 0 -> 5" in because["quantize"]
    assert any(text.startswith("data.calibration: other content") for text in because["quantize"])


@pytest.mark.parametrize("label", ["load", "quantize", "export"])
def test_verify_finds_a_flipped_byte_and_the_next_run_computes_it_again(
    label: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = folder / "store"
    assert main(["store", "verify", "--root", str(root)]) == 0
    keys = {step.label: step.key for step in read_metrics(folder / "a").passes}
    victim = next(root.glob(f"steps/{keys[label]}*/artifact/model.onnx"))
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 255
    victim.write_bytes(bytes(content))
    assert main(["store", "verify", "--root", str(root)]) == 1
    assert "1 damaged" in capfd.readouterr().out
    assert main(arguments(folder, f"hydra.run.dir={folder}/d", f"store.root={root}")) == 0
    assert [step.label for step in read_metrics(folder / "d").passes if not step.cached] == [label]


def test_gc_keeps_the_most_recently_used(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = folder / "store"
    rooms = rooms_of(root)
    keep = sum(room.size_bytes for room in rooms) - 1
    assert main(["store", "gc", "--keep-bytes", str(keep), "--root", str(root), "--dry-run"]) == 0
    assert "1 entries would be removed" in capfd.readouterr().out
    assert len(rooms_of(root)) == len(rooms)
    assert main(["store", "gc", "--keep-bytes", str(keep), "--root", str(root)]) == 0
    assert [room.path for room in rooms_of(root)] == [room.path for room in rooms[1:]]
    assert main(["store", "gc", "--keep-bytes", "0", "--root", str(root)]) == 0
    assert rooms_of(root) == []
    assert main(arguments(folder, f"hydra.run.dir={folder}/e", f"store.root={root}")) == 0


def test_gc_clears_what_a_killed_process_left_but_not_what_is_being_written(folder: Path) -> None:
    store = Store(folder / "store")
    left = store.root / "tmp" / ("deadbeef" * 4)
    left.mkdir()
    (left / "half").write_bytes(b"x" * 1000)
    with store.workspace() as space:
        (space / "now").write_bytes(b"y")
        collect(store, 10**12)
        assert (space / "now").is_file()
    assert not left.exists()


def test_gc_refuses_while_a_run_reads_the_store(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = Store(folder / "store")
    with store.in_use():
        assert main(["store", "gc", "--keep-bytes", "0", "--root", str(store.root)]) == 1
    assert "1 run(s) are using this store" in capfd.readouterr().err
    assert main(["store", "gc", "--keep-bytes", "0", "--root", str(store.root)]) == 0


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["store", "gc", "--keep-bytes", "4x"], "'4x' is no size"),
        (["store", "gc", "--keep-bytes", "9" * 400], "9' is no size"),
        (["store", "ls", "--root", "/nowhere"], "no store there"),
        (["store", "wipe"], "unknown 'wipe'"),
        (["explain", "/nowhere"], "no such file"),
    ],
)
def test_wrong_use_exits_2(argv: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert said in capfd.readouterr().err
