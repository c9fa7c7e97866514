"""Recordings in one folder per class, or with a table of what is heard when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from edgepipe.base.text import printable
from edgepipe.contract import Dataset, Split, Tensor
from edgepipe.contract.guess import Contents, Guess, Sure
from edgepipe.data.settings import OnOverlap, Trust
from edgepipe.data.sound_settings import SoundSettings
from edgepipe.errors import DataError

if TYPE_CHECKING:
    from edgepipe.data.listing import Listing
    from edgepipe.data.segments import Segment
    from edgepipe.data.sounds import Samples, Sounds

SUFFIXES = (".wav", ".wave", ".flac", ".ogg", ".aiff", ".aif", ".mp3")
_MOST_TABLE = 256 << 20
_VERSION = 1


class AudioFolderData(SoundSettings):
    """Your own recordings: `ROOT/{train,test}/CLASS/*.wav`, or `ROOT/CLASS/*.wav`, or a table of segments; .zip too.

    Class folders: a recording is an example, its middle where it is longer than `samples`, zeros around it where it is
    shorter. With `segments`, a CSV of file, start, end and label in seconds, each recording is cut into examples one
    behind the other, whose labels are of whole examples, or with `step` of each step.
    """

    root: Path = Field(description="folder or .zip of recordings: PCM .wav; .flac and others through soundfile")
    train: str | None = Field(None, description="training folder in root; null: by its usual names; `.`: the root")
    evaluation: str | None = Field(None, description="evaluation folder in root; null: by its usual names")
    evaluation_share: float = Field(
        0.2, gt=0, lt=1, description="share of recordings held out, by seed and class, where no folder is for that"
    )
    evaluation_size: int | None = Field(None, ge=1, description="evaluate on so many examples, drawn; null: all")
    segments: str | None = Field(None, description="CSV in root that says what is heard when; null: class folders")
    other_rates: Literal["refuse", "resample"] = Field(
        "refuse", description="recordings at another rate than sample_rate: an error, or resampled by a windowed sinc"
    )
    digest: Trust = Field(
        "stat", description="stat: trust cached hashes while size and mtime stay; content: read and hash all again"
    )
    on_overlap: OnOverlap = Field("error", description="recordings in both train and evaluation: error, or drop")

    @model_validator(mode="after")
    def _steps_have_a_table(self) -> AudioFolderData:
        if self.step is not None and self.segments is None:
            raise ValueError("step: labels of steps come from a table of segments: set segments too")
        return self

    @classmethod
    def guess(cls, contents: Contents, inputs: Sequence[Tensor]) -> Guess | None:
        """Recordings; with one CSV right beside them, that table says what is heard when."""
        recordings = contents.of(*SUFFIXES)
        if not recordings or contents.alone:
            return None
        settings: dict[str, object] = {"root": str(contents.root)}
        tables = [name for name in contents.of(".csv") if "/" not in name]
        if len(tables) == 1:
            settings["segments"] = tables[0]
        samples = [item.shape[-1] for item in inputs if item.shape and isinstance(item.shape[-1], int)]
        if len(inputs) == 1 and len(inputs[0].shape) == 1 and samples:
            settings["samples"] = samples[0]
        return Guess(settings, Sure.CERTAIN, f"{len(recordings):,} recordings")

    def open(self, cache: Path) -> Dataset:
        """List, hash and measure the recordings; samples are read again by `batches`."""
        import numpy as np

        from edgepipe.data.listing import list_root
        from edgepipe.data.sounds import SoundSource
        from edgepipe.data.splits import hold_out, stratified_order, without_overlap

        where = f"data.root={self.root}"
        listing = list_root(self.root, cache, self.digest == "stat", suffixes=SUFFIXES)
        if not listing.hashes:
            raise DataError(f"{where}: no recordings in it ({', '.join(SUFFIXES)})")
        files = _Files(self, where, listing, cache)
        if self.segments is not None:
            classes, train, evaluation, notes = files.with_table()
        else:
            classes, train, evaluation, notes = files.by_class()
        if evaluation is None:
            labels = np.zeros(len(train), np.int64) if self.segments else np.array([files.of(name) for name in train])
            hashes = [listing.hashes[name] for name in train]
            count = max(1, round(self.evaluation_share * len(train)))
            kept, held = hold_out(hashes, labels, self.seed, count)
            train, evaluation = [train[row] for row in kept], [train[row] for row in held]
        clean = without_overlap(
            where,
            (train, [listing.hashes[name] for name in train]),
            (evaluation, [listing.hashes[name] for name in evaluation]),
            self.on_overlap,
        )
        first, second = files.sounds([train[row] for row in clean]), files.sounds(evaluation)
        for key, wanted, there in (
            ("calibration_size", self.calibration_size, len(first.names)),
            ("evaluation_size", self.evaluation_size or 0, len(second.names)),
        ):
            if wanted > there:
                raise DataError(f"{where}: data.{key}={wanted}, but there are {there} examples to draw from: lower it")
        first = first.take(_order(first, self.seed, stratified_order))
        second = second.take(_order(second, self.seed, stratified_order)[: self.evaluation_size])
        views = {
            Split.TRAIN: first,
            Split.CALIBRATION: first.take(np.arange(self.calibration_size)),
            Split.EVALUATION: second,
        }
        task = "scores" if self.step is not None or (self.segments and len(classes) == 2) else "classification"
        return SoundSource(where, self, self.signature(tuple(classes), task), views, notes)

    def takes(self, samples: Samples, rate: int) -> Samples:
        """Samples at the network's rate."""
        from edgepipe.data.sound_features import resampled

        return resampled(samples, rate, self.sample_rate)


def _order(sounds: Sounds, seed: int, order: Any) -> Any:
    labels = sounds.labels
    return order(sounds.hashes, labels if labels is not None and labels.ndim == 1 else None, seed)


class _Files:
    """What lies in the root, and what is known of each recording."""

    def __init__(self, settings: AudioFolderData, where: str, listing: Listing, cache: Path) -> None:
        self.settings, self.where, self.listing, self.cache = settings, where, listing, cache
        self._class: dict[str, int] = {}
        self._segments: Mapping[str, list[Segment]] = {}
        self._classes: list[str] = []
        self._held: tuple[str, Samples] | None = None

    def of(self, name: str) -> int:
        """The class of a recording by its folder."""
        return self._class[name]

    def by_class(self) -> tuple[list[str], list[str], list[str] | None, tuple[str, ...]]:
        """Class names, recordings to train with, and to measure with, if folders say which; notes."""
        from edgepipe.data.layout import find_layout

        layout = find_layout(self.where, self.listing, self.settings.train, self.settings.evaluation)
        classes: set[str] = set()
        parts: list[list[str] | None] = []
        for folder in (layout.train, layout.evaluation):
            found = (
                None if folder is None else self._in(folder, layout.apart if folder == layout.train else frozenset())
            )
            classes |= {self._folder_of(folder or "", name) for name in found or ()}
            parts.append(found)
        self._classes = sorted(classes)
        for folder, found in zip((layout.train, layout.evaluation), parts, strict=True):
            for name in found or ():
                self._class[name] = self._classes.index(self._folder_of(folder or "", name))
        train, evaluation = parts
        return [printable(name) for name in self._classes], train or [], evaluation, layout.notes

    def _in(self, folder: str, apart: frozenset[str]) -> list[str]:
        start = f"{folder}/" if folder else ""
        held = tuple(f"{name}/" for name in apart)
        return sorted(name for name in self.listing.hashes if name.startswith(start) and not name.startswith(held))

    def _folder_of(self, folder: str, name: str) -> str:
        rest = name[len(folder) + 1 :] if folder else name
        top, between, _ = rest.partition("/")
        if not between:
            raise DataError(
                f"{self.where}: {printable(name)} lies in no folder of a class: sort recordings into one folder per "
                "class, or say what is heard in a CSV with data.segments"
            )
        return top

    def with_table(self) -> tuple[list[str], list[str], list[str] | None, tuple[str, ...]]:
        """As `by_class`; recordings that no segment names are heard as nothing."""
        from edgepipe.data.layout import split_kinds
        from edgepipe.data.segments import NOTHING, read_segments

        name = self.settings.segments or ""
        where = f"{self.where}: data.segments={printable(name)}"
        if name.startswith("/") or ".." in name.split("/"):
            raise DataError(f"{where}: name a file in data.root")
        try:
            content = self.listing.read(name)
        except (OSError, DataError) as error:
            raise DataError(f"{where}: cannot be read: {error}") from None
        if len(content) > _MOST_TABLE:
            raise DataError(f"{where}: {len(content):,} bytes, more than {_MOST_TABLE:,}: split it")
        self._segments = read_segments(where, content, name.rpartition("/")[0], self.listing.hashes)
        labels = {segment.label for each in self._segments.values() for segment in each}
        self._classes = [NOTHING, *sorted(labels)]
        if self.settings.step is not None and len(labels) > 1:
            raise DataError(
                f"{where}: {len(labels)} labels ({printable(', '.join(sorted(labels))[:200])}), and steps are judged "
                "by one: keep the segments of one label, or leave data.step out"
            )
        tops = {path.partition("/")[0] for path in self.listing.hashes if "/" in path}
        kinds = split_kinds(sorted(tops), set())
        chosen = {
            "train": self.settings.train or next((top for top, kind in kinds.items() if kind == "train"), None),
            "evaluation": self.settings.evaluation
            or next((top for top, kind in kinds.items() if kind == "evaluation"), None),
        }
        if chosen["evaluation"] is None:
            return self._classes, sorted(self.listing.hashes), None, ()
        train = [] if chosen["train"] is None else self._in(chosen["train"], frozenset())
        return self._classes, train, self._in(chosen["evaluation"], frozenset()), ()

    def sounds(self, names: list[str]) -> Sounds:
        """The examples of these recordings."""
        import numpy as np

        from edgepipe.data.segments import labels_of
        from edgepipe.data.sounds import Sounds

        settings, rows = self.settings, [(name, *self._lengths()[name]) for name in names]
        for name, _, rate in rows:
            if rate != settings.sample_rate and settings.other_rates == "refuse":
                raise DataError(
                    f"{self.where}: {printable(name)} has {rate} samples a second, and data.sample_rate is "
                    f"{settings.sample_rate}: set that to {rate} if the network was trained so, or "
                    "data.other_rates=resample"
                )
        size = settings.samples
        if settings.segments is None:
            parts: list[tuple[str, int | None]] = [(name, None) for name, _, _ in rows]
            labels = np.array([self._class[name] for name in names], np.int64)
        else:
            parts, found = [], []
            for name, count, rate in rows:
                length = -(-count * settings.sample_rate // rate)
                for window in range(max(1, length // size + (length % size >= size / 2))):
                    edges = window * size + np.arange(0, size + 1, settings.step or size)
                    spans = np.stack([edges[:-1], edges[1:]], axis=1) / settings.sample_rate
                    found.append(labels_of(self._segments.get(name, ()), spans, self._classes))
                    parts.append((name, window))
            labels = np.array(found, np.int64).reshape(len(parts), -1)
            labels = labels if settings.step is not None else labels[:, 0]
        told = [name if window is None else f"{name}[{window}]" for name, window in parts]
        hashes = [f"{self.listing.hashes[name]} {window}" for name, window in parts]
        return Sounds(told, labels, hashes, lambda row: self._load(*parts[row]))

    def _load(self, name: str, window: int | None) -> Samples:
        import numpy as np

        from edgepipe.data.sound_features import fitted

        if self._held is None or self._held[0] != name:
            self._held = name, self.settings.takes(*self._read(name))
        samples, size = self._held[1], self.settings.samples
        if window is None:
            return np.asarray(fitted(samples, size))
        part = samples[window * size : (window + 1) * size]
        return np.pad(part, (0, size - len(part)))

    def _read(self, name: str) -> tuple[Samples, int]:
        from edgepipe.data.sound_features import BadSound, read_sound

        try:
            return read_sound(self.listing.read(name))
        except BadSound as error:
            raise DataError(f"{self.where}: {printable(name)}: {error}") from None

    def _lengths(self) -> Mapping[str, tuple[int, int]]:
        """(samples, rate) of every recording, each read once and remembered by its content."""
        if not hasattr(self, "_known"):
            from edgepipe.data.hashes import cache_file, recall, remember

            memory = cache_file(self.cache, f"sounds{_VERSION}", self.settings.root)
            held = recall(memory)
            known = held if isinstance(held, dict) else {}
            fresh = {}
            for name, content in self.listing.hashes.items():
                found = known.get(content)
                if not (isinstance(found, list) and len(found) == 2 and all(isinstance(value, int) for value in found)):
                    samples, rate = self._read(name)
                    found = [len(samples), rate]
                fresh[content] = found
            if fresh != known:
                remember(memory, fresh)
            self._known = {name: (fresh[text][0], fresh[text][1]) for name, text in self.listing.hashes.items()}
        return self._known
