"""Names that no file has, and numbers beyond reason, are refused in words wherever they come in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepipe.base.files import is_file, is_folder, is_there
from edgepipe.errors import InputError
from tests.faults.test_untrusted import refused
from tests.small import arguments

LONG = "a" * 300
MANY = "9" * 400


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    monkeypatch.chdir(tmp_path)
    yield arguments(tmp_path / "in")


@pytest.mark.parametrize("name", [LONG, "\0"], ids=["long", "null"])
def test_a_name_that_no_file_has_is_refused_by_every_verb(here: list[str], name: str, capfd) -> None:
    said = "file name too long" if name == LONG else "null byte"
    for argv in (
        ["check", "r", "--baseline", name],
        ["accept", "r", "--baseline", name],
        ["report", name],
        ["explain", name],
        ["compare", name],
        ["compare", "r", "--out", name],
        ["track", name],
        ["verify", name],
        ["verify", "r", "--inputs", name],
        ["bundle", "verify", name],
        ["device", "run", "ssh://h", name],
        ["store", "ls", "--root", name],
        ["store", "gc", "--root", name, "--keep-bytes", "0"],
        ["search", *here, "seed=1,2", "--out", name],
        ["plan", f"--config-dir={name}", *here],
    ):
        assert said in refused(argv, capfd), argv


def test_a_name_that_no_file_has_is_refused_by_the_setting(here: list[str], capfd) -> None:
    for key in ("model.path", "data.evaluation"):
        argv = [*(item for item in here if not item.startswith(f"{key}=")), f"{key}={LONG}"]
        for verb in (["plan"], []):
            said = refused([*verb, *argv, "hydra.run.dir=r"], capfd)
            assert key in said
            assert "file name too long" in said
    assert "store.root: " in refused([*here, f"store.root={LONG}", "hydra.run.dir=s"], capfd)
    assert "there is no recipe" in refused(["plan", f"recipe={LONG}"], capfd)
    assert "recipe: " in refused(["plan", f"recipe={LONG}.yaml"], capfd)


def test_a_sweep_over_more_recipes_than_a_name_has_letters_is_none(capfd) -> None:
    several = ",".join(["ptq"] * 80)
    assert "several are a sweep: add -m" in refused(["plan", f"recipe={several}"], capfd)


@pytest.mark.parametrize(
    "argv",
    [
        ["store", "gc", "--root", "in/store", "--keep-bytes", MANY],
        ["device", "run", "ssh://h", "r", "--runs", MANY],
        ["device", "run", "ssh://h", "r", "--threads", MANY],
        ["plan", "--config-dir=--"],
    ],
    ids=lambda argv: f"{argv[0]}{argv[-2]}",
)
def test_numbers_beyond_reason_are_refused(here: list[str], argv: list[str], capfd) -> None:
    assert "command line: " in refused([*argv, *(here if argv[0] == "plan" else [])], capfd)


def test_is_there(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    found = [(is_file(path), is_folder(path), is_there(path)) for path in (tmp_path, tmp_path / "f")]
    assert found == [(False, True, True), (True, False, True)]
    for name in ("none", "gone", "loop", "f/below"):
        assert not is_there(tmp_path / name)
    with pytest.raises(InputError, match=r"^data\.root: .*… ?.*\(\d+,?\d* letters\): file name too long"):
        is_file(tmp_path / LONG, "data.root")
    os.mkfifo(tmp_path / "pipe")
    assert (is_file(tmp_path / "pipe"), is_there(tmp_path / "pipe")) == (False, True)
