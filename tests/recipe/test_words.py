"""The command line as people write it: odd names, quotes, `~`, commas; what cannot be read says how to write it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from edgepipe.__main__ import main
from edgepipe.errors import RecipeError
from edgepipe.recipe.compose import compose
from edgepipe.recipe.launch import launch
from edgepipe.recipe.lookup import shipped_recipes
from edgepipe.recipe.words import quoted, readable, typed
from tests.small import arguments

ODD = (
    "Übung|写真|c#d|copy (1)|x=y|it's|u,v|a&b|11|null|true|1.5|1e3|inf|a@b|a:b|a$b|-x|[k]|{z}|~t|sort (1)|a b|"
    "b\\s|'q'|choice(a,b)"
)
NAMES = [*ODD.split("|"), 'a"b', "a|b"]
PLAIN = "# @package _global_\ndefaults:\n  - /model: resnet18\n  - /data: image_folder\n  - _self_\n"


def _read(override: str) -> object:
    """The value that Hydra and then OmegaConf make of an override."""
    value = OverridesParser.create().parse_override(override).value()
    return OmegaConf.to_container(OmegaConf.create({"a": value}), resolve=True)["a"]


def test_a_folder_of_any_name_is_found_in_quotes_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*NAMES, "${now}"):
        (tmp_path / name).mkdir()
        assert _read(readable(f"data.root={name}", sweeps=False)) == name
    for name in NAMES:
        assert _read(readable(f"data.root={quoted(name)}", sweeps=False)) == name
    for name in ("Übung", "copy (1)", "2024", "u,v"):
        (tmp_path / name).mkdir(exist_ok=True)
        recipe, _ = compose(["recipe=ptq", "model=resnet18", "data=image_folder", f"data.root={name}"])
        assert recipe.data.settings.model_dump()["root"] == Path(name)


@pytest.mark.parametrize(("number", "name"), list(enumerate(NAMES)))
def test_a_recipe_of_any_name_in_a_folder_of_any_name_is_found_in_quotes_or_not(
    number: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "proj (1)"
    home.mkdir()
    (home / f"{name}.yaml").write_text(f"{PLAIN}data: {{root: there}}\npasses: {{}}\n", encoding="utf-8")
    monkeypatch.chdir(home)
    value = (f"{name}.yaml", quoted(f"{name}.yaml"), f"{home}/{name}")[number % 3]
    assert compose([f"recipe={value}"])[0].name == name


def test_names_of_recipes_are_swept_and_keep_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["müller", "copy (1)", "11", "null"]
    for name in names:
        Path(f"{name}.yaml").write_text(f"{PLAIN}description: '{name}'\npasses: {{}}\n", encoding="utf-8")
    seen: list[tuple[str, str]] = []
    launch(
        ["-m", "recipe=" + ",".join(f"{name}.yaml" for name in names), "data.root=Übung,007"],
        lambda config: seen.append((str(config.description), str(config.data.root))),
    )
    assert seen == [(name, root) for name in names for root in ("Übung", "007")]


@pytest.mark.parametrize(
    ("override", "sweeps", "wanted"),
    [
        ("passes.prune.ratio=0.1,0.3", True, "passes.prune.ratio=0.1,0.3"),
        ("passes.prune.ratio=0.3", False, "passes.prune.ratio=0.3"),
        ("seed=choice(1,2)", True, "seed=choice(1,2)"),
        ("seed=range(1,4)", True, "seed=range(1,4)"),
        ("data.mean=[0.1,0.2,0.3]", False, "data.mean=[0.1,0.2,0.3]"),
        ("goal={times_faster: 2}", False, "goal={times_faster: 2}"),
        ("passes.q.exclude=[/conv (1)/Conv,b]", False, "passes.q.exclude=['/conv (1)/Conv',b]"),
        ("baseline=null", False, "baseline=null"),
        ("description=null", False, "description='null'"),
        ("description=1.50", False, "description='1.50'"),
        ("+description=007", False, "+description=007"),  # read as a text already
        ("data.root=a\\,b", False, "data.root=a\\,b"),
        ("data.root=é,007,1_0", True, "data.root='é',007,'1_0'"),
        ("data.root=u,v", True, "data.root=u,v"),
        ("data.root=${x}/é", False, "data.root='${x}/é'"),
        ("passes.prune.ratio=0.3é", False, "passes.prune.ratio='0.3é'"),  # which the schema then refuses
        ("~passes.prune", False, "~passes.prune"),
    ],
)
def test_only_what_would_be_misread_is_put_in_quotes(override: str, sweeps: bool, wanted: str) -> None:
    assert readable(override, sweeps=sweeps) == wanted


def test_quotes_hold_any_text_and_so_does_the_shell() -> None:
    for name in (*NAMES, "\\", "\\'", "a\\", "''", "'\\\\", "a!b"):
        assert _read(f"description={quoted(name)}") == name
        (word,) = shlex.split(typed("description", name))
        assert _read(word) == name


def test_with_m_a_comma_is_a_sweep_and_without_it_a_name_or_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    base = ["recipe=ptq", "model=resnet18", "data=image_folder"]
    with pytest.raises(RecipeError) as caught:
        compose([*base, "data.root=u,v"])
    assert str(caught.value) == (
        "command line: data.root: several values are a sweep: add -m to run each of u,v, or quote them as one text: "
        "'data.root=\"u,v\"'"
    )
    (tmp_path / "u,v").mkdir()
    assert compose([*base, "data.root=u,v"])[0].data.settings.model_dump()["root"] == Path("u,v")
    roots: list[str] = []
    launch(["-m", *base, "data.root=u,v"], lambda config: roots.append(str(config.data.root)))
    assert roots == ["u", "v"]
    with pytest.raises(RecipeError, match="recipe: there is no recipe of the name 'ptq,ptq', and several are a sweep"):
        compose(["recipe=ptq,ptq"])


def test_what_cannot_be_read_says_exactly_how_to_quote_it() -> None:
    with pytest.raises(RecipeError) as caught:
        compose(["recipe=resnet18_int8", "passes.quantize.exclude=[x (1"])
    text = str(caught.value)
    assert "quote it for edgepipe and for the shell: 'passes.quantize.exclude=\"[x (1\"'" in text
    assert "In a list each text has quotes of its own: 'passes.quantize.exclude=[\"a (1)\",b]'" in text
    with pytest.raises(RecipeError, match=r"a key has the letters a to z, .* is set in the recipe's file"):
        compose(["recipe=resnet18_int8", "passes.prüfen.ratio=1"])


@pytest.mark.parametrize(
    ("text", "key"), [("costs ${price} a day", "description"), ("'${oc.env:EDGEPIPE_NOT_SET}'", "description")]
)
def test_a_dollar_in_a_description_is_a_sentence(
    text: str, key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "words.yaml"
    shipped = (shipped_recipes() / "resnet18_int8.yaml").read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(f"description: {text}" if "description:" in line else line for line in shipped))
    assert main(["plan", f"recipe={path}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}: {key}: ")
    assert line.endswith("${ as plain text is written \\${")
    path.write_text(path.read_text().replace("${", "\\${"))
    assert main(["plan", f"recipe={path}"]) == 0


@pytest.mark.parametrize("key", ["hydra.run.dir", "hydra.sweep.dir"])
def test_an_interpolation_of_hydra_that_leads_nowhere_is_a_sentence_and_makes_no_folder(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flag = ["-m"] if "sweep" in key else []
    assert main([*flag, "recipe=resnet18_int8", f"{key}=x${{nope}}"]) == 2
    assert f"{key}: Interpolation key 'nope' not found" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_tilde_is_home_in_every_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yaml").write_text(f"{PLAIN}data: {{root: ~/pictures}}\npasses: {{}}\n", encoding="utf-8")
    for word in ("~/{}", "'~/{}'", '"~/{}"'):

        def given(key: str, name: str, word: str = word) -> str:
            return f"{key}={word.format(name)}"

        recipe, _ = compose(
            [
                given("recipe", "mine.yaml"),
                given("store.root", "store"),
                given("model.weights", "w.pth"),
                "trust_code=true",
            ]
        )
        assert recipe.data.settings.model_dump()["root"] == tmp_path / "pictures"
        assert recipe.store.root == f"{tmp_path}/store"
        assert recipe.model.settings.weights == f"{tmp_path}/w.pth"
        for source in ("onnx", "keras", "sklearn", "tensorflow"):
            recipe, _ = compose(["recipe=ptq", f"model={source}", given("model.path", "m.x"), "data=digits"])
            assert recipe.model.settings.path == f"{tmp_path}/m.x"
        arrays = [given(f"data.{name}", f"{name}.npz") for name in ("evaluation", "calibration", "train")]
        recipe, _ = compose(["recipe=ptq", "model=resnet18", "data=npz", *arrays])
        settings = recipe.data.settings.model_dump()
        assert settings["calibration"] == tmp_path / "calibration.npz"
        assert settings["train"] == tmp_path / "train.npz"


def test_a_tilde_is_home_in_the_folders_of_runs_and_sweeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(f"{PLAIN}passes: {{}}\n")
    launch(["recipe=mine.yaml", "data=digits", "hydra.run.dir=~/typed"], lambda _, **__: None)
    launch(["recipe=mine.yaml", "data=digits", "hydra.run.dir='~/quoted'"], lambda _, **__: None)
    launch(["-m", "recipe=mine.yaml", "data=digits", "seed=0,1", "hydra.sweep.dir=~/sweep"], lambda _: None)
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["quoted", "sweep", "typed"]
    assert not (tmp_path / "~").exists()
    assert main(["compare", "~/nowhere", "--out=~/page"]) == 2
    assert f"{tmp_path}/home/nowhere" in capsys.readouterr().err
    assert main(["plan", "recipe=ptq", "--config-dir", "~/nothing"]) == 2


def test_a_tilde_that_names_nobody_stays_as_it_is() -> None:
    recipe, _ = compose(["recipe=resnet18_int8", "store.root=~nobody-of-this-name/x"])
    assert recipe.store.root == "~nobody-of-this-name/x"


def test_an_unknown_option_and_a_swept_folder_are_sentences(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for line in (["recipe=ptq", "-x=1"], ["plan", "recipe=ptq", "--no-such"], ["recipe=ptq", "--config-dir"]):
        assert main(line) == 2
        (said,) = capsys.readouterr().err.splitlines()
        assert said.startswith("error: command line: ")
    assert main(["-m", "recipe=resnet18_int8", "seed=1,2", "hydra.sweep.dir=a,b"]) == 2
    assert capsys.readouterr().err.startswith("error: command line: hydra.sweep.dir: it is one for all jobs")
    assert list(tmp_path.iterdir()) == []


def test_runs_in_folders_of_any_bytes_are_compared(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"\xe9 \xff,%?#'\n")
    assert main(arguments(tmp_path / "in", "hydra.run.dir=run")) == 0
    Path("run").rename(name)
    for line in (["compare", name, name, "--out", f"out {name}"], ["report", name], ["explain", name]):
        assert main(line) == 0
    assert main(["bundle", "verify", name]) == 0
    assert main(["accept", name, "--baseline", f"{name}/b.json"]) == 0
    assert main(["check", name, "--baseline", f"{name}/b.json"]) == 0
    page = (Path(f"out {name}") / "sweep.html").read_text(encoding="utf-8")
    assert "%E9%20%FF%2C%25%3F%23%27%0A/report.html" in page
