"""Splits: given or made, groups kept together, stored as CSV with a hash."""

import csv
import hashlib
import io
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Sized
from pathlib import Path

from nearfield.core.errors import DataError, choose
from nearfield.core.files import write_text
from nearfield.core.rng import stream
from nearfield.core.text import count

# Which clips train, which choose, which judge: splits as given, or made; a group stays on one side.

SHARES: Mapping[str, int] = {"train": 3, "val": 1, "test": 1}
"""Parts of a split that is made: three fifths train, one fifth each to choose and to judge."""

_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "dev": "val",
    "devel": "val",
    "eval": "val",
    "test": "test",
    "testing": "test",
}
_SUFFIX = re.compile(r"[-_ ]?(?:set|data|split)$")
_SHOWN = 10  # leaking groups named in an error


def split_name(word: str) -> str | None:
    """The side (train, val, test) that a word in a table or the name of a folder means, or None.

    `test_set` and `train-data` mean what `test` and `train` do.
    """
    plain = word.strip().lower()
    return _WORDS.get(plain) or _WORDS.get(_SUFFIX.sub("", plain))


def read_split(cells: Sequence[str], lines: Sequence[int | None], where: str) -> list[str]:
    """The side of each clip out of a split or fold column; "" stays: the clip is on no side.

    Numbers are folds: the last is test, the one before it val (where there are three or more), the others
    train. Raises DataError for a word that is neither.
    """
    known = [split_name(cell) if cell else "" for cell in cells]
    if None not in known:
        return [word or "" for word in known]
    folds = sorted({int(cell) for cell in cells if cell.isdecimal()})
    if len(folds) > 1 and all(cell.isdecimal() or not cell for cell in cells):
        return [_fold_side(folds, int(cell)) if cell else "" for cell in cells]
    wrong = known.index(None)
    place = where if lines[wrong] is None else f"{where}: row {lines[wrong]}"
    raise DataError(
        f"{place}: the split {cells[wrong]!r} is not known. {choose(cells[wrong], _WORDS)} "
        "Two or more fold numbers are understood too; an empty cell keeps a clip out of the split."
    )


def _fold_side(folds: list[int], fold: int) -> str:
    if fold == folds[-1]:
        return "test"
    return "val" if len(folds) > 2 and fold == folds[-2] else "train"


def make_split(
    groups: Sequence[str],
    marks: Sequence[tuple[str, ...]],
    seed: int,
    shares: Mapping[str, int] = SHARES,
) -> list[str]:
    """A side for each clip: whole groups, each mark (label or tag) shared out as `shares` say, by chance.

    Follows the iterative stratification of Sechidis, Tsoumakas, Vlahavas (2011), with groups in the place
    of examples: the rarest mark first, its largest groups first, each to the side that still wants most of
    the mark. The same for the same clips in any order. Where there are as many groups as sides no side
    stays empty; where there are fewer, train comes first and test second.
    """
    marked: dict[str, Counter[str]] = defaultdict(Counter)
    inside: dict[str, Counter[str]] = defaultdict(Counter)
    for group, own in zip(groups, marks, strict=True):
        for mark in own or ("",):
            marked[mark][group] += 1
            inside[group][mark] += 1
    sizes = Counter(groups)
    names = sorted(sizes)
    order = stream(seed, "split").permutation(len(names))
    rank = {names[position]: place for place, position in enumerate(order)}
    wanted = _Wanted(shares, sizes, marked)
    given: dict[str, str] = {}
    for mark in sorted(marked, key=lambda mark: (marked[mark].total(), mark)):
        for group in sorted(marked[mark], key=lambda group: (-marked[mark][group], rank[group])):
            if group not in given:
                given[group] = wanted.most(mark)
                wanted.take(given[group], sizes[group], inside[group])
    _fill_empty(given, sorted(names, key=lambda group: (sizes[group], rank[group])), shares)
    return [given[group] for group in groups]


class _Wanted:
    """How many clips each side still wants, of each mark and of all; in whole numbers: ties are ties."""

    def __init__(
        self, shares: Mapping[str, int], sizes: Counter[str], marked: Mapping[str, Counter[str]]
    ) -> None:
        self.splits = list(shares)
        self.unit = sum(shares.values())
        self.all = {name: share * sizes.total() for name, share in shares.items()}
        self.marks = {
            mark: {name: share * counts.total() for name, share in shares.items()}
            for mark, counts in marked.items()
        }

    def most(self, mark: str) -> str:
        """The side that wants most of a mark; where equal, most of all."""
        return max(self.splits, key=lambda name: (self.marks[mark][name], self.all[name]))

    def take(self, name: str, size: int, marks: Counter[str]) -> None:
        """A group of `size` clips goes to a side."""
        self.all[name] -= self.unit * size
        for mark, number in marks.items():
            self.marks[mark][name] -= self.unit * number


def _fill_empty(given: dict[str, str], smallest_first: list[str], shares: Mapping[str, int]) -> None:
    """Moves the smallest group of the side with most groups to a side that has none."""
    usual = [name for name in ("train", "test", "val") if name in shares]
    first = (usual or list(shares))[: len(given)]
    for name in first:
        held = Counter(given.values())
        if not held[name]:
            spare = [other for other in held if other not in first]
            donor = spare[0] if spare else max(shares, key=lambda other: held[other])
            given[next(group for group in smallest_first if given[group] == donor)] = name


def make_folds(groups: Sequence[str], marks: Sequence[tuple[str, ...]], folds: int) -> list[int]:
    """The fold (1 .. `folds`) of each clip: whole groups, each mark shared out evenly, as `make_split` does.

    Raises DataError where there are fewer groups than folds.
    """
    if not len(groups):
        raise DataError("folds: no clip is of train or val, and those of test are not dealt into folds.")
    if len(set(groups)) < folds:
        raise DataError(
            f"folds: {count(len(set(groups)), 'group')} cannot fill {folds} folds, as a group stays whole. "
            "Ask for fewer folds, or name a column with finer groups (data.group)."
        )
    return [int(name) for name in make_split(groups, marks, 0, {str(n + 1): 1 for n in range(folds)})]


def carve_val(
    splits: Sequence[str], groups: Sequence[str], marks: Sequence[tuple[str, ...]], seed: int
) -> list[str]:
    """The same sides with a quarter of train, in whole groups, turned into val; test stays as it is.

    Where train has a single group nothing can be carved and the sides come back as they were.
    """
    rows = [row for row, name in enumerate(splits) if name == "train"]
    carved = list(splits)
    if len({groups[row] for row in rows}) > 1:
        parts = {"train": SHARES["train"], "val": SHARES["val"]}
        made = make_split([groups[row] for row in rows], [marks[row] for row in rows], seed, parts)
        for row, name in zip(rows, made, strict=True):
            carved[row] = name
    return carved


def find_leaks(groups: Sequence[str], splits: Sequence[str]) -> dict[str, Counter[str]]:
    """Groups on more than one side, with the number of their clips on each; by name."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for group, name in zip(groups, splits, strict=True):
        if name:
            found[group][name] += 1
    return {group: found[group] for group in sorted(found) if len(found[group]) > 1}


def groups_in_two_splits(groups: Sized) -> str:
    """How many groups sit (on several sides), in words."""
    return f"{count(len(groups), 'group')} {'sits' if len(groups) == 1 else 'sit'}"


def leak_error(leaks: Mapping[str, Counter[str]], where: str, column: str) -> DataError:
    """Says which groups sit on several sides and what can be done."""
    shown = [f"  {group}: {counts_text(leaks[group])}" for group in list(leaks)[:_SHOWN]]
    if len(leaks) > _SHOWN:
        shown.append(f"  and {len(leaks) - _SHOWN} more")
    lines = "\n".join(shown)
    return DataError(
        f"{where}: {groups_in_two_splits(leaks)} on more than one side of the split; "
        "a test would ask for what training heard:\n"
        f"{lines}\n"
        f"Groups are read from {column}. Put each on one side, name another column (data.group), "
        "leave the split out to have one made, or allow it with --allow-leak."
    )


def counts_text(counts: Mapping[str, int]) -> str:
    """`64 train, 16 val`."""
    return ", ".join(f"{counts[name]} {name}" for name in SHARES if counts.get(name))


# A split on disk: which clip is on which side, as CSV with a hash, so that a run keeps it for life.

_HEADER = ["id", "split", "sha256"]


def split_hash(ids: Sequence[str], splits: Sequence[str]) -> str:
    """sha256 over the sorted pairs of clip and side, hexadecimal."""
    return hashlib.sha256(_body(ids, splits).encode()).hexdigest()


def write_split(path: Path, ids: Sequence[str], splits: Sequence[str]) -> None:
    """Writes a CSV table `id,split,sha256`, sorted, the hash in its first row; whole or not at all."""
    rows = sorted(zip(ids, splits, strict=True))
    hashes = [split_hash(ids, splits), *[""] * len(rows)]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)  # a name may hold a line's end
    writer.writerow(_HEADER)
    writer.writerows((*row, digest) for row, digest in zip(rows, hashes, strict=False))
    write_text(path, text.getvalue())


def read_split_file(path: Path) -> dict[str, str]:
    """Side by clip. Raises DataError where the file is missing, no split file, or was changed by hand."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            mark = file.readline() if file.read(1) == "#" else ""  # as files were written before
            if not mark:
                file.seek(0)
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: the split cannot be read ({error}). Correct the path, or make the split anew."
        ) from None
    width = 2 if mark else 3
    if rows[:1] != [_HEADER[:width]] or any(len(row) != width for row in rows):
        raise DataError(f"{path}: this is no split file. Give one that Collection.save_split wrote.")
    splits = {row[0]: row[1] for row in rows[1:]}
    hashes = [mark.partition(":")[2].strip()] if mark else [row[2] for row in rows[1:] if row[2]]
    wrong = [name for name in splits.values() if name not in ("", *SHARES)]
    if wrong or hashes != [split_hash(list(splits), list(splits.values()))]:
        raise DataError(f"{path}: the split was changed after it was written. Bring the original back.")
    return splits


def _body(ids: Sequence[str], splits: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "split"])
    writer.writerows(sorted(zip(ids, splits, strict=True)))
    return text.getvalue()
