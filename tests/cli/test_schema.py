"""`edgepipe schema`: what metrics.json holds, and which names of it are on their way out."""

from __future__ import annotations

import json

import pytest

from edgepipe.__main__ import main


def test_the_schema_is_of_version_2_and_marks_what_is_deprecated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["properties"]["schema_version"]["const"] == 2
    parts = schema["$defs"]
    assert {"value", "ci95", "better", "unit"} == set(parts["Score"]["properties"])
    assert {"drop", "ci95"} == set(parts["Drop"]["properties"])
    for part, old in (("Measurements", {"top1", "top1_ci95", "top5"}), ("Versus", {"accuracy_drop", "agreement"})):
        properties = parts[part]["properties"]
        marked = {name for name, said in properties.items() if said.get("deprecated")}
        assert old <= marked
        assert not {"quality", "alike", "size_bytes", "times_smaller"} & marked
