"""Words from elsewhere, at the doors to the terminal and the log."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from edgepipe.__main__ import main
from edgepipe.base.text import printable, without_passwords
from edgepipe.cli.job import _logged
from edgepipe.report.terminal import LiveWatcher, error_console, output_console, print_error
from tests.small import arguments

EVIL = "a\x1b[31mred\x1b]0;title\x07\r\x9b2J\u202egnp\u2028b\udce9"
HARMLESS = r"a\x1b[31mred\x1b]0;title\x07\r\x9b2J\u202egnp\u2028b\xe9"


def obeyed(text: str) -> list[str]:
    """What of a terminal's output a terminal would obey, line breaks not counted."""
    return [letter for letter in text.replace("\n", "") if not letter.isprintable()]


def test_controls_bidi_overrides_and_bytes_of_names_are_escaped_and_other_scripts_stay() -> None:
    assert printable(EVIL) == HARMLESS
    assert (
        printable("Größe 犬 \u0645\u06cc\u200c\u062e 🙂 [red] C:\\x")
        == "Größe 犬 \u0645\u06cc\u200c\u062e 🙂 [red] C:\\x"
    )
    assert printable("a\n\tb") == r"a\n\tb"
    assert printable("a\n\tb", lines=True) == "a\n\tb"


@given(st.text(st.characters()))
def test_what_is_printable_can_be_encoded_and_holds_nothing_that_is_obeyed(text: str) -> None:
    plain = printable(text)
    plain.encode("utf-8")
    assert not {chr(code) for code in (*range(32), *range(127, 160))} & set(plain)
    assert printable(plain) == plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("to http://user:pass@host:5000/x?", "to http://***@host:5000/x?"),
        ("postgresql+psycopg2://me:p@ss@db/x", "postgresql+psycopg2://***@db/x"),
        ("'https://token@host' and 'http://a:b@c'", "'https://***@host' and 'http://***@c'"),
        ("ssh://me@host:22", "ssh://me@host:22"),
        ("ssh://me:word@host", "ssh://me:***@host"),
        ("mail me@host, see http://host/a@b", "mail me@host, see http://host/a@b"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
    ],
)
def test_addresses_are_shown_without_user_and_password(text: str, plain: str) -> None:
    assert without_passwords(text) == plain


def test_no_door_lets_an_escape_or_markup_through(capfd) -> None:
    table = Table(title=EVIL)
    table.add_column(EVIL)
    table.add_row(f"{EVIL}[bold]x[/nothing]")
    table.add_row(Text(EVIL))
    for console in (output_console(), error_console()):
        console.print(table)
        console.print(f"{EVIL}[link=http://x]y[/link]:smile:")
        console.print(Text(EVIL))
    print_error(f"{EVIL}\n  more")
    watcher = LiveWatcher()
    watcher.begin(f"{EVIL}\nnote: forged", 1, 2)
    watcher.notice(f"{EVIL}\nerror: forged, http://me:word@host")
    out, err = capfd.readouterr()
    assert not obeyed(out)
    assert not obeyed(err)
    assert "[link=http://x]y[/link]:smile:" in out
    assert "[bold]x[/nothing]" in out.replace("\n", "")
    assert "\nnote: forged" not in err
    assert "\nerror: forged" not in err
    assert "word" not in err


def test_the_log_has_one_line_per_record_and_no_password(tmp_path: Path) -> None:
    with _logged(tmp_path / "edgepipe.log"):
        # Without the lone surrogate: workers of the suite send what pytest caught of a log as UTF-8.
        logging.getLogger("edgepipe").info("%s\n[forged] line http://me:word@host", EVIL.removesuffix("\udce9"))
    (line,) = (tmp_path / "edgepipe.log").read_text(encoding="utf-8").splitlines()
    assert line.endswith(HARMLESS.removesuffix(r"\xe9") + r"\n[forged] line http://***@host")
    assert "word" not in line


@pytest.mark.parametrize("part", ["passes", "model"])
def test_a_key_of_a_recipe_is_shown_escaped_and_on_one_line(tmp_path: Path, part: str, capfd, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(
        "# @package _global_\ndefaults:\n  - /model: resnet18\n  - /data: digits\n  - _self_\n"
        f'{part}: {{"a\\e[2J\\nok: all is well": 1}}\n'
    )
    assert main(["plan", "recipe=r.yaml"]) == 2
    err = capfd.readouterr().err
    assert not obeyed(err)
    assert "\nok:" not in err
    assert r"a\x1b[2J\nok: all is well" in err


def test_a_file_whose_name_is_no_text_is_named_in_the_error(tmp_path: Path, capfd) -> None:
    name = os.fsdecode(b"caf\xe9\x1b[2J.onnx")
    argv = [item for item in arguments(tmp_path) if not item.startswith("model.path=")]
    assert main(["plan", *argv, f"model.path={tmp_path}/{name}"]) == 2
    err = capfd.readouterr().err
    assert not obeyed(err)
    assert r"caf\xe9\x1b[2J.onnx" in err
