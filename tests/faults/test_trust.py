"""Trust and secrets: given by the words of the command line alone, never by what a file holds."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from edgepipe.__main__ import main
from edgepipe.contract import Signature
from edgepipe.contract.artifact import Kind, canonical_json, seal
from edgepipe.errors import ModelError, RecipeError
from edgepipe.recipe.compose import compose
from edgepipe.recipe.launch import launch
from edgepipe.store.keys import key_of
from edgepipe.torch import artifact as torch_artifact
from edgepipe.torch.factory import trust
from tests.small import arguments

HEAD = "# @package _global_\ndefaults:\n  - /model: {model}\n  - /data: digits\n  - _self_\npasses: {{}}\n"
FACTORY = "model: {{factory: 'subprocess:getoutput', kwargs: {{cmd: 'touch {}/BOOM'}}}}\n"


def recipe(folder: Path, text: str, model: str = "resnet18") -> None:
    (folder / "bad.yaml").write_text(HEAD.format(model=model) + text + "\n", encoding="utf-8")


def refused(argv: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    capfd.readouterr()
    assert main(argv) == 2
    err = capfd.readouterr().err
    assert "Traceback" not in err
    assert "internal error" not in err
    return err


@pytest.mark.parametrize(
    "grant",
    [
        "hydra: {sweeper: {params: {trust_code: true}}}",
        "hydra: {sweeper: {params: {++trust_code: true}}}",
        "hydra: {sweeper: {params: {'seed=1 +trust_code': true}}}",
        "hydra: {sweeper: {params: {hydra.callbacks.x: 1}}}",
        "hydra: {sweeper: {params: {recipe: 'a,b'}}}",
        "hydra: {sweeper: {params: {seed: '\\${oc.env:HOME}'}}}",
        "hydra: {sweeper: {params: {seed: 'range(1,100000000000)'}}}",
        "hydra: {sweeper: {params: '${passes}'}}",
        "trust_code: true",
        "trust_code: ${seed}",
    ],
)
def test_no_file_grants_trust_in_a_run_or_a_sweep(tmp_path: Path, grant: str, capfd, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe(tmp_path, FACTORY.format(tmp_path) + grant, "python")
    for argv in (["recipe=bad.yaml"], ["-m", "recipe=bad.yaml"], ["plan", "recipe=bad.yaml"]):
        assert "bad.yaml" in refused(argv, capfd)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.yaml"]


def test_trust_on_the_command_line_is_plain_and_reaches_every_job(tmp_path: Path, capfd, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe(tmp_path, "model: {factory: 'm:make'}\nx: true", "python")
    for word in ("trust_code=${x}", "trust_code=${oc.env:HOME}", "+trust_code=yes", "++trust_code=${seed}"):
        assert "trust_code=true" in refused(["recipe=bad.yaml", word], capfd)
    recipe(tmp_path, "model: {factory: 'm:make'}", "python")
    assert compose(["recipe=bad.yaml", "trust_code=true"])[0].model.settings.trust_code is True
    assert compose(["recipe=bad.yaml"])[0].model.settings.trust_code is False
    seen: list[bool] = []
    for argv in (["recipe=bad.yaml"], ["recipe=bad.yaml", "trust_code=true"]):
        launch(["-m", *argv, "seed=0,1"], lambda _, trusted=False: seen.append(trusted))
    assert seen == [False, False, True, True]
    assert "not searched" in refused(["search", "recipe=bad.yaml", "trust_code=true,false"], capfd)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hydra: {run: {dir: /tmp/elsewhere}}", "hydra.run.dir"),
        ("hydra: {run: {dir: ~/elsewhere}}", "hydra.run.dir"),
        ("hydra: {run: {dir: a/../../b}}", "hydra.run.dir"),
        ("hydra: {run: {dir: '${x}'}}\nx: /tmp", "hydra.run.dir"),
        ("hydra: {run: {dir: '${now:/tmp/x}'}}", "hydra.run.dir"),
        ("hydra: {sweep: {dir: 'C:/x'}}", "hydra.sweep.dir"),
        ("hydra: {sweep: {subdir: ../..}}", "hydra.sweep.subdir"),
        ("hydra: {job: {name: a/b}}", "hydra.job.name"),
        ("hydra: {launcher: {n_jobs: 2}}", "hydra.launcher"),
        ("hydra: {output_subdir: /tmp}", "hydra.output_subdir"),
        ("hydra: {searchpath: [file:///tmp]}", "hydra.searchpath"),
        ("tracking: {uri: 'http://127.0.0.1:9/${oc.env:SECRET}'}", "tracking"),
        ("tracking: {backend: mlflow}", "tracking"),
        ("tracking: ${passes}", "tracking"),
        ("description: ${oc.env:SECRET}", "oc.env"),
        ("description: ${oc.decode:${oc.env:SECRET}}", "oc.decode"),
        ("description: \\\\${oc.env:SECRET}", "oc.env"),
        ("description: 'x${ oc.env:SECRET}'", "oc.env"),
        ("description: ${oc.select:hydra.runtime.cwd}", "oc.select"),
        ("description: ${${x}}\nx: 'oc.env:SECRET'", "${${x}}"),
        ("description: ${hydra.runtime.cwd}", "hydra.runtime"),
        ("description: ${hydra:runtime.cwd}", "hydra:runtime"),
        ("description: ${own.resolver:1}", "own.resolver"),
        ("model: {weights: '${oc.env:SECRET}'}", "model.weights"),
        ("goal: [{a: '${oc.env:SECRET}'}]", "goal[0].a"),
    ],
)
def test_a_file_points_nowhere_else_and_knows_only_its_own_keys(
    tmp_path: Path, text: str, said: str, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET", "hush")
    recipe(tmp_path, text)
    for argv in (["recipe=bad.yaml"], ["-m", "recipe=bad.yaml", "seed=1,2"], ["recipe=bad.yaml", "--cfg", "job"]):
        err = refused(argv, capfd)
        assert said in err
        assert "hush" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.yaml"]


@pytest.mark.parametrize(
    "entry",
    [
        "/tracking: mlflow",
        "override /tracking: mlflow",
        "/tracking@x: mlflow",
        "/model@tracking: resnet18",
        "/tracking/mlflow",
        "override /hydra/launcher: basic",
        "override /hydra/sweeper: basic",
        "/hydra/callbacks: bad",
        "/target@trust_code: host",
        "/model: ../../elsewhere",
    ],
)
def test_defaults_of_a_file_choose_neither_tracking_nor_parts_of_hydra(tmp_path, entry, capfd, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(HEAD.format(model="resnet18").replace("  - _self_", f"  - {entry}\n  - _self_"))
    assert "bad.yaml: defaults" in refused(["plan", "recipe=bad.yaml"], capfd)


def test_a_group_file_beside_the_recipe_cannot_redirect_tracking(tmp_path: Path, capfd, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe(tmp_path, "")
    (tmp_path / "tracking").mkdir()
    (tmp_path / "tracking" / "mlflow.yaml").write_text("backend: mlflow\nuri: http://127.0.0.1:9\n")
    assert "tracking.uri" in refused(["plan", "recipe=bad.yaml", "tracking=mlflow"], capfd)
    (tmp_path / "tracking" / "mlflow.yaml").write_text("backend: mlflow\nuri: null\nexperiment: mine\n")
    found, _ = compose(["recipe=bad.yaml", "tracking=mlflow", "tracking.uri=http://127.0.0.1:9"])
    assert found.tracking is not None
    assert (found.tracking.uri, found.tracking.experiment) == ("http://127.0.0.1:9", "mine")


def test_what_a_file_may_fill_in_works(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEED", "7")
    recipe(
        tmp_path,
        'seed: 3\nmeasure: {audit_runs: 40, warmup: "${.audit_runs}"}\n'
        "\ndescription: 'a \\${b} ${seed} ${measure.audit_runs}'\n"
        "hydra: {run: {dir: 'o/${hydra:runtime.choices.model}/${now:%Y-%m-%d}'}, "
        "sweep: {subdir: '${hydra:job.num}'}, sweeper: {params: {seed: '1,2'}}}",
    )
    found, _ = compose(["recipe=bad.yaml"])
    assert found.description == "a ${b} 3 40"
    assert found.measure.warmup == 40
    assert compose(["recipe=bad.yaml", "seed=${oc.env:SEED}"])[0].seed == 7
    seen: list[int] = []
    launch(["-m", "recipe=bad.yaml"], lambda config: seen.append(config.seed))
    assert seen == [1, 2]


@pytest.mark.parametrize("kind", ["text", "lists", "chain", "relative"])
def test_interpolations_that_double_are_refused_at_once(tmp_path: Path, kind: str, capfd, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    steps = range(1, 60)
    text = {
        "text": "a0: xx\n" + "".join(f"a{i}: '${{a{i - 1}}}${{a{i - 1}}}'\n" for i in steps),
        "lists": "a0: [1]\n" + "".join(f"a{i}: ['${{a{i - 1}}}', '${{a{i - 1}}}']\n" for i in steps),
        "chain": "a0: x\n" + "".join(f"a{i}: '${{a{i - 1}}}'\n" for i in range(1, 400)),
        "relative": "a: {b0: xx, " + ", ".join(f"b{i}: '${{.b{i - 1}}}${{..a.b{i - 1}}}'" for i in steps) + "}",
    }[kind]
    recipe(tmp_path, text)
    began = time.monotonic()
    for argv in (["plan", "recipe=bad.yaml"], ["recipe=bad.yaml", "--cfg", "job", "--resolve"]):
        assert "filled in" in refused(argv, capfd)
    assert time.monotonic() - began < 60  # minutes or for ever, without the bound


def test_a_recipe_is_a_plain_file_of_a_recipes_size(tmp_path: Path, capfd, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe(tmp_path, "description: " + "x" * (1 << 20))
    assert "bytes" in refused(["plan", "recipe=bad.yaml"], capfd)
    (tmp_path / "bad.yaml").unlink()
    (tmp_path / "recipes").mkdir()
    os.mkfifo(tmp_path / "recipes" / "pipe.yaml")
    assert "there is no recipe 'pipe'" in refused(["plan", "recipe=pipe"], capfd)


def architecture(folder: Path, factory: str, kwargs: dict[str, object]):
    base = {"source": "python", "factory": factory, "kwargs": kwargs}
    (folder / "architecture.json").write_text(json.dumps(torch_artifact.new_architecture(base)))
    (folder / "weights.safetensors").write_bytes(b"")
    return seal(folder, Kind.TORCH, Signature(input_shape=(1,)))


def test_a_sealed_architecture_calls_only_the_factory_that_was_trusted(tmp_path: Path) -> None:
    trust("os:getcwd", {})
    for factory, kwargs in (("subprocess:getoutput", {"cmd": f"touch {tmp_path}/BOOM"}), ("os:getcwd", {"x": 1})):
        with pytest.raises(ModelError, match="may not choose what runs"):
            torch_artifact.build(architecture(tmp_path, factory, kwargs))
    assert not (tmp_path / "BOOM").exists()
    with pytest.raises(ModelError, match=r"returned str; expected a torch.nn.Module"):  # called: it was trusted
        torch_artifact.build(architecture(tmp_path, "os:getcwd", {}))


@pytest.mark.parametrize("what", ["link", "folder link", "beside", "program", "outside", "absolute"])
def test_an_entry_of_the_store_brings_nothing_into_a_run_but_what_a_pass_wrote(
    tmp_path: Path, what: str, capfd
) -> None:
    argv = arguments(tmp_path / "in", f"hydra.run.dir={tmp_path}/run")
    assert main(argv) == 0
    (tmp_path / "secret").write_text("hush")
    for record in (tmp_path / "in" / "store").glob("steps/*/record.json"):
        folder = record.parent / "artifact"
        content = json.loads(record.read_text())
        names = {
            "link": "key",
            "beside": "notes.txt",
            "program": "numpy.py",
            "outside": "../x",
            "absolute": f"{tmp_path}/x",
        }
        if what.endswith("link"):
            (folder / "key").symlink_to(tmp_path / ("secret" if what == "link" else "in"))
        else:
            (folder / names[what]).write_text("evil")
        manifest = json.loads((folder / "manifest.json").read_text())
        if what not in ("beside", "folder link"):
            found = hashlib.sha256((folder / names[what]).read_bytes()).hexdigest()
            manifest["files"][names[what]] = {"sha256": found, "size_bytes": (folder / names[what]).stat().st_size}
        text = canonical_json(manifest)
        (folder / "manifest.json").write_text(text)
        content |= {"digest": hashlib.sha256(text.encode()).hexdigest()}
        del content["sha256"]
        record.write_text(json.dumps({**content, "sha256": key_of(content)}))
    capfd.readouterr()
    assert main(argv) == 0
    assert "is computed again" in capfd.readouterr().err
    run = tmp_path / "run"
    names_there = {path.name for path in run.rglob("*")}
    assert not {"key", "notes.txt", "numpy.py", "x"} & names_there


def test_a_composed_config_with_trust_from_elsewhere_is_refused() -> None:
    from omegaconf import OmegaConf

    from edgepipe.recipe.compose import to_recipe

    config = OmegaConf.create({"trust_code": True, "model": {"source": "python", "factory": "m:make"}})
    with pytest.raises(RecipeError, match="words of the command line alone"):
        to_recipe(config, {"recipe": "r"}, ["trust_code=true"])
