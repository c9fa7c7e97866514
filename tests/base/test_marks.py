"""What edgepipe did not make is never written over, moved or removed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from edgepipe.__main__ import main
from edgepipe.base.marks import MARK, check, ran_here
from edgepipe.errors import InputError
from edgepipe.store.collection import collect, verify
from edgepipe.store.store import Store
from edgepipe.verify.installed import install_into
from tests.small import arguments

SWEPT = "trust_code: false\nmodel:\n  source: onnx\ndata: {}\nhydra:\n  job: {}\n"
"""What Hydra writes into a sweep's folder, as far as it says whose sweep it was."""


def thesis(folder: Path) -> dict[str, str]:
    """A user's own folder, named as a run's parts are."""
    for name in ("final/model.onnx", "steps/00_load/x", "report.html", "sweep.html", "tmp/draft", "trials/0000/x"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"my {name}")
    return content(folder)


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("how", ["run", "sweep", "job", "search", "sensitivity", "store"])
def test_a_folder_of_the_users_own_stays_as_it_is_and_the_exit_code_is_2(tmp_path: Path, how: str, capfd) -> None:
    mine = tmp_path / ("s/0" if how == "job" else "thesis")
    before = thesis(mine)
    argv = arguments(tmp_path)
    verbs = {
        "run": [*argv, f"hydra.run.dir={mine}"],
        "sweep": ["-m", *argv, f"hydra.sweep.dir={mine}", "seed=0,1"],
        "job": ["-m", *argv, f"hydra.sweep.dir={tmp_path}/s", "seed=0"],
        "search": ["search", *argv, "seed=0,1", "--out", str(mine)],
        "sensitivity": ["sensitivity", *argv, "--out", str(mine)],
        "store": [*argv, f"store.root={mine}", f"hydra.run.dir={tmp_path}/r"],
    }
    if how == "job":
        (tmp_path / "s" / "multirun.yaml").write_text(SWEPT)
    assert main(verbs[how]) == 2
    err = capfd.readouterr().err
    assert "edgepipe did not make" in err
    assert "new or empty" in err
    assert content(mine) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("multirun.yaml", "hydra:\n  job:\n    name: thesis\nlr: 0.1\ndata: x\n"),
        ("study.db", "SQLite format 3\0"),
        ("sweep.json", '{"runs": 3, "sweep": []}'),
        ("sensitivity.json", '{"recipe": "of mine", "layers": []}'),
        ("metrics.json", '{"recipe": "of mine", "top1": 1}'),
        ("metrics.json", "[" * 100_000),
    ],
)
def test_a_file_that_other_programs_write_as_well_makes_no_folder_edgepipes(
    name: str, text: str, tmp_path: Path, capfd
) -> None:
    mine = tmp_path / "thesis"
    thesis(mine)
    (mine / name).write_text(text)
    before = content(mine)
    argv = arguments(tmp_path)
    for words in (
        [*argv, f"hydra.run.dir={mine}"],
        ["-m", *argv, f"hydra.sweep.dir={mine}", "seed=0,1"],
        ["search", *argv, "seed=0,1", "--out", str(mine)],
        ["sensitivity", *argv, "--out", str(mine)],
    ):
        assert main(words) == 2
        assert "edgepipe did not make" in capfd.readouterr().err
        assert content(mine) == before


def test_what_a_sweep_leaves_is_known_without_its_mark(tmp_path: Path) -> None:
    argv = ["-m", *arguments(tmp_path), f"hydra.sweep.dir={tmp_path}/s", "seed=1"]
    assert main(argv) == 0
    (tmp_path / "s" / MARK).unlink(missing_ok=True)
    assert ran_here(tmp_path / "s")
    (tmp_path / "s" / "sweep.json").unlink()
    assert ran_here(tmp_path / "s")  # by Hydra's file, all that a killed sweep leaves


def test_the_jobs_of_a_sweep_that_have_folders_of_their_own_run_and_keep_what_they_were_composed_of(
    tmp_path: Path, capfd
) -> None:
    before = thesis(tmp_path / "s" / "0")
    assert main(["-m", *arguments(tmp_path), f"hydra.sweep.dir={tmp_path}/new/s", "seed=3", "hydra.verbose=true"]) == 0
    (tmp_path / "s" / "multirun.yaml").write_text(SWEPT)
    assert main(["-m", *arguments(tmp_path), f"hydra.sweep.dir={tmp_path}/s", "seed=3,4"]) == 1
    assert "hydra.sweep.subdir: " in capfd.readouterr().err
    assert content(tmp_path / "s" / "0") == before
    for kept in (tmp_path / "s" / "1", tmp_path / "new" / "s" / "0"):
        assert {path.name for path in (kept / ".hydra").iterdir()} == {"config.yaml", "hydra.yaml", "overrides.yaml"}
        assert "seed: " in (kept / ".hydra" / "config.yaml").read_text()
        assert "hydra:" in (kept / ".hydra" / "hydra.yaml").read_text()
        assert (kept / ".hydra" / "overrides.yaml").read_text().startswith("- recipe=ptq\n")


def test_new_empty_and_marked_folders_and_those_of_earlier_versions_are_taken(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    argv = arguments(tmp_path, f"hydra.run.dir={tmp_path}/run")
    assert main(argv) == 0  # empty
    assert (tmp_path / "run" / MARK).read_text().startswith("edgepipe results:")
    (tmp_path / "run" / "metrics.json").unlink()
    assert main(argv) == 0  # marked, as a killed run leaves it
    (tmp_path / "run" / MARK).unlink()
    assert main(argv) == 0  # of an earlier version: its metrics.json says so
    check(tmp_path / "none", "results", "--out", ran_here)
    with pytest.raises(InputError, match="a file, and no folder"):
        check(tmp_path / "run" / "metrics.json", "results", "--out", ran_here)
    (tmp_path / "run" / "metrics.json").unlink()
    (tmp_path / "run" / MARK).write_text("edgepipe store: of another kind")
    with pytest.raises(InputError, match="did not make"):
        check(tmp_path / "run", "results", "--out", ran_here)


@pytest.mark.parametrize("name", [".lock", ".hydra", "edgepipe.log"])
def test_a_marked_folder_from_elsewhere_leads_no_writing_out_of_it(tmp_path: Path, name: str, capfd) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "profile").write_text("mine")
    run = tmp_path / "run"
    run.mkdir()
    (run / MARK).write_text("edgepipe results: made by edgepipe")
    (run / name).symlink_to(tmp_path / "home" / ("" if name == ".hydra" else "profile"))
    (run / "report.html").symlink_to(tmp_path / "home" / "profile")
    argv = arguments(tmp_path, f"hydra.run.dir={run}")
    assert main(argv) == 2
    assert f"{name} there is a link, a pipe" in capfd.readouterr().err
    (run / name).unlink()
    assert main(argv) == 0
    assert content(tmp_path / "home") == {"profile": "mine"}


def test_the_store_leaves_alone_what_is_not_named_as_it_names(tmp_path: Path) -> None:
    for room in ("steps", "measurements", "state", "cache", "tmp", "locks"):
        (tmp_path / "old" / room).mkdir(parents=True)
    store = Store(tmp_path / "old")  # of an earlier version: all its rooms are there
    assert (store.root / MARK).is_file()
    for name in ("steps/mine/a", "measurements/mine/a", "state/x/a", "cache/photo.jpg", "tmp/draft.txt", "damaged/b/c"):
        (store.root / name).parent.mkdir(parents=True, exist_ok=True)
        (store.root / name).write_text("mine")
    stale = store.root / "tmp" / ("0" * 32)
    stale.mkdir()
    before = {name: text for name, text in content(store.root).items() if text == "mine"}
    assert verify(store) == (0, [])
    assert [room.path for room in collect(store, 0)] == [stale]
    assert {name: text for name, text in content(store.root).items() if text == "mine"} == before
    assert len(before) == 6


def of_a_store(root: Path, folder: Path) -> list[list[str]]:
    """Command lines that write into a store, or take away from it."""
    return [
        [*arguments(folder, f"hydra.run.dir={folder}/r"), f"store.root={root}"],
        ["store", "gc", "--root", str(root), "--keep-bytes", "0"],
        ["store", "verify", "--root", str(root)],
    ]


@pytest.mark.parametrize("room", ["tmp", "locks", "cache", "steps", "measurements", "state", "damaged"])
def test_a_store_whose_folders_are_links_to_the_users_removes_nothing_there(room: str, tmp_path: Path, capfd) -> None:
    mine, root = tmp_path / "mine", tmp_path / "store"
    Store(root)
    for name in ("gone-fishing/x", "thesis.lock", "run-2024.lock", "old.new", "probe-1", f"{'a' * 40}/x", "b" * 32):
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).write_text("mine")
        os.utime(mine / name, (1, 1))
    if (root / room).exists():
        shutil.rmtree(root / room)
    (root / room).symlink_to(mine)
    before = content(mine)
    for words in of_a_store(root, tmp_path):
        assert main(words) == 2
        assert f"{root / room}: a link or a file" in capfd.readouterr().err
    assert content(mine) == before
    assert len(before) == 7


def test_a_lock_that_is_a_link_is_named_and_not_followed(tmp_path: Path, capfd) -> None:
    root = tmp_path / "store"
    Store(root)
    (root / "locks" / "gc.lock").unlink(missing_ok=True)
    (root / "locks" / "gc.lock").symlink_to(tmp_path / "x")
    for words in of_a_store(root, tmp_path):
        assert main(words) == 2
        assert "gc.lock: no lock can be held there" in capfd.readouterr().err
    assert not (tmp_path / "x").exists()


def test_an_installation_replaces_only_an_installation(tmp_path: Path) -> None:
    before = thesis(tmp_path / "arm64")
    with pytest.raises(InputError, match="did not make"):
        install_into(tmp_path / "arm64", lambda part: (part / "x").write_text("new"))
    assert content(tmp_path / "arm64") == before
    install_into(tmp_path / "new", lambda part: (part / "x").write_text("new"))
    install_into(tmp_path / "new", lambda part: (part / "y").write_text("newer"))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [MARK, "y"]
