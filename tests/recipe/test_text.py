"""A user's slip in a recipe's file is a sentence with the file, and exit 2; never a defect of edgepipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepipe.__main__ import main
from edgepipe.errors import RecipeError
from edgepipe.recipe.compose import compose

GROUPS = "defaults:\n  - /model: resnet18\n  - /data: digits\n  - _self_\n"
FORM = "write a list, as in `- /model: resnet18`"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"- a\n", "a recipe is a mapping, as in `passes: ...`; found a list"),
        (b"3\n", "a recipe is a mapping, as in `passes: ...`; found the text '3'"),
        (b"", "model: missing"),
        (f"{GROUPS}seed: 1\nseed: 2\n".encode(), "duplicate key seed"),
        (f"{GROUPS}passes:\n\tq: {{}}\n".encode(), "line 6: not readable as YAML: found character '\\t'"),
        (f"{GROUPS}seed: 1\n".encode("utf-16"), "not UTF-8 text (byte 0): save it as UTF-8"),
        (f"{GROUPS}description: \xe9\n".encode("latin-1"), "not UTF-8 text (byte 73)"),
        (b"passes: " + b"[" * 3000 + b"]" * 3000, "nested more than 60 deep"),
        (f"{GROUPS}description: {'{a: ' * 70}1{'}' * 70}\n".encode(), "nested more than 60 deep"),
        (f"# @package\n{GROUPS}".encode(), "its header '# @package' cannot be read"),
        (f"# @package _global_ x\n{GROUPS}".encode(), "its header '# @package _global_ x' cannot be read"),
        (f"# @package [x\n{GROUPS}".encode(), "its header '# @package [x' cannot be read"),
        (b"defaults: x\n", f"defaults: not a list: {FORM}"),
        (b"defaults: null\n", f"defaults: not a list: {FORM}"),
        (b"defaults: [3]\n", "defaults[0] (line 1): an entry is one group and one name"),
        (b"defaults: [{}]\n", "defaults[0] (line 1): an entry is one group and one name"),
        (b"defaults: [[a]]\n", "defaults[0] (line 1): an entry is one group and one name"),
        (b"defaults: [{/model: resnet18, /data: digits}]\n", "an entry is one group and one name"),
        (b"defaults: [/model: 3]\n", "defaults[0] (line 1): /model: the name of a file is wanted"),
        (b"defaults: [true: x]\n", "defaults[0] (line 1): an entry begins with the name of a group"),
        (b"defaults: [/data: nosuch]\n", "defaults: data: there is no data 'nosuch'. Known: "),
        (b"defaults: [override /model: onnx]\n", "defaults: 'override model' overrides nothing"),
        (b"defaults: [_self_, _self_]\n", "Duplicate _self_"),
        (b"defaults: [odd]\n", "its defaults lead in a circle"),
        (f"{GROUPS}null: 3\n".encode(), "line 5: a key: a key is a word"),
        (f"{GROUPS}description: !!set {{a}}\n".encode(), "found the YAML tag 'set'"),
        (f'{GROUPS}description: "\\ud800"\n'.encode(), "description: holds half of a character"),
        (f'{GROUPS}store: {{root: "\\0"}}\n'.encode(), "store.root: holds a null character"),
        (f"{GROUPS}seed: ${{nope}}\n".encode(), "seed: Interpolation key 'nope' not found"),
        (f"{GROUPS}seed: ${{\n".encode(), "seed: ${: a file may fill in its own keys"),
        (f"{GROUPS}? {'k' * 2000}\n: 1\n".encode(), "line 5: a key of 2,000 letters: 1,000 are the most"),
        (f"{GROUPS}hydra: {{run: {{dir: null}}}}\n".encode(), "hydra.run.dir (a folder that is not below this one)"),
        (f"{GROUPS}model: {{num_classes: 1000000}}\n".encode(), "model.num_classes: beyond reason: at most 100,000"),
        (f"{GROUPS}passes: {{t: {{pass: train, lr: 1e300}}}}\n".encode(), "passes.t.lr: beyond reason: at most 1,000"),
        (f"{GROUPS}goal: {{mae: 1e16}}\n".encode(), "goal.mae: beyond reason"),
        (f"{GROUPS}data: null\n".encode(), "data: `data` is a mapping"),
        (
            f"{GROUPS}passes: {{{'a' * 300}: {{pass: export}}}}\n".encode(),
            "a label names a folder: at most 100 letters",
        ),
    ],
)
def test_a_slip_is_a_sentence_that_names_the_file(
    content: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("odd.yaml").write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        compose(["recipe=odd.yaml"])
    assert "odd.yaml: " in str(caught.value)
    assert said in str(caught.value)


def test_a_slip_ends_with_2_and_no_word_of_a_defect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("odd.yaml").write_text("# @package\n")
    assert main(["plan", "recipe=odd.yaml"]) == 2
    assert main(["recipe=odd.yaml"]) == 2
    assert "defect" not in capsys.readouterr().err


def test_a_byte_order_mark_and_an_alias_are_no_slip(tmp_path: Path) -> None:
    path = tmp_path / "fine.yaml"
    path.write_text(f"\ufeff# @package _global_\n{GROUPS}seed: &n 3\nmeasure: {{seed: *n}}\n", encoding="utf-8")
    recipe, _ = compose([f"recipe={path}"])
    assert (recipe.seed, recipe.measure.seed) == (3, 3)


@pytest.mark.parametrize(
    "value",
    ["9" * 5000, "0x" + "f" * 5000, "0b" + "1" * 20_000, "1" + ":59" * 9000, "-1" + "_0" * 5000, "1." + "0" * 5000],
)
def test_a_number_of_thousands_of_digits_in_a_file_is_refused(value: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    for place in (f"seed: {value}", f"description: {value}", f"hydra: {{sweeper: {{params: {{seed: {value}}}}}}}"):
        path.write_text(f"{GROUPS}{place}\n")
        with pytest.raises(RecipeError, match=r"odd.yaml: line 5: .*: a number of \d+,\d+ letters"):
            compose([f"recipe={path}"])
    path.write_text(f"{GROUPS}hydra: {{sweeper: {{params: {{seed: '1,{'9' * 5000}'}}}}}}\n")
    with pytest.raises(RecipeError, match=r"hydra.sweeper.params.seed: a number of 5,000 digits"):
        compose([f"recipe={path}"])


@pytest.mark.parametrize(
    "value", ["{0}", "1{0}1", "[{0}]", "{{a: {0}}}", "int({0})", "range(1,{0})", "choice(1,{0})", "'{0}'"]
)
def test_a_number_of_thousands_of_digits_on_the_command_line_is_refused(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = f"seed={value.format('9' * 5000)}"
    for argv in (["plan"], [], ["-m"], ["search", "--trials", "2"]):
        assert main([*argv, "recipe=resnet18_int8", typed]) == 2
        assert "seed: a number of 5,00" in capsys.readouterr().err
    assert main(["plan", f"recipe={'9' * 5000}"]) == 2


def test_a_list_is_read_at_no_place_that_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    for place in ("²", "9" * 900):
        path.write_text(f"{GROUPS}data: {{image_size: [8, 8]}}\ndescription: ${{data.image_size.{place}}}\n")
        with pytest.raises(RecipeError, match="description: "):
            compose([f"recipe={path}"])
