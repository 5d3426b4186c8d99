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

# Which relations a collection can be trained on, and problems of its labels, tags, groups and splits.

_IGNORED = frozenset(("Zs", "Pd", "Cf", "Cc"))
"""Unicode categories of blanks, hyphens, characters without width and control characters."""
TWO_WINDOWS = 2.0
"""Shortest clip, in seconds, that holds two windows close in time."""


def learnable_from(collection: Collection) -> tuple[str, ...]:
    """Returns the relations for which the train clips give positives and negatives."""
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
    """Returns warnings about labels, tags, groups and splits; single clips are checked by `inspect`."""
    table = collection.table
    found = [*_missing_splits(collection), *_leaks(collection)]
    splits = _by_split(
        (label, split) for label, split in zip(table["label"], table["split"], strict=True) if label
    )
    found += _labels(collection, splits)
    found += _unmarked(collection, "label", [bool(label) for label in table["label"]])
    found += _unmarked(collection, "tags", [bool(tags) for tags in table["tags"]])
    tagged = zip(table["tags"], table["split"], strict=True)
    tags = _by_split((tag, split) for tags, split in tagged for tag in tags)
    found += _absent_in_train("tag", tags)
    found += _similar_names("tag", tags)
    named = set(table["group"]).difference(table["recording"], table["id"], table["path"])
    found += _similar_names("group", named)
    return found


def _by_split(pairs: Iterable[tuple[str, str]]) -> dict[str, Counter[str]]:
    """Counts the clips of each mark (label or tag) per split; marks sorted by name."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for mark, split in pairs:
        found[mark][split] += 1
    return {mark: found[mark] for mark in sorted(found)}


def _missing_splits(collection: Collection) -> Iterator[Problem]:
    counts = Counter(collection.table["split"])
    for split, purpose in (("train", "trained"), ("test", "evaluated")):
        if not counts[split]:
            reason = f"there are no {split} clips, so no model can be {purpose}."
            yield _warning(f"no_{split}", collection.name, reason, f"Give some clips the split {split}.")


def _leaks(collection: Collection) -> Iterator[Problem]:
    table = collection.table
    for group, counts in find_leaks(list(table["group"]), list(table["split"])).items():
        reason = f"the group occurs in more than one split: {counts_text(counts)}."
        cure = "Give all its clips one split; until then test scores are too high."
        yield _warning("leak", group, reason, cure)


def _labels(collection: Collection, splits: dict[str, Counter[str]]) -> Iterator[Problem]:
    if len(splits) == 1:
        (label,) = splits
        reason = "all labeled clips have this label, so labels cannot distinguish clips."
        yield _warning("one_label", label, reason, "Add clips of other labels, or train without labels.")
    for label, counts in splits.items():
        if counts.total() == 1:
            reason = "only one clip has this label, so it has no positive pair."
            yield _warning("single", label, reason, "Add clips, or merge the label with another.")
    yield from _absent_in_train("label", splits)
    yield from _similar_names("label", splits)


def _absent_in_train(what: str, splits: dict[str, Counter[str]]) -> Iterator[Problem]:
    """Marks of val or test that are not in train; one warning if none is in train (zero-shot splits)."""
    evaluated = [mark for mark, counts in splits.items() if counts["test"] or counts["val"]]
    absent = [mark for mark in evaluated if not splits[mark]["train"]]
    any_in_train = any(counts["train"] for counts in splits.values())
    if any_in_train and absent and len(absent) == len(evaluated):
        reason = f"no {what} of val or test is in train, so only unseen {what}s are evaluated."
        cure = f"If this is not intended, put clips of each {what} into train."
        yield _warning("unheard", f"{len(absent)} {what}s", reason, cure)
    elif any_in_train:
        for mark in absent:
            reason = f"the {what} is not in train ({counts_text(splits[mark])})."
            yield _warning("unheard", mark, reason, "Move one of its groups to train, or leave it out.")


def _similar_names(what: str, marks: Iterable[str]) -> Iterator[Problem]:
    """Marks that differ only in case, blanks, hyphens or encoding."""
    seen: dict[str, str] = {}
    for mark in sorted(marks):
        plain = _plain(mark)
        if plain in seen:
            reason = f"it differs from the {what} {seen[plain]!r} only {_difference(mark, seen[plain])}."
            yield _warning("alike", mark, reason, "Write both the same way if they mean the same.")
        seen.setdefault(plain, mark)


def _plain(mark: str) -> str:
    """Normalizes a mark: no case, blanks, hyphens or underscores; NFKC; 01 and 1.0 become 1."""
    number = to_number(mark)
    if number is not None:
        return repr(number)
    folded = unicodedata.normalize("NFKC", mark.casefold())
    return "".join(sign for sign in folded if unicodedata.category(sign) not in _IGNORED and sign != "_")


def _difference(one: str, other: str) -> str:
    """Describes how two marks with the same normal form differ."""
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
        reason = f"clips have no {what} ({missing} of {len(marked)}, the first is {first})."
        cure = f"Add {marks}; without them, these clips are skipped in training on {marks}."
        yield _warning(f"no_{what}", collection.name, reason, cure)


def _warning(kind: str, path: str, reason: str, cure: str) -> Problem:
    return Problem(kind, path, None, reason, cure, "warning")


# The report of `nearfield check`. Opening a collection reads file headers only; this decodes every clip.

Counts = dict[str, int]
"""Numbers of clips: `all`, then train, val, test."""

_Result = SignalReport | Seen | Fault


@dataclass(frozen=True)
class Report:
    """Statistics of the usable clips of a collection, and its problems."""

    name: str
    kind: Kind
    clips: Counts
    hours: float
    quiet_seconds: float
    """Total silence at the beginnings and ends of clips, in seconds: what `data.trim_db: 60` removes."""
    rates: dict[str, int]
    """Number of clips per sample rate in hertz; most frequent first, here and below."""
    channels: dict[str, int]
    """Number of clips per number of channels."""
    sizes: dict[str, int]
    """Number of images per width and height, as `48x48`."""
    labels: dict[str, Counts]
    tags: dict[str, Counts]
    groups: Counts
    recordings: Counts
    split_from: str
    starts: dict[How, int]
    """Number of clips for each interpretation of the start column."""
    learnable_from: tuple[str, ...]
    """Relations that the train clips can be trained on: labels, tags, time, views."""
    problems: tuple[Problem, ...]
    """Left-out clips first, then warnings."""
    other_columns: tuple[str, ...] = ()
    """Columns of the table that are not used as label, tags, split, group, recording or time."""

    @property
    def trainable(self) -> bool:
        """Whether training is possible from labels or tags; without both, from time or views."""
        marks = [name for name, counts in (("labels", self.labels), ("tags", self.tags)) if counts]
        return any(name in self.learnable_from for name in marks or ("time", "views"))

    def as_json(self) -> dict[str, Any]:
        """Returns all fields as plain values."""
        return {**asdict(self), "trainable": self.trainable}


def inspect(collection: Collection, progress: Progress | None = None) -> Report:
    """Decodes every clip and reports on the collection.

    Parameters
    ----------
    collection
        The clips to check.
    progress
        Called with the number of clips decoded so far and the number of all clips.

    Returns
    -------
    Report
        Statistics of the usable clips, and all problems.

    Raises
    ------
    Stopped
        After Ctrl-C, with the report on the clips decoded so far.
    """
    found = dict[int, _Result]()
    try:
        _decode_all(collection, found, progress)
    except KeyboardInterrupt:
        raise Stopped(_make_report(collection, found), len(found), len(collection)) from None
    return _make_report(collection, found)


class Stopped(KeyboardInterrupt):
    """Ctrl-C during `inspect`, with the report on the clips decoded so far."""

    def __init__(self, report: Report, done: int, of: int) -> None:
        super().__init__(f"stopped after {done:,} of {of:,} clips")
        self.report = report


def _make_report(collection: Collection, found: dict[int, _Result]) -> Report:
    """Makes the report; for clips that were not decoded it uses their table only."""
    rows = sorted(found)
    decoded, results = collection.subset(np.array(rows, np.int64)), [found[row] for row in rows]
    problems = list(_clip_problems(decoded, results))
    usable = collection.without(problem for problem in problems if problem.severity == "left out")
    kept = set(usable.table["id"])
    pairs = zip(decoded.table["id"], results, strict=True)
    rest = [result for clip, result in pairs if clip in kept and not isinstance(result, Fault)]
    every = [*collection.problems, *problems, *_duplicates(decoded, results), *_mixtures(collection, rest)]
    every += meaning_problems(usable)
    every.sort(key=lambda problem: problem.severity != "left out")
    return _report(usable, rest, every)


def _decode_all(collection: Collection, found: dict[int, _Result], progress: Progress | None) -> None:
    """Fills `found` with the analysis of each row, or the fault of its file. Each file is decoded once."""
    table = collection.table
    rows: dict[str, list[int]] = defaultdict(list)
    for row, path in enumerate(table["path"]):
        rows[path].append(row)
    spans = list(zip(table["start"], table["seconds"], strict=True))
    analyze = _analyze_image if collection.kind == "picture" else hear
    workers = usable_cores()
    work = ((Path(path), [spans[row] for row in own]) for path, own in rows.items())
    with closing(in_order(lambda job: analyze(*job), work, workers, 4 * workers, "listen")) as analyzed:
        for own, results in zip(rows.values(), analyzed, strict=True):
            found |= zip(own, results, strict=True)
            if progress:
                progress(len(found), len(table))


def _analyze_image(path: Path, spans: Sequence[tuple[float, float]]) -> list[_Result]:
    try:
        return [look(path)] * len(spans)
    except Fault as fault:
        return [fault] * len(spans)


def _clip_problems(collection: Collection, results: Sequence[_Result]) -> Iterator[Problem]:
    """Problems of single clips, in the order of the table."""
    for name, row, seconds, result in zip(
        *_places(collection), collection.table["seconds"], results, strict=True
    ):
        if isinstance(result, Fault):
            yield result.problem(name, row)
        else:
            found = judge_picture(result) if isinstance(result, Seen) else judge_sound(result, seconds)
            yield from (to_problem(words, name, row) for words in found)


def _places(collection: Collection) -> tuple[list[str], list[int | None]]:
    """Name and table line of each clip."""
    table = collection.table
    lines = list(table["row"]) if "row" in table else [None] * len(table)
    return list(table["id"]), lines


def _duplicates(collection: Collection, results: Sequence[_Result]) -> Iterator[Problem]:
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
            text
            for column, text in (("label", "has another label"), ("split", "is in another split"))
            if table[column].iloc[other] != table[column].iloc[position]
        ]
        extra = f", which {' and '.join(differing)}" if differing else ""
        reason = f"it is identical to {names[other]}{extra}."
        yield Problem("double", names[position], lines[position], reason, "Keep one of them.", "warning")


def _mixtures(collection: Collection, results: Iterable[SignalReport | Seen]) -> Iterator[Problem]:
    """Warns of several sample rates or numbers of channels in one collection."""
    sounds = [result for result in results if isinstance(result, SignalReport)]
    rates = _by_frequency(str(result.rate) for result in sounds)
    if len(rates) > 1:
        reason = f"the clips have several sample rates: {_listed(rates, ' Hz')}."
        cure = (
            "All clips are resampled to data.sample_rate. Set it to the lowest rate; otherwise the model may "
            "recognize recorders by their bandwidth."
        )
        yield Problem("rates", collection.name, None, reason, cure, "warning")
    channels = _by_frequency(str(result.channels) for result in sounds)
    if len(channels) > 1:
        reason = f"the clips have several numbers of channels: {_listed(channels, '')}."
        cure = "Set data.channels to mean or to a channel that all clips have; `all` is not possible."
        yield Problem("channels", collection.name, None, reason, cure, "warning")


def _listed(counts: dict[str, int], unit: str) -> str:
    return ", ".join(f"{value}{unit} ({count})" for value, count in counts.items())


def _by_frequency(values: Iterable[str]) -> dict[str, int]:
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
        rates=_by_frequency(str(result.rate) for result in sounds),
        channels=_by_frequency(str(result.channels) for result in results),
        sizes=_by_frequency(f"{result.width}x{result.height}" for result in seen),
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
    """Further columns with categories that no standard column was read from. Columns of numbers and times
    have their own warning if they may be positions in a file."""
    standard = [
        [cell_text(cell) for cell in table[name]] for name in ("label", "split", "group", "recording")
    ]
    names = [str(name) for name in table if name not in (*STANDARD, "row")]
    names = [name for name in names if not holds_times(table[name])]
    unused = (name for name in names if [cell_text(cell) for cell in table[name]] not in standard)
    return tuple(name.removeprefix("given_") for name in unused)  # a label column other than the chosen one


def _counts(splits: Iterable[str]) -> Counts:
    counted = Counter(splits)
    return {"all": counted.total(), **{split: counted[split] for split in SHARES}}


def _marked(marks: Sequence[tuple[str, ...]], splits: Sequence[str]) -> dict[str, Counts]:
    """Counts the clips of each mark per split, the most frequent mark first."""
    found: dict[str, list[str]] = defaultdict(list)
    for own, split in zip(marks, splits, strict=True):
        for mark in own:
            found[mark].append(split)
    return {mark: _counts(found[mark]) for mark in sorted(found, key=lambda mark: (-len(found[mark]), mark))}


def _distinct(names: Sequence[str], splits: Sequence[str]) -> Counts:
    pairs = set(zip(names, splits, strict=True))
    return {"all": len(set(names)), **{split: sum(own == split for _, own in pairs) for split in SHARES}}
