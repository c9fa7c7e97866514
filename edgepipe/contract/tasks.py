"""A task: what a model's outputs mean, and how well they are right.

Everything that judges answers (measuring, goals, the gate, proofs on other processors, the report) asks the task
and knows no measure by name.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from edgepipe.contract.data import as_numbers
from edgepipe.contract.settings import Settings
from edgepipe.errors import MeasureError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgepipe.contract.signature import Signature, Tensor

Interval = tuple[float, float]
"""A 95% interval: (low, high)."""

Answers = dict[str, "NDArray[Any]"]
"""What a model answered, decoded, as named arrays of numbers. The first axis of each counts the examples, unless the
task overrides `count` and `join`."""

Targets = dict[str, "NDArray[Any]"]
"""What is right, in the form that the task's `targets` gives."""

ByClass = dict[str, dict[str, float]]
"""A title, as "IoU", to the value of each class by its name."""


class Figure(NamedTuple):
    """A measured number with its 95% interval; `value` None: it has no meaning on these examples."""

    value: float | None
    ci95: Interval | None = None


def _digits(value: float) -> str:
    """Four decimals, as scores have them; four digits of what they would not show, or show too many of."""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 100 else f"{value:.4g}"


class Moves(NamedTuple):
    """What training did to the pictures of a batch, (height, width) each; torch tensors of (n,).

    Attributes:
        down, right: int64, pixels that the content was moved by; what came in repeats the border.
        mirrored: bool, whether it was then mirrored left to right.
    """

    down: Any
    right: Any
    mirrored: Any
    height: int
    width: int


@dataclass(frozen=True)
class Measure:
    """One number that says how good answers are.

    Attributes:
        name: as in `goal.NAME` and metrics.json.
        title: for people, as in a table's head.
        better: which way is better.
        description: one sentence: of what, in which range.
        unit: of the value; "share" is shown in percent; "": none.
        worse_by: how far the gate lets it be worse when nobody says; a share of the value where `relative`.
        change: name of the paired difference to the baseline, positive where it got worse; "": NAME_drop or NAME_rise.
        change_title: for people.
        column: whether it stands in the table of steps; the headline always does.
    """

    name: str
    title: str
    better: Literal["higher", "lower"]
    description: str
    unit: str = ""
    worse_by: float = 0.01
    relative: bool = False
    change: str = ""
    change_title: str = ""
    column: bool = True

    @property
    def change_name(self) -> str:
        """Name of the paired difference, as in `goal.NAME`."""
        return self.change or f"{self.name}_{'drop' if self.better == 'higher' else 'rise'}"

    def text(self, value: float) -> str:
        """The value for people."""
        if self.unit == "share":
            return f"{100 * value:.2f}%"
        return _digits(value) if self.unit == "" else f"{value:.4g} {self.unit}"

    def change_text(self, value: float) -> str:
        """A difference for people: of shares in percentage points."""
        if self.unit == "share":
            return f"{100 * value:+.2f} points"
        return ("" if value < 0 else "+") + _digits(value) if self.unit == "" else f"{value:+.4g} {self.unit}"


class Task(Settings):
    """Base class of every task; its fields are settings of the recipe's `task`.

    Class attributes:
        measures: what it measures, the headline first.
        trains: whether `loss` is there: passes that train take this task.
        one_class: whether labels are one class for each example and the first output scores the classes: label
            smoothing, curves of accuracy, a teacher's answers and training in int8 are for such tasks.
        labelled: whether the data's labels say what is right; otherwise the baseline's answers always do.
        covers: whether the measures say all there is to say of the first output, as of scores; else records tell how
            each of its parts changed, too.
        program: dotted name of a package of numpy alone that goes with every bundle, where outputs say little by
            themselves; its `say(outputs, settings, names, at)` puts one example's outputs into words; `at` is what
            example.py knows of the picture or the text that was given, None of arrays.
        page: the ES module that reads outputs in a browser, as `package/folder/file.mjs`; its `answered(outputs,
            settings, about)` says what the bundle's page shows of one example: see `edgepipe/bundle/files/show.mjs`.
            The modules beside it that it imports go along; "": the page shows outputs as numbers.
        least_range: share of the widest part's range from which a part of an output is looked at: a score lies beside
            boxes of 1280 pixels, while of a vector only what gives it its direction counts.
    """

    measures: ClassVar[tuple[Measure, ...]]
    trains: ClassVar[bool] = False
    one_class: ClassVar[bool] = False
    labelled: ClassVar[bool] = True
    covers: ClassVar[bool] = False
    least_range: ClassVar[float] = 5e-4
    program: ClassVar[str] = ""
    page: ClassVar[str] = ""

    def with_model(self, said: Mapping[str, str]) -> Task:
        """This task, with what the model's own file says of its answers where the settings leave it open.

        Asked of every model before it is measured; settings that name files are read here, so that what is in them is
        part of every key.

        Args:
            said: the metadata of the ONNX file, by name; untrusted.
        Raises:
            ModelError: something must be said, and nobody says it.
        """
        del said
        return self

    def misfit(self, outputs: Sequence[Tensor]) -> str | None:
        """Why a model with these outputs cannot be judged so, in a sentence; None: it can."""
        del outputs
        return None

    @abstractmethod
    def targets(self, raw: NDArray[Any], signature: Signature) -> Targets:
        """What the data gives as right answers, checked.

        Args:
            raw: the labels of a split or a batch, its first axis counts the examples.
        Raises:
            DataError: they are none of this task; names the example or what was found.
        """

    @abstractmethod
    def answers(self, outputs: Mapping[str, NDArray[Any]], signature: Signature, what: str) -> Answers:
        """Decode one batch of outputs.

        Args:
            outputs: by name, in the model's order; the first axis of each counts the examples.
            what: names the model in messages.
        Raises:
            MeasureError: they cannot be answers: of another shape, NaN.
        """

    def check_labels(self, outputs: Mapping[str, NDArray[Any]], targets: Targets, what: str) -> None:
        """Refuse labels that a model with such outputs can never answer.

        Args:
            outputs: of one batch, as for `answers`; targets: of all examples.
            what: names the model in messages.
        Raises:
            DataError: says which label, and what the model can answer.
        """
        del outputs, targets, what

    @abstractmethod
    def measured(self, answers: Answers, targets: Targets) -> dict[str, Figure]:
        """Every measure, by name."""

    def by_class(self, answers: Answers, targets: Targets, signature: Signature) -> ByClass:
        """What the report shows of each class, as in {"IoU": {"road": 0.91}}; finite numbers; {}: nothing."""
        del answers, targets, signature
        return {}

    @abstractmethod
    def compared(self, answers: Answers, baseline: Answers, targets: Targets) -> dict[str, Figure]:
        """By measure's name how much worse than the baseline, on the same examples: positive is worse."""

    @abstractmethod
    def alike(self, answers: Answers, baseline: Answers) -> NDArray[np.bool_]:
        """(n,): whether an example is answered as the baseline answers it."""

    def kept(self, wanted: NDArray[Any], got: NDArray[Any]) -> float:
        """How much of one output is kept by a runtime that rounds an int8 file otherwise, at most 1; mean cosine here.

        Args:
            wanted, got: (n, values) of numbers, more than one value each; single ones are held by the variance kept.
        """
        import numpy as np

        norms = np.linalg.norm(wanted, axis=1) * np.linalg.norm(got, axis=1)
        return float(((wanted * got).sum(axis=1) / np.maximum(norms, 1e-30)).mean())

    def targets_of(self, baseline: Answers) -> Targets | None:
        """The baseline's answers as what is right, for data without labels; None: nothing is measured then."""
        del baseline
        return None

    def count(self, answers: Answers) -> int:
        """Number of examples."""
        return len(next(iter(answers.values())))

    def join(self, parts: Sequence[Answers]) -> Answers:
        """The answers of several batches as those of one.

        Raises:
            MeasureError: those of different examples have different shapes.
        """
        import numpy as np

        for name in parts[0]:
            shapes = sorted({part[name].shape[1:] for part in parts})
            if len(shapes) > 1:
                raise MeasureError(
                    f"answers have another shape for each example ({list(shapes[0])}, {list(shapes[1])}), "
                    "and this task compares answers of one: set task=agreement, or give examples of one shape"
                )
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def possible(self, answers: Answers, count: int) -> bool:
        """Whether arrays from a file can be the answers to so many examples."""
        import numpy as np

        return bool(answers) and all(
            len(values) == count and (values.dtype.kind != "f" or bool(np.isfinite(values).all()))
            for values in answers.values()
        )

    def lost(self, answers: Answers, baseline: Answers, targets: Targets) -> NDArray[np.int64]:
        """Indices of the examples that the baseline answers rightly and these answers do not."""
        import numpy as np

        del answers, baseline, targets
        return np.empty(0, np.int64)

    def say(self, values: Mapping[str, NDArray[Any]], index: int, signature: Signature) -> str:
        """An example's answer, or its target, in a few words for the report."""
        del values, index, signature
        return ""

    def show(
        self, picture: NDArray[np.uint8], values: Mapping[str, NDArray[Any]], index: int, signature: Signature
    ) -> NDArray[np.uint8] | None:
        """An example's answer, or its target, drawn on its picture for the report; None: words say it.

        Args:
            picture: what the model was given, RGB, (height, width, 3).
        Returns:
            RGB, (h, w, 3), of any size.
        """
        del picture, values, index, signature
        return None

    def notes(
        self, answers: Answers, baseline: Answers | None, targets: Targets | None, signature: Signature
    ) -> list[str]:
        """What to say of answers that can hardly be meant: of one class all, of classes that the data does not have.

        Args:
            baseline: None: these are the answers of the model as it came.
        """
        del answers, baseline, targets, signature
        return []

    def alternatives(self, answers: Answers, targets: Targets) -> Sequence[tuple[str, Task]]:
        """The task otherwise set, as answers to labelled examples suggest; each with what differs.

        `edgepipe new` scores the examples with each: a model that counts its classes in another order, say.
        """
        del answers, targets
        return ()

    def for_program(self, outputs: Mapping[str, NDArray[Any]], signature: Signature) -> dict[str, Any]:
        """The settings, as JSON has them, with which `program` reads outputs like these; only where there is one.

        Args:
            outputs: as for `answers`.
        """
        del outputs, signature
        return {}

    def for_page(self, outputs: Mapping[str, NDArray[Any]], signature: Signature) -> dict[str, Any]:
        """The settings, as JSON has them, with which `page` reads outputs like these; only where there is one.

        Args:
            outputs: as for `answers`.
        """
        del outputs, signature
        return {}

    def loss(self, outputs: Any, targets: Any) -> Any:
        """What training minimizes, a scalar torch tensor; only where `trains`.

        Args:
            outputs: what the network returns in training mode, float32: a tensor, or a tuple or dict of them.
            targets: a batch of the data's labels, as `encoded` gives them, a torch tensor.
        """
        del outputs, targets
        raise NotImplementedError(f"{type(self).__name__}.loss: this task does not train")

    def encoded(self, raw: NDArray[Any], signature: Signature) -> NDArray[Any]:
        """Labels as the numbers that `loss` takes; the first axis counts the examples. As they come, texts as letters.

        Raises:
            DataError: they cannot be learned.
        """
        del signature
        return as_numbers(raw)

    def moved(self, targets: Any, moves: Moves) -> Any:
        """A batch's labels after its pictures were shifted and mirrored: those that do not say where something is stay.

        Args:
            targets: as for `loss`; a new tensor is returned where something changes.
        """
        del moves
        return targets
