"""One record says what a name is: the terminal and the reference page show the same words."""

from __future__ import annotations

import html
import re
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from edgepipe.__main__ import main
from edgepipe.cli.described import Setting, described, extra_of, markdown, type_name
from edgepipe.cli.list import GROUPS
from edgepipe.contract import Kind, Pass, Settings, Split
from edgepipe.plugins import entries, find


class Inner(Settings):
    """A part."""

    rate: float = Field(0.5, gt=0, le=1, description="a share")


class Made(Pass):
    """Does it.

    More of it,
    on two lines.
    Source: somebody, 2020.
    """

    reads: ClassVar[Kind] = Kind.ONNX
    writes: ClassVar[Kind] = Kind.ONNX
    data: ClassVar[tuple[Split, ...]] = (Split.CALIBRATION,)
    requires: ClassVar[tuple[str, ...]] = ("float",)
    timed: ClassVar[bool] = True

    count: int = Field(ge=2, description="so many | of them")
    inner: Inner | None = None


def test_a_class_is_described_with_all_that_it_declares() -> None:
    it = described("made", Made)
    assert (it.summary, it.text) == ("Does it.", ("More of it, on two lines.", "Source: somebody, 2020."))
    assert it.kinds == "onnx -> onnx"
    assert dict(it.facts) == {
        "Requires": "float",
        "Reads data": "calibration",
        "Note": "its result depends on this machine",
    }
    assert it.settings == (
        Setting("count", "int (at least 2)", "required", "so many | of them"),
        Setting("inner", "Inner | null", "null", ""),
        Setting("inner.rate", "float (above 0, at most 1)", "0.5", "a share"),
    )


def test_a_page_is_a_table_that_a_bar_does_not_break() -> None:
    page = markdown(described("made", Made), needs="pip install it")
    assert page.startswith("# made\n\nDoes it.\n\nMore of it, on two lines.\n")
    assert "- **Install**: `pip install it`" in page
    assert "| `inner` | <code>Inner &#124; null</code> | `null` |  |" in page
    assert "| `count` | `int (at least 2)` | **required** | so many \\| of them |" in page


@pytest.mark.parametrize("what", GROUPS)
def test_list_says_every_word_that_the_page_says(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in entries(GROUPS[what]):
        assert main(["list", what, name]) == 0
        said = re.findall(r"\w+", capsys.readouterr().out)
        page = re.sub(r"</?code>|\]\(http.*?\)", "", html.unescape(markdown(described(name, find(GROUPS[what], name)))))
        page = re.sub(r"^(## .*|\| (?:setting|measure) \| .*|- \*\*Takes and gives.*)$", "", page, flags=re.MULTILINE)
        assert not set(re.findall(r"\w+", page)) - set(said), name


def test_what_installs_a_library_is_the_extra_that_brings_it() -> None:
    extras = {"sound": ("soundfile",), "keras": ("tensorflow-cpu", "TF2onnx")}
    assert extra_of("tensorflow", ("onnx", "tf2onnx"), extras) == "keras"
    assert extra_of("tensorflow", ("tf2onnx",), {**extras, "tensorflow": ("tf2onnx",)}) == "tensorflow"
    assert extra_of("sound", (), extras) == "sound"
    assert extra_of("tensorflow", ("onnx",), extras) == ""


@pytest.mark.parametrize(
    ("annotation", "shown"),
    [
        (int, "int"),
        (float | None, "float | null"),
        (dict[str, Annotated[int, Field(ge=1)]], "dict[str, int]"),
        (Literal["keep", "dynamic"] | Annotated[int, Field(ge=1)], "'keep' | 'dynamic' | int"),
        (tuple[str | None, ...], "tuple[str | null, ...]"),
    ],
)
def test_the_type_of_a_setting_is_shown_as_people_write_it(annotation: Any, shown: str) -> None:
    assert type_name(annotation) == shown
