"""A package that brings one of everything: pip install, nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.small import QUICK, arguments

HERE = Path(__file__).parent / "third_party"
OWNED = {
    "passes": "clip_weights",
    "tasks": "tags",
    "data": "csv",
    "models": "layers",
    "formats": "onnx_gz",
    "places": "plain_cpu",
}
TAGS, FEATURES, HIDDEN = 5, 16, 32


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the package is installed into."""
    folder = tmp_path_factory.mktemp("third_party")
    shutil.copytree(HERE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--target", str(folder / "site"), str(folder / "source")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


def edgepipe(site: Path, *argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command line where the package is installed."""
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-m", "edgepipe", *argv],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=cwd,
    )


def test_an_installed_package_adds_one_of_each_noun_and_list_says_whose_it_is(site: Path, tmp_path: Path) -> None:
    for what, name in OWNED.items():
        listed = edgepipe(site, "list", what, name, cwd=tmp_path)
        assert listed.returncode == 0, listed.stderr
        assert listed.stdout.startswith(f"{name}  "), listed.stdout
        assert "  (edgepipe-tags)  " in listed.stdout.splitlines()[0]


def test_a_recipe_uses_its_pass(site: Path, tmp_path: Path) -> None:
    argv = arguments(tmp_path / "run", f"hydra.run.dir={tmp_path}/out", "~passes.quantize", "~passes.export")
    argv += ["+passes.clip.pass=clip_weights", "+passes.clip.limit=0.05"]
    done = edgepipe(site, *argv, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    steps = json.loads((tmp_path / "out" / "metrics.json").read_text())["passes"]
    assert [step["pass"] for step in steps] == ["load", "clip_weights"]


def tagger(folder: Path) -> list[str]:
    """A network of random weights as JSON, tables that it tags rightly but for some, and what names them."""
    rng = np.random.default_rng(0)
    shapes = ((HIDDEN, FEATURES), (TAGS, HIDDEN))
    weights = [rng.standard_normal(shape) * (2 / shape[1]) ** 0.5 for shape in shapes]
    layers = [{"weights": each.tolist(), "bias": [0.0] * len(each)} for each in weights]
    (folder / "m.json").write_text(json.dumps(layers), encoding="utf-8")
    for name, rows in (("train", 200), ("evaluation", 400)):
        features = rng.standard_normal((rows, FEATURES)).astype(np.float32)
        scores = np.maximum(features @ weights[0].T, 0) @ weights[1].T
        tags = (scores > 0) ^ (rng.random(scores.shape) < 0.05)
        head = ",".join(f"c{column}" for column in range(FEATURES + TAGS))
        table = np.concatenate([features, tags], axis=1)
        np.savetxt(folder / f"{name}.csv", table, delimiter=",", header=head, comments="", fmt="%.9g")
    files = [f"data.{name}={folder}/{name}.csv" for name in ("train", "evaluation")]
    return [f"recipe={HERE}/recipes/tags.yaml", f"model.path={folder}/m.json", *files]


def test_a_recipe_of_its_own_runs_to_a_green_bundle(site: Path, tmp_path: Path) -> None:
    argv = [*tagger(tmp_path), f"store.root={tmp_path}/store", f"hydra.run.dir={tmp_path}/run", *QUICK]
    done = edgepipe(site, *argv, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["task"]["name"] == "tags"
    assert [measure["name"] for measure in metrics["task"]["measures"]] == ["macro_f1", "mean_ap"]
    assert 0.8 < metrics["final"]["quality"]["macro_f1"]["value"] < 1
    assert [line["name"] for line in metrics["goal"]] == ["macro_f1_drop"]
    assert [(proof["target"], proof["status"]) for proof in metrics["proofs"]] == [("plain_cpu", "ok")]
    assert (tmp_path / "run" / "final" / "model.onnx.gz").is_file()
    checked = edgepipe(site, "bundle", "verify", str(tmp_path / "run"), cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
