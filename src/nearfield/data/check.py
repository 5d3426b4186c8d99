"""`nearfield check`: what is in a collection and what is wrong with it."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nearfield.core.machine import usable_cores
from nearfield.core.parallel import in_order
from nearfield.data.clips import STANDARD
from nearfield.data.collection import Collection
from nearfield.data.columns import holds_times
from nearfield.data.faults import Fault, Problem
from nearfield.data.listing import Kind
from nearfield.data.probing import Progress
from nearfield.data.signal_checks import (
    Seen,
    SignalReport,
    hear,
    judge_picture,
    judge_sound,
    look,
    to_problem,
)
from nearfield.data.splits import SHARES, counts_text, find_leaks
from nearfield.data.tables import cell_text
from nearfield.data.times import How, to_number

# What labels, tags, groups and splits of a collection can teach, and what is odd about them.

_OVERLOOKED = frozenset(("Zs", "Pd", "Cf", "Cc"))
"""Blanks, hyphens, signs without width and control characters, as Unicode sorts them."""
TWO_WINDOWS = 2.0
"""Seconds that a clip needs at least so that two windows in it can be neighbours in time."""


def learnable_from(collection: Collection) -> tuple[str, ...]:
    """The relations that the train clips can teach: alike and unlike ones are there."""
    train = collection.table[collection.table["split"] == "train"]
    labels = Counter(label for label in train["label"] if label)
    tags = Counter(tag for own in train["tags"] for tag in own)
    tagged = sum(bool(own) for own in train["tags"])
    shared = Counter(train["recording"])
    found = []
    if len(labels) > 1 and max(labels.values()) > 1:
        found.append("labels")
    if any(1 < count < tagged for count in tags.values()):
        found.append("tags")
    if (train["seconds"] >= TWO_WINDOWS).any() or (
        collection.kind == "sound" and max(shared.values(), default=0) > 1
    ):
        found.append("time")
    if len(train) > 1:
        found.append("views")
    return tuple(found)


def meaning_problems(collection: Collection) -> list[Problem]:
    """Everything odd about labels, tags, groups and splits; about single clips see `problems`."""
    table = collection.table
    found = [*_sides(collection), *_leaks(collection)]
    splits = _by_side(
        (label, split) for label, split in zip(table["label"], table["split"], strict=True) if label
    )
    found += _labels(collection, splits)
    found += _unmarked(collection, "label", [bool(label) for label in table["label"]])
    found += _unmarked(collection, "tags", [bool(tags) for tags in table["tags"]])
    tagged = zip(table["tags"], table["split"], strict=True)
    tags = _by_side((tag, split) for tags, split in tagged for tag in tags)
    found += _unheard("tag", tags)
    found += _alike("tag", tags)
    named = set(table["group"]).difference(table["recording"], table["id"], table["path"])
    found += _alike("group", named)
    return found


def _by_side(pairs: Iterable[tuple[str, str]]) -> dict[str, Counter[str]]:
    """Clips of each mark on each side, marks in the order of their names."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for mark, split in pairs:
        found[mark][split] += 1
    return {mark: found[mark] for mark in sorted(found)}


def _sides(collection: Collection) -> Iterator[Problem]:
    counts = Counter(collection.table["split"])
    for split, purpose in (("train", "learnt"), ("test", "judged")):
        if not counts[split]:
            reason = f"there are no {split} clips, so nothing can be {purpose}."
            yield _warning(f"no_{split}", collection.name, reason, f"Give some clips the split {split}.")


def _leaks(collection: Collection) -> Iterator[Problem]:
    table = collection.table
    for group, counts in find_leaks(list(table["group"]), list(table["split"])).items():
        reason = f"the group is on more than one side of the split: {counts_text(counts)}."
        yield _warning("leak", group, reason, "Put it on one side; until then figures flatter.")


def _labels(collection: Collection, splits: dict[str, Counter[str]]) -> Iterator[Problem]:
    if len(splits) == 1:
        (label,) = splits
        reason = "every clip that has a label has this one, so labels cannot tell clips apart."
        yield _warning("one_label", label, reason, "Add clips of other labels, or train without labels.")
    for label, counts in splits.items():
        if counts.total() == 1:
            reason = "a single clip has this label, so it is like no other."
            yield _warning("single", label, reason, "Add clips, or join the label with another.")
    yield from _unheard("label", splits)
    yield from _alike("label", splits)


def _unheard(what: str, splits: dict[str, Counter[str]]) -> Iterator[Problem]:
    """Marks that are judged but not in train; where that is so for all of them, it is meant so."""
    judged = [mark for mark, counts in splits.items() if counts["test"] or counts["val"]]
    absent = [mark for mark in judged if not splits[mark]["train"]]
    heard = any(counts["train"] for counts in splits.values())
    if heard and absent and len(absent) == len(judged):
        reason = f"no {what} of val or test is in train: the split asks for what is new altogether."
        yield _warning(
            "unheard", f"{len(absent)} {what}s", reason, f"If that is not meant, share the {what}s out."
        )
    elif heard:
        for mark in absent:
            reason = f"the {what} is not in train ({counts_text(splits[mark])})."
            yield _warning("unheard", mark, reason, "Move a group of it to train, or take it out.")


def _alike(what: str, marks: Iterable[str]) -> Iterator[Problem]:
    """Marks that differ in ways that the eye overlooks."""
    seen: dict[str, str] = {}
    for mark in sorted(marks):
        plain = _plain(mark)
        if plain in seen:
            reason = f"it differs from the {what} {seen[plain]!r} {_how(mark, seen[plain])} alone."
            yield _warning("alike", mark, reason, "Write both the same way if they mean the same.")
        seen.setdefault(plain, mark)


def _plain(mark: str) -> str:
    """A mark without case, blanks, hyphens and underscores; one form of each letter; 01 and 1.0 as 1."""
    number = to_number(mark)
    if number is not None:
        return repr(number)
    folded = unicodedata.normalize("NFKC", mark.casefold())
    return "".join(sign for sign in folded if unicodedata.category(sign) not in _OVERLOOKED and sign != "_")


def _how(one: str, other: str) -> str:
    """In what two marks that look alike differ."""
    if to_number(one) is not None:
        return "in the way the number is written"
    if unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other):
        return "in how its accents are encoded (composed or decomposed)"
    forms = [unicodedata.normalize("NFKC", each) for each in (one, other)]
    if (one.isascii() and other.isascii()) or forms == [one, other]:
        return "in case or blanks"
    return "in case, blanks or the form of its letters"


def _unmarked(collection: Collection, what: str, marked: list[bool]) -> Iterator[Problem]:
    missing = marked.count(False)
    if any(marked) and missing:
        first = collection.table["id"].iloc[marked.index(False)]
        marks = "labels" if what == "label" else what
        reason = f"clips have no {what} ({missing} of {len(marked)}, the first being {first})."
        cure = f"Add {marks}; until then these clips are skipped when training on {marks}."
        yield _warning(f"no_{what}", collection.name, reason, cure)


def _warning(kind: str, path: str, reason: str, cure: str) -> Problem:
    return Problem(kind, path, None, reason, cure, "warning")


# What `nearfield check` finds: what is in a collection, and everything that is wrong with it.
#
# Opening a collection looks at headers; this listens to every clip.

Counts = dict[str, int]
"""How many: `all`, then train, val, test."""

_Result = SignalReport | Seen | Fault


@dataclass(frozen=True)
class Report:
    """A collection in numbers (of the clips that can be used), and its problems, those left out first."""

    name: str
    kind: Kind
    clips: Counts
    hours: float
    quiet_seconds: float
    """Of these, seconds at beginnings and ends that stay 60 dB below: what `data.trim_db: 60` cuts away."""
    rates: dict[str, int]
    """How many clips have which rate, in hertz; the most usual first, here and below."""
    channels: dict[str, int]
    sizes: dict[str, int]
    """How many pictures have which width and height, as `48x48`."""
    labels: dict[str, Counts]
    tags: dict[str, Counts]
    groups: Counts
    recordings: Counts
    split_from: str
    starts: dict[How, int]
    """How many clips had the start in their table taken for what."""
    learnable_from: tuple[str, ...]
    """Relations that the train clips can teach: labels, tags, time, views."""
    problems: tuple[Problem, ...]
    other_columns: tuple[str, ...] = ()
    """Columns of the table that are no label, tag, split, group, recording or time here."""

    @property
    def trainable(self) -> bool:
        """True where labels or tags can teach; where there are neither, where time or views can."""
        marks = [name for name, counts in (("labels", self.labels), ("tags", self.tags)) if counts]
        return any(name in self.learnable_from for name in marks or ("time", "views"))

    def as_json(self) -> dict[str, Any]:
        """Everything by name, as plain values."""
        return {**asdict(self), "trainable": self.trainable}


def inspect(collection: Collection, progress: Progress | None = None) -> Report:
    """Decodes every clip and reports on the collection. `progress` gets how many of how many are done.

    Raises Stopped, with what was found so far, after Ctrl-C.
    """
    found = dict[int, _Result]()
    try:
        _listen(collection, found, progress)
    except KeyboardInterrupt:
        raise Stopped(_judge(collection, found), len(found), len(collection)) from None
    return _judge(collection, found)


class Stopped(KeyboardInterrupt):
    """Ctrl-C while clips were listened to, with the report on those that were heard."""

    def __init__(self, report: Report, heard: int, of: int) -> None:
        super().__init__(f"stopped after {heard:,} of {of:,} clips")
        self.report = report


def _judge(collection: Collection, found: dict[int, _Result]) -> Report:
    """The report; of clips that were not heard, what their table says."""
    rows = sorted(found)
    heard, results = collection.subset(np.array(rows, np.int64)), [found[row] for row in rows]
    problems = list(_clip_problems(heard, results))
    usable = collection.without(problem for problem in problems if problem.severity == "left out")
    kept = set(usable.table["id"])
    pairs = zip(heard.table["id"], results, strict=True)
    rest = [result for clip, result in pairs if clip in kept and not isinstance(result, Fault)]
    every = [*collection.problems, *problems, *_doubles(heard, results), *_mixtures(collection, rest)]
    every += meaning_problems(usable)
    every.sort(key=lambda problem: problem.severity != "left out")
    return _report(usable, rest, every)


def _listen(collection: Collection, found: dict[int, _Result], progress: Progress | None) -> None:
    """Finds by row what each clip sounds or looks like, or why it cannot be told; each file decoded once."""
    table = collection.table
    rows: dict[str, list[int]] = defaultdict(list)
    for row, path in enumerate(table["path"]):
        rows[path].append(row)
    spans = list(zip(table["start"], table["seconds"], strict=True))
    listen = _see if collection.kind == "picture" else hear
    workers = usable_cores()
    work = ((Path(path), [spans[row] for row in own]) for path, own in rows.items())
    with closing(in_order(lambda job: listen(*job), work, workers, 4 * workers, "listen")) as heard:
        for own, results in zip(rows.values(), heard, strict=True):
            found |= zip(own, results, strict=True)
            if progress:
                progress(len(found), len(table))


def _see(path: Path, spans: Sequence[tuple[float, float]]) -> list[_Result]:
    try:
        return [look(path)] * len(spans)
    except Fault as fault:
        return [fault] * len(spans)


def _clip_problems(collection: Collection, results: Sequence[_Result]) -> Iterator[Problem]:
    """What is wrong with single clips, in the order of the table."""
    for name, row, seconds, result in zip(
        *_places(collection), collection.table["seconds"], results, strict=True
    ):
        if isinstance(result, Fault):
            yield result.problem(name, row)
        else:
            judged = judge_picture(result) if isinstance(result, Seen) else judge_sound(result, seconds)
            yield from (to_problem(words, name, row) for words in judged)


def _places(collection: Collection) -> tuple[list[str], list[int | None]]:
    """Name and line of each clip."""
    table = collection.table
    lines = list(table["row"]) if "row" in table else [None] * len(table)
    return list(table["id"]), lines


def _doubles(collection: Collection, results: Sequence[_Result]) -> Iterator[Problem]:
    """Clips of different files that decode to the same samples or pixels."""
    first: dict[str, int] = {}
    table = collection.table
    names, lines = _places(collection)
    for position, result in enumerate(results):
        if isinstance(result, Fault):
            continue
        other = first.setdefault(result.digest, position)
        if table["path"].iloc[other] == table["path"].iloc[position]:
            continue
        differing = [
            said
            for column, said in (("label", "has another label"), ("split", "is in another split"))
            if table[column].iloc[other] != table[column].iloc[position]
        ]
        extra = f", which {' and '.join(differing)}" if differing else ""
        reason = f"it is identical to {names[other]}{extra}."
        yield Problem("double", names[position], lines[position], reason, "Keep one of them.", "warning")


def _mixtures(collection: Collection, results: Iterable[SignalReport | Seen]) -> Iterator[Problem]:
    """Several rates or numbers of channels in one collection."""
    heard = [result for result in results if isinstance(result, SignalReport)]
    rates = _most_usual(str(result.rate) for result in heard)
    if len(rates) > 1:
        reason = f"the clips have several rates: {_listed(rates, ' Hz')}."
        cure = (
            "All are brought to data.sample_rate. Use the lowest rate, or the model may learn the recorder "
            "from its bandwidth."
        )
        yield Problem("rates", collection.name, None, reason, cure, "warning")
    channels = _most_usual(str(result.channels) for result in heard)
    if len(channels) > 1:
        reason = f"the clips have several numbers of channels: {_listed(channels, '')}."
        cure = "Take their mean or one that all have (data.channels); `all` is not possible."
        yield Problem("channels", collection.name, None, reason, cure, "warning")


def _listed(counts: dict[str, int], unit: str) -> str:
    return ", ".join(f"{value}{unit} ({count})" for value, count in counts.items())


def _most_usual(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def _report(usable: Collection, results: list[SignalReport | Seen], problems: list[Problem]) -> Report:
    table = usable.table
    splits = list(table["split"])
    sounds = [result for result in results if isinstance(result, SignalReport)]
    seen = [result for result in results if isinstance(result, Seen)]
    return Report(
        name=usable.name,
        kind=usable.kind,
        clips=_counts(splits),
        hours=float(table["seconds"].sum()) / 3600,
        quiet_seconds=sum(result.quiet / result.rate for result in sounds),
        rates=_most_usual(str(result.rate) for result in sounds),
        channels=_most_usual(str(result.channels) for result in results),
        sizes=_most_usual(f"{result.width}x{result.height}" for result in seen),
        labels=_marked([(label,) if label else () for label in table["label"]], splits),
        tags=_marked(list(table["tags"]), splits),
        groups=_distinct(list(table["group"]), splits),
        recordings=_distinct(list(table["recording"]), splits),
        split_from=usable.split_from,
        starts=dict(usable.starts),
        learnable_from=learnable_from(usable),
        problems=tuple(problems),
        other_columns=_others(table),
    )


def _others(table: pd.DataFrame) -> tuple[str, ...]:
    """Columns beyond the standard ones that name something and are not the source of one of these. Those of
    numbers and times have a warning of their own where they may be places in a file."""
    standard = [
        [cell_text(cell) for cell in table[name]] for name in ("label", "split", "group", "recording")
    ]
    names = [str(name) for name in table if name not in (*STANDARD, "row")]
    names = [name for name in names if not holds_times(table[name])]
    unused = (name for name in names if [cell_text(cell) for cell in table[name]] not in standard)
    return tuple(name.removeprefix("given_") for name in unused)  # a label column beside the one chosen


def _counts(splits: Iterable[str]) -> Counts:
    counted = Counter(splits)
    return {"all": counted.total(), **{split: counted[split] for split in SHARES}}


def _marked(marks: Sequence[tuple[str, ...]], splits: Sequence[str]) -> dict[str, Counts]:
    """Clips of each mark, the most usual mark first."""
    found: dict[str, list[str]] = defaultdict(list)
    for own, split in zip(marks, splits, strict=True):
        for mark in own:
            found[mark].append(split)
    return {mark: _counts(found[mark]) for mark in sorted(found, key=lambda mark: (-len(found[mark]), mark))}


def _distinct(names: Sequence[str], splits: Sequence[str]) -> Counts:
    pairs = set(zip(names, splits, strict=True))
    return {"all": len(set(names)), **{split: sum(own == split for _, own in pairs) for split in SHARES}}
