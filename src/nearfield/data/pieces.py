"""Files whose names look like pieces of one recording: on two sides of a split they make a test too easy."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import PurePath

import pandas as pd

from nearfield.core.errors import DataError
from nearfield.data.faults import Problem

_WORDS = "rr|take|part|seg|segment|chunk|clip|piece|slice|excerpt|window"
_PATTERNS = (
    rf"([^/]+?)[-_ ]?(?:{_WORDS})[-_ ]?\d+\.\w+$",
    r"([^/]+)-[A-Z](?:-\d+)?\.\w+$",
    r"([^/]+)[-_]\d+\.\w+$",
)
"""`rain_take2.wav`, `1-172649-A.wav` (and `1-172649-A-3.wav`), `rain_001.wav`; the group is the recording."""
DATED = re.compile(r"(?<!\d)((?:19|20)\d\d[01]\d[0-3]\d)[-_T ]?[0-2]\d[0-5]\d[0-5]\d(?!\d)")
"""Date and time as recorders write them into names: `20240612_050000`. The group is the day."""
_FEW = 0.05
"""A smaller share of the judged clips than this is not told: names are alike by chance too."""


def group_by(pattern: str, names: Sequence[str], source: str) -> tuple[list[str], tuple[Problem, ...]]:
    """The group of each path: what the (first) group of the pattern finds in it, or the path itself.

    Raises DataError where no path matches.
    """
    matches = [re.search(pattern, name) for name in names]
    found = [match and match[min(1, len(match.groups()))] for match in matches]
    missing = [name for name, group in zip(names, found, strict=True) if not group]
    if len(missing) == len(names):
        raise DataError(f"data.group_by: {pattern!r} is found in no path of {source}, as in {names[0]!r}.")
    groups = [group or name for name, group in zip(names, found, strict=True)]
    if not missing:
        return groups, ()
    reason = (
        f"paths without {pattern!r} are groups of their own ({len(missing)} of {len(names)}, the first "
        f"being {missing[0]})."
    )
    return groups, (
        Problem("group_by", source, None, reason, "Change data.group_by to match them.", "warning"),
    )


def possible_leak(table: pd.DataFrame, sides: list[str], source: str) -> tuple[Problem, ...]:
    """A word where clips that are judged look like pieces of recordings that train.

    `table` has `path` and `label`; each file is taken to be a group of its own.
    """
    names = [PurePath(path).name for path in table["path"]]
    judge = "test" if "test" in sides else "val"
    judged = sides.count(judge)
    for pattern in (DATED.pattern, *_PATTERNS):
        families = dict(_families(pattern, names, list(table["label"])))
        trains = [family for family, rows in families.items() if any(sides[row] == "train" for row in rows)]
        leaking = [row for family in trains for row in families[family] if sides[row] == judge]
        if len(leaking) < max(2, _FEW * judged):
            continue
        family = next(family for family in trains if leaking[0] in families[family])
        other = next(row for row in families[family] if sides[row] == "train")
        what, shared = "like pieces of one recording", "another piece of theirs"
        first, last = "If so, keep them together", "figures flatter. If not, nothing is to be done."
        if pattern == DATED.pattern:
            what, shared = "by date and time", "a recording of the same day"
            first, last = "Sounds of one day are often alike. To keep days together", "figures may flatter."
        reason = (
            f"files are called {what} ({names[other]}, {names[leaking[0]]}), and {len(leaking)} of {judged} "
            f"{judge} clips would have {shared} in train."
        )
        cure = f"{first}: data.group_by='{pattern}' (`nearfield check` has --group-by); until then {last}"
        return (Problem("pieces", source, None, reason, cure, "warning"),)
    return ()


def _families(pattern: str, names: list[str], labels: list[str]) -> Iterator[tuple[str, list[int]]]:
    """The rows of files that share a name but for its end. One that is most of its label is a numbering of
    the label (`dog_001`), not of a recording."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names):
        if pattern != DATED.pattern and DATED.search(name):
            continue  # a time of day is no number of a piece
        match = re.search(pattern, name)
        if match:
            rows[match[1]].append(row)
    sizes = Counter(labels)
    for family, own in rows.items():
        held = Counter(labels[row] for row in own)
        if len({names[row] for row in own}) > 1 and all(2 * held[each] <= sizes[each] for each in held):
            yield family, own
