"""What a user might get wrong, at random but seeded: settings at their edges, overrides, files, command lines."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from edgepipe.plugins import entries, find
from edgepipe.recipe.lookup import shipped_recipes
from edgepipe.recipe.schema import PARTS, Recipe
from edgepipe.recipe.words import quoted

EDGES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.0, 1e-320, 1e300, -1e300, 2**31, 2**32, 2**63, 2**64, 10**40, 10**400),
    *(
        float("nan"),
        float("inf"),
        float("-inf"),
        "",
        " ",
        "x",
        "null",
        "true",
        "nan",
        "1e999",
        "-",
        ".",
        "..",
        "/",
        "~",
    ),
    *(
        "x" * 300,
        "é",
        "写真",
        "a b",
        "a,b",
        "it's",
        "c#d",
        "${x}",
        "${oc.env:NOT_SET}",
        "${",
        "\\${x}",
        "${now:}",
        "???",
    ),
    *("%s", "5%", "nan%", "{}", "a\nb", "\x1b[31m", "\ufeff", "http://[x", "sqlite:///", "resnet18", "mse", "dynamic"),
    *([], [1], [0, 0], [None], ["x"], [[1, 2]], [float("nan")] * 3, {}, {"a": 1}, {"pass": "export"}, {"name": "x"}),
]
TYPED = [
    *(
        "",
        "null",
        "true",
        "0",
        "-1",
        "1e300",
        "nan",
        "inf",
        "-inf",
        "10" * 200,
        "[",
        "]",
        "{",
        "}",
        "[1,",
        "{a:",
        "(",
        ")",
    ),
    *("'", '"', "'x", "x'y", '"x" y', "a,b", ",", "choice(", "choice(a,b)", "choice()", "range(1,0)", "range(0,3)"),
    *(
        "interval(0,1)",
        "glob(*)",
        "sort(a,b)",
        "int(x)",
        "f(x)",
        "é",
        "c#d",
        "x=y",
        "a&b",
        "copy (1)",
        "${x}",
        "${",
        "}",
    ),
    *("\\", "\\'", "a\\,b", "~", "~/x", "~nobody/x", "$", "@", ":", "a:b", "|", "%", "\t", " ", "\n", "x" * 300, "???"),
    *("[a b,'c d']", "{a: [b]}", "[é]", "{é: 1}", "0x10", "1_0", "007", ".5", "5.", "+1", "!!int 3", "*a", "&a b"),
]


@cache
def _places() -> list[tuple[str, ...]]:
    """Every setting there is, as (pass or source, place...)."""
    found: list[tuple[str, ...]] = []

    def walk(kind: type[BaseModel], place: tuple[str, ...]) -> None:
        for name, field in kind.model_fields.items():
            found.append((*place, name))
            inner = field.annotation
            if isinstance(inner, type) and issubclass(inner, BaseModel) and len(place) < 4:
                walk(inner, (*place, name))

    for name in sorted(entries("passes")):
        walk(find("passes", name), ("passes", name))
    for what, group in PARTS.items():
        for name in sorted(entries(group)):
            walk(find(group, name), (what, name))
    walk(Recipe, ("recipe",))
    return found


@cache
def _shipped() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(shipped_recipes().rglob("*.yaml"))]


def base() -> dict[str, Any]:
    """A recipe that is right."""
    return {
        "model": {"source": "torchvision", "name": "resnet18", "weights": None, "num_classes": None},
        "data": {"source": "digits"},
        "passes": {},
    }


def content(rng: random.Random) -> dict[str, Any]:
    """A recipe with one to three settings at an edge."""
    made = base()
    for _ in range(rng.choice([1, 1, 2, 3])):
        what, *place = rng.choice(_places())
        value = rng.choice(EDGES)
        if what == "recipe":
            target: Any = made
        elif what == "passes":
            label = rng.choice(["a", "b", "load", "lower", "é", "x" * 300, "", "a/b", "1"])
            target = made["passes"] if isinstance(made["passes"], dict) else {}
            target = target.setdefault(label, {"pass": place[0]})
            place = place[1:]
        else:
            if not isinstance(made[what], dict) or made[what].get("source") != place[0]:
                made[what] = {"source": place[0], "path": "m"} if what == "model" else {"source": place[0]}
            target, place = made[what], place[1:]
        for part in place[:-1]:
            inner = target.get(part)
            target[part] = target = dict(inner) if isinstance(inner, dict) else {}
        target[place[-1]] = value
    return made


def text(rng: random.Random) -> bytes:
    """A recipe's file: a shipped one with something wrong in it, or one whose values stand at their edges."""
    if rng.random() < 0.3:
        groups = {"defaults": rng.choice([*EDGES, ["/model: resnet18"], [{"/model": "resnet18"}, {"/data": "digits"}]])}
        more = {rng.choice(["seed", "passes", "model", "hydra", "x", "goal", "target"]): rng.choice(EDGES)}
        written = yaml.safe_dump({**groups, **more}, allow_unicode=True, sort_keys=False)
        return written.encode("utf-8", "surrogatepass")
    lines = rng.choice(_shipped()).splitlines()
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = rng.randrange(len(lines))
        change = rng.randrange(8)
        if change == 0:
            del lines[at]
        elif change == 1:
            lines.insert(at, rng.choice(lines))
        elif change == 2:
            lines[at] = f"{lines[at].partition(':')[0]}: {rng.choice(TYPED)}"
        elif change == 3:
            lines[at] = f"{' ' * rng.randrange(4)}{lines[at]}"
        elif change == 4:
            lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
        elif change == 5:
            lines[at] = f"{rng.choice(TYPED)}: {lines[at].strip()}"
        elif change == 6:
            lines.insert(0, f"# @{rng.choice(['package', 'packag', ''])} {rng.choice(TYPED)}")
        else:
            lines[at] = lines[at].replace(":", rng.choice(["", "=", "::", ":\t"]), 1)
        lines = lines or [""]
    written = "\n".join(lines).encode("utf-8", "surrogatepass")
    if rng.random() < 0.2:
        at = rng.randrange(len(written) + 1)
        written = written[:at] + bytes(rng.randrange(256) for _ in range(rng.choice([1, 1, 3]))) + written[at:]
    return written


def overrides(rng: random.Random) -> list[str]:
    """Words of a command line behind a right recipe."""
    made = []
    for _ in range(rng.choice([1, 1, 2, 3])):
        what, *place = rng.choice(_places())
        if what == "passes":
            made.append(f"{rng.choice(['', '+', '++'])}passes.x.pass={place[0]}")
            place = ["passes", "x", *place[1:]]
        elif what != "recipe":
            place = [what, *place[1:]]
            if rng.random() < 0.5:
                made.append(f"{what}={rng.choice(['onnx', 'digits', 'npz', 'resnet18', 'keras', rng.choice(TYPED)])}")
        key = ".".join(place)
        if rng.random() < 0.2:
            key = rng.choice(
                ["hydra.run.dir", "hydra.job.name", "hydra/launcher", "target", "tracking", "é", "a b", key]
            )
        value = rng.choice(TYPED) if rng.random() < 0.7 else quoted(str(rng.choice(EDGES)))
        sign = rng.choice(["", "", "", "+", "++", "~"])
        made.append(rng.choice([f"{sign}{key}={value}"] * 8 + [f"{sign}{key}", value, f"={value}", f"{key}=={value}"]))
    return made


def command(rng: random.Random, folder: Path) -> list[str]:
    """A command line of `plan`; what it names lies in the folder."""
    if rng.random() < 0.5:
        name = rng.choice(["odd", "é", "11", "copy (1)", "x,y"])
        (folder / f"{name}.yaml").write_bytes(text(rng))
        return [f"recipe={folder}/{name}.yaml", *(overrides(rng) if rng.random() < 0.2 else [])]
    whole = rng.choice([["recipe=resnet18_int8"], ["recipe=ptq", "model=resnet18", "data=digits"]])
    return [*whole, *overrides(rng)]
