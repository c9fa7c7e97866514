"""Whether a task keeps its contract."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Answers, Figure, Moves, Signature, Targets, Task, Tensor
from edgepipe.errors import DataError, MeasureError, ModelError
from edgepipe.testing.broken import Broken, call, made, must, refuses
from edgepipe.testing.toys import CLASSES, SIGNATURE

Outputs = Mapping[str, NDArray[Any]]
_COUNT = 48
_NEAR = 1e-4
"""Of a figure: float32 sums in another order."""


def check_task(
    task: type[Task] | Task,
    *,
    outputs: Outputs | None = None,
    labels: NDArray[Any] | None = None,
    signature: Signature = SIGNATURE,
) -> None:
    """Hold a task against its contract.

    Args:
        outputs: of a good model for at least 8 different examples, by name; None: a vector of 8 scores each, near the
            labels.
        labels: as a data source gives them; None: classes, rows of 0 and 1, numbers, or masks, whichever it takes.
        signature: with the names of classes, where the task needs them.
    Raises:
        Broken: names the method.
    """
    checked: Task = made(task, Task)
    _check_measures(checked)
    toy = _toy(checked, outputs, labels, signature)
    for check in (_decodes, _misfits, _measures, _tells_classes, _compares, _answers_alike, _tells, _refuses, _trains):
        check(toy)


@dataclass(frozen=True)
class _Toy:
    """A task with the answers of a good and a worse model to the same examples."""

    task: Task
    outputs: Outputs
    worse_outputs: Outputs
    raw: NDArray[Any] | None
    signature: Signature
    good: Answers
    worse: Answers
    targets: Targets

    @property
    def count(self) -> int:
        return len(next(iter(self.outputs.values())))

    def where(self, method: str) -> str:
        return f"{type(self.task).__name__}.{method}"

    def answers(self, outputs: Outputs) -> Answers:
        return call(self.where("answers"), self.task.answers, outputs, self.signature, "toy.onnx")


def _check_measures(task: Task) -> None:
    where = f"{type(task).__name__}.measures"
    must(task.measures, where, "is empty, and its first is the headline")
    names = [measure.name for measure in task.measures]
    names += [measure.change_name for measure in task.measures]
    must(len(set(names)) == len(names), where, f"names and names of changes are not all different: {names}")
    for measure in task.measures:
        must(
            measure.name.isidentifier() and measure.name == measure.name.lower(),
            where,
            f"'{measure.name}' is no word as `goal.NAME` takes it: small letters, digits and '_'",
        )
        must(measure.better in ("higher", "lower"), where, f"'{measure.name}' is better {measure.better!r}")
        must(measure.description and measure.title, where, f"'{measure.name}' has no title or no description")
        must(measure.worse_by >= 0, where, f"'{measure.name}' has a negative worse_by")


def _candidates() -> list[tuple[NDArray[Any], NDArray[np.float32]]]:
    """(labels, a good model's scores) of every kind of label that the kit knows: classes, rows, numbers, masks."""
    rng = np.random.default_rng(0)
    noise = 0.05 * rng.random((_COUNT, CLASSES))
    classes = np.arange(_COUNT) % CLASSES
    several = rng.integers(0, 2, (_COUNT, CLASSES))
    several[0], several[1] = 0, 1  # each class occurs, and each is missing somewhere
    numbers = rng.standard_normal((_COUNT, CLASSES)).astype(np.float32)
    near = [0.9 * each + noise for each in (np.eye(CLASSES)[classes], several)]
    scores = [(0.02 + each).astype(np.float32) for each in near]
    masks = rng.integers(0, CLASSES, (_COUNT, 4, 4))
    maps = np.moveaxis(np.eye(CLASSES)[masks], 3, 1) + 0.05 * rng.random((_COUNT, CLASSES, 4, 4))
    return [
        (classes, scores[0]),
        (several, scores[1]),
        (numbers, (numbers + noise).astype(np.float32)),
        (masks, maps.astype(np.float32)),
    ]


def _toy(task: Task, outputs: Outputs | None, labels: NDArray[Any] | None, signature: Signature) -> _Toy:
    """The first examples that the task takes; those that were given, if any.

    Raises:
        Broken: it takes none; says what stood in the way of those that came furthest.
    """
    if outputs is not None:
        return _tried(task, dict(outputs), labels, signature)
    reasons: list[Broken] = []
    for raw, scores in _candidates():
        if labels is not None:
            raw = labels
        try:
            return _tried(task, {"scores": scores}, raw, signature)
        except Broken as broken:
            reasons.append(broken)
    order = ["targets", "targets_of", "answers", "measured"]
    furthest = max(reasons, key=lambda broken: order.index(str(broken).partition(":")[0].rpartition(".")[2]))
    raise Broken(
        f"{furthest}. No labels of the kit fit (classes, rows of 0 and 1, numbers, masks); if the task wants others, "
        "give check_task(…, outputs=…, labels=…)"
    )


def _tried(task: Task, outputs: Outputs, raw: NDArray[Any] | None, signature: Signature) -> _Toy:
    who = type(task).__name__
    worse = {name: _mixed_up(values) for name, values in outputs.items()}
    targets: Targets | None = None
    if raw is not None and task.labelled:
        targets = call(f"{who}.targets", task.targets, raw, signature)
    good, bad = (call(f"{who}.answers", task.answers, each, signature, "toy.onnx") for each in (outputs, worse))
    if targets is None:
        targets = call(f"{who}.targets_of", task.targets_of, good)
        must(
            targets is not None,
            f"{who}.targets_of",
            "gives nothing, and no labels say what is right",
        )
    assert targets is not None
    figures = call(f"{who}.measured", task.measured, good, targets)
    must(isinstance(figures, dict), f"{who}.measured", f"returned {figures!r}: Figures by name are wanted")
    return _Toy(task, outputs, worse, raw, signature, good, bad, targets)


def _mixed_up(values: NDArray[Any]) -> NDArray[Any]:
    """The answers of a worse model: those of a third of the examples belong to others."""
    found = np.array(values)
    rows = np.arange(0, len(found), 3)
    found[rows] = found[np.roll(rows, 1)]
    return found


def _decodes(toy: _Toy) -> None:
    """`answers`, `join`, `count`, `possible`: arrays of numbers, alike batch by batch, and known for what they are."""
    task, where = toy.task, toy.where("answers")
    must(isinstance(toy.good, dict) and toy.good, where, f"returned {toy.good!r}, and named arrays are wanted")
    for name, values in toy.good.items():
        must(
            isinstance(values, np.ndarray) and values.dtype.kind in "fiub",
            where,
            f"'{name}' is no array of numbers, and answers are saved without pickle",
        )
    call(toy.where("check_labels"), task.check_labels, toy.outputs, toy.targets, "toy.onnx")
    before = _bytes(toy.outputs)
    again = toy.answers(toy.outputs)
    must(_same(again, toy.good), where, "the same outputs give other answers the second time")
    must(_bytes(toy.outputs) == before, where, "changes the outputs that it was given")
    third = max(1, toy.count // 3)
    starts = range(0, toy.count, third)
    parts = [toy.answers({name: v[i : i + third] for name, v in toy.outputs.items()}) for i in starts]
    joined = call(toy.where("join"), task.join, parts)
    must(_same(joined, toy.good), toy.where("join"), "answers batch by batch, joined, are not those to all at once")
    found = call(toy.where("count"), task.count, toy.good)
    must(found == toy.count, toy.where("count"), f"says {found} of the answers to {toy.count} examples")
    stored = io.BytesIO()
    np.savez(stored, **toy.good)  # type: ignore[arg-type]
    stored.seek(0)
    with np.load(stored, allow_pickle=False) as archive:
        loaded = {name: archive[name] for name in archive.files}
    possible = toy.where("possible")
    must(call(possible, task.possible, loaded, toy.count), possible, "refuses its own answers, saved and loaded")
    for other in (toy.count - 1, toy.count + 1):
        must(
            not call(possible, task.possible, loaded, other),
            possible,
            f"takes the answers to {toy.count} examples for those to {other}",
        )
    must(not call(possible, task.possible, {}, toy.count), possible, "takes no arrays at all for answers")


def _misfits(toy: _Toy) -> None:
    """`misfit` and `answers` agree on which outputs can be judged."""
    where = toy.where("misfit")
    found = call(where, toy.task.misfit, _tensors(toy.outputs))
    must(found is None, where, f"refuses the outputs that this check is made with: {found}")
    rng = np.random.default_rng(1)
    odd: list[Outputs] = [
        {"boxes": rng.random((6, 5, 4)).astype(np.float32)},
        {"number": rng.random((6, 1)).astype(np.float32)},
        {"ids": rng.integers(0, 3, (6, 7))},
    ]
    for outputs in odd:
        (tensor,) = _tensors(outputs)
        shape = f"{tensor.dtype} {list(tensor.shape)} for each example"
        why = call(where, toy.task.misfit, [tensor])
        must(why is None or (isinstance(why, str) and why.strip()), where, f"returned {why!r}: a sentence, or None")
        if why is None:
            try:
                toy.task.answers(outputs, toy.signature, "toy.onnx")
            except Exception as error:
                raise Broken(f"{where}: has nothing against {shape}, and `answers` has: {error}") from error


def _measures(toy: _Toy) -> None:
    """`measured`: every measure, within its interval, worse for worse answers."""
    task, where = toy.task, toy.where("measured")
    before = _bytes(toy.good), _bytes(toy.targets)
    good, worse = (_figures(toy, "measured", each, toy.targets) for each in (toy.good, toy.worse))
    must(_figures(toy, "measured", toy.good, toy.targets) == good, where, "the same answers measure otherwise twice")
    must((_bytes(toy.good), _bytes(toy.targets)) == before, where, "changes the answers or targets that it was given")
    fell = False
    for measure in task.measures:
        better, less = good[measure.name].value, worse[measure.name].value
        if better is None or less is None:
            continue
        loss = (better - less) * (1 if measure.better == "higher" else -1)
        must(
            loss >= -_NEAR * (1 + abs(better)),
            toy.where("measures"),
            f"{measure.better} is better of '{measure.name}', and the answers of a third of the examples mixed up have "
            f"{less:.4f} in place of {better:.4f}",
        )
        fell |= loss > _NEAR
    must(fell, where, "the answers of a third of the examples mixed up are as good by every measure")


def _tells_classes(toy: _Toy) -> None:
    """`by_class`: finite numbers by title and class."""
    where = toy.where("by_class")
    found = call(where, toy.task.by_class, toy.good, toy.targets, toy.signature)
    fine = isinstance(found, dict) and all(
        isinstance(title, str)
        and isinstance(values, dict)
        and all(isinstance(value, float) and np.isfinite(value) for value in values.values())
        for title, values in found.items()
    )
    must(fine, where, f"returned {found!r}, and finite numbers by title and class are wanted")


def _compares(toy: _Toy) -> None:
    """`compared`: the difference of what `measured` says, positive where it got worse; none to itself."""
    where = toy.where("compared")
    good, worse = (_figures(toy, "measured", each, toy.targets) for each in (toy.good, toy.worse))
    changes = _figures(toy, "compared", toy.worse, toy.good, toy.targets)
    itself = _figures(toy, "compared", toy.good, toy.good, toy.targets)
    for measure in toy.task.measures:
        better, less, change = good[measure.name].value, worse[measure.name].value, changes[measure.name].value
        same = itself[measure.name].value
        must(not same or abs(same) <= _NEAR, where, f"answers have a '{measure.change_name}' of {same} to themselves")
        if better is None or less is None:
            continue
        loss = (better - less) * (1 if measure.better == "higher" else -1)
        must(
            change is not None and abs(change - loss) <= _NEAR * (1 + abs(loss)),
            where,
            f"says {change} of '{measure.change_name}', and `measured` says {better:.4f} before and {less:.4f} now, of "
            f"which {measure.better} is better: {loss:.4f}",
        )


def _answers_alike(toy: _Toy) -> None:
    where = toy.where("alike")
    for one, other in ((toy.good, toy.good), (toy.worse, toy.good)):
        found = call(where, toy.task.alike, one, other)
        must(
            isinstance(found, np.ndarray) and found.shape == (toy.count,) and found.dtype == np.bool_,
            where,
            f"returned {getattr(found, 'dtype', type(found).__name__)} {getattr(found, 'shape', '')}, and bool "
            f"({toy.count},) is wanted, one for each example",
        )
        if one is other:
            must(found.all(), where, "answers are not alike to themselves everywhere")
        else:
            must(not found.all(), where, "answers are alike everywhere, though those of a third are mixed up")
            must(found.any(), where, "answers are alike nowhere, though two thirds are the same")


def _tells(toy: _Toy) -> None:
    """`lost`, `say` and `notes`: what the report shows."""
    task = toy.task
    where = toy.where("lost")
    must(not len(call(where, task.lost, toy.good, toy.good, toy.targets)), where, "answers lost examples to themselves")
    lost = call(where, task.lost, toy.worse, toy.good, toy.targets)
    for index in np.asarray(lost).tolist():
        must(isinstance(index, int) and 0 <= index < toy.count, where, f"{index!r} is no index of an example")
        for values in (toy.worse, toy.targets):
            text = call(toy.where("say"), task.say, values, index, toy.signature)
            must(isinstance(text, str) and text, toy.where("say"), "says nothing of an example that `lost` names")
    for baseline, targets in ((None, toy.targets), (toy.good, toy.targets), (toy.good, None)):
        notes = call(toy.where("notes"), task.notes, toy.worse, baseline, targets, toy.signature)
        must(
            isinstance(notes, list) and all(isinstance(note, str) for note in notes),
            toy.where("notes"),
            f"returned {notes!r}, and a list of sentences is wanted",
        )


def _refuses(toy: _Toy) -> None:
    """What cannot be judged ends in an error for people."""
    task = toy.task
    broken = {name: np.full_like(v, np.nan) for name, v in toy.outputs.items() if v.dtype.kind == "f"}
    if broken:
        given = {**toy.outputs, **broken}
        refuses(toy.where("answers"), MeasureError, "outputs of NaN", task.answers, given, toy.signature, "toy.onnx")
    if toy.raw is not None and task.labelled:
        words, told = np.array(["ant", "bee"] * 4), "words as labels"
        if toy.raw.dtype.kind == "U":
            words, told = np.arange(8.0), "numbers as labels"
        refuses(toy.where("targets"), DataError, told, task.targets, words, toy.signature)


def _trains(toy: _Toy) -> None:
    if not toy.task.trains or toy.raw is None:
        return
    import torch

    where = toy.where("loss")
    outputs = torch.from_numpy(np.array(next(iter(toy.outputs.values())))).requires_grad_()
    learned = call(toy.where("encoded"), toy.task.encoded, np.array(toy.raw), toy.signature)
    must(
        isinstance(learned, np.ndarray) and learned.dtype.kind in "fiub" and len(learned) == toy.count,
        toy.where("encoded"),
        "gives no numbers for each example",
    )
    targets = torch.from_numpy(np.asarray(learned))
    try:
        loss = toy.task.loss(outputs, targets)
    except ModelError:
        return  # it learns from other outputs than these, and says so
    except Exception as error:
        raise Broken(f"{where}: raised {type(error).__name__}: {error}") from error
    must(isinstance(loss, torch.Tensor) and loss.shape == (), where, "is no scalar tensor")
    call(where, loss.backward)
    must(outputs.grad is not None and bool(torch.isfinite(outputs.grad).all()), where, "has no finite gradient")
    still = torch.zeros(toy.count, dtype=torch.int64)
    moved = call(toy.where("moved"), toy.task.moved, targets, Moves(still, still, still.bool(), 4, 4))
    must(torch.equal(moved, targets), toy.where("moved"), "changes the labels of pictures that did not move")


def _figures(toy: _Toy, method: str, *given: Any) -> dict[str, Figure]:
    """What `measured` or `compared` gives, every measure of it well formed."""
    where, names = toy.where(method), {measure.name for measure in toy.task.measures}
    ask: Callable[..., dict[str, Figure]] = getattr(toy.task, method)
    found = call(where, ask, *given)
    must(isinstance(found, dict), where, f"returned {found!r}, and Figures by name are wanted")
    must(set(found) == names, where, f"gives {sorted(found)}, and measures are {sorted(names)}")
    for name, figure in found.items():
        must(isinstance(figure, Figure), where, f"'{name}' is {figure!r}, and a Figure is wanted")
        if figure.value is None:
            continue
        must(isinstance(figure.value, float) and np.isfinite(figure.value), where, f"'{name}' is {figure.value!r}")
        if figure.ci95 is not None:
            low, high = figure.ci95
            slack = _NEAR * (1 + abs(figure.value))
            must(
                low - slack <= figure.value <= high + slack,
                where,
                f"'{name}' is {figure.value:.4f}, outside of its interval from {low:.4f} to {high:.4f}",
            )
    return found


def _tensors(outputs: Outputs) -> list[Tensor]:
    return [Tensor(name=name, dtype=str(values.dtype), shape=values.shape[1:]) for name, values in outputs.items()]


def _bytes(arrays: Mapping[str, NDArray[Any]]) -> dict[str, bytes]:
    return {name: np.ascontiguousarray(values).tobytes() for name, values in arrays.items()}


def _same(one: Answers, other: Answers) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
