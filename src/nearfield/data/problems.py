"""What `nearfield check` finds: what is in a collection, and everything that is wrong with it.

Opening a collection looks at headers; this listens to every clip.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nearfield.core.machine import usable_cores
from nearfield.data.clips import STANDARD
from nearfield.data.collection import Collection
from nearfield.data.faults import Fault, Problem
from nearfield.data.listening import Heard, Seen, hear, look
from nearfield.data.listing import Kind
from nearfield.data.meaning import learnable_from, meaning_problems
from nearfield.data.probing import Progress
from nearfield.data.splits import SHARES
from nearfield.data.tables import cell_text
from nearfield.data.threads import in_order
from nearfield.data.time_columns import holds_times
from nearfield.data.times import How
from nearfield.data.verdicts import judge_picture, judge_sound, to_problem

Counts = dict[str, int]
"""How many: `all`, then train, val, test."""

_Result = Heard | Seen | Fault


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
        unlike = [
            said
            for column, said in (("label", "has another label"), ("split", "is in another split"))
            if table[column].iloc[other] != table[column].iloc[position]
        ]
        extra = f", which {' and '.join(unlike)}" if unlike else ""
        reason = f"it is identical to {names[other]}{extra}."
        yield Problem("double", names[position], lines[position], reason, "Keep one of them.", "warning")


def _mixtures(collection: Collection, results: Iterable[Heard | Seen]) -> Iterator[Problem]:
    """Several rates or numbers of channels in one collection."""
    heard = [result for result in results if isinstance(result, Heard)]
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


def _report(usable: Collection, results: list[Heard | Seen], problems: list[Problem]) -> Report:
    table = usable.table
    sides = list(table["split"])
    sounds = [result for result in results if isinstance(result, Heard)]
    seen = [result for result in results if isinstance(result, Seen)]
    return Report(
        name=usable.name,
        kind=usable.kind,
        clips=_counts(sides),
        hours=float(table["seconds"].sum()) / 3600,
        quiet_seconds=sum(result.quiet / result.rate for result in sounds),
        rates=_most_usual(str(result.rate) for result in sounds),
        channels=_most_usual(str(result.channels) for result in results),
        sizes=_most_usual(f"{result.width}x{result.height}" for result in seen),
        labels=_marked([(label,) if label else () for label in table["label"]], sides),
        tags=_marked(list(table["tags"]), sides),
        groups=_distinct(list(table["group"]), sides),
        recordings=_distinct(list(table["recording"]), sides),
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


def _counts(sides: Iterable[str]) -> Counts:
    counted = Counter(sides)
    return {"all": counted.total(), **{side: counted[side] for side in SHARES}}


def _marked(marks: Sequence[tuple[str, ...]], sides: Sequence[str]) -> dict[str, Counts]:
    """Clips of each mark, the most usual mark first."""
    found: dict[str, list[str]] = defaultdict(list)
    for own, side in zip(marks, sides, strict=True):
        for mark in own:
            found[mark].append(side)
    return {mark: _counts(found[mark]) for mark in sorted(found, key=lambda mark: (-len(found[mark]), mark))}


def _distinct(names: Sequence[str], sides: Sequence[str]) -> Counts:
    pairs = set(zip(names, sides, strict=True))
    return {"all": len(set(names)), **{side: sum(own == side for _, own in pairs) for side in SHARES}}
