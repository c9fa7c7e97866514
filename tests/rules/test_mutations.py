"""The table of faults is sound: each can be made, and names a test that is there."""

from __future__ import annotations

import ast

import pytest

from tests.rules.mutations import MUTATIONS, Mutation, file_of
from tests.rules.source import ROOT, modules, text_of, tree_of


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda item: item.what)
def test_a_mutation_changes_one_place_into_other_python(mutation: Mutation) -> None:
    file = file_of(mutation)
    changed = ast.parse(text_of(file).replace(mutation.old, mutation.new))
    assert ast.dump(changed) != ast.dump(tree_of(file))


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda item: item.what)
def test_the_test_that_notices_it_is_there_and_quick(mutation: Mutation) -> None:
    file, _, name = mutation.killer.partition("::")
    assert file in modules("tests")
    (found,) = (item for item in tree_of(file).body if isinstance(item, ast.FunctionDef) and item.name == name)
    assert not any("mark.slow" in ast.unparse(item) for item in found.decorator_list)


def test_there_are_twenty_at_least_and_each_is_told_apart() -> None:
    assert len({item.what for item in MUTATIONS}) == len(MUTATIONS) >= 20
    assert len({item.old for item in MUTATIONS}) == len(MUTATIONS)


def test_a_text_that_stands_nowhere_or_twice_is_told() -> None:
    for text, said in (("no such text anywhere in it", "nowhere"), ("from __future__ import annotations", "in edge")):
        with pytest.raises(LookupError, match=said):
            file_of(Mutation("it", text, "", ""))


CI = ROOT / ".ci" / "spoiled"


@pytest.mark.skipif(not CI.is_file(), reason="a source distribution has no .ci")
def test_ci_runs_them() -> None:
    assert "python -m tests.rules.mutations" in CI.read_text(encoding="utf-8")
