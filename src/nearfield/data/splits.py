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

# Splits into train, val and test, given or made; all clips of a group get the same split.

SHARES: Mapping[str, int] = {"train": 3, "val": 1, "test": 1}
"""Parts of a split that is made: three fifths train, one fifth each val and test."""

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
    """Returns the split (train, val, test) that a table cell or folder name means, or None.

    `test_set` and `train-data` mean `test` and `train`.
    """
    plain = word.strip().lower()
    return _WORDS.get(plain) or _WORDS.get(_SUFFIX.sub("", plain))


def read_split(cells: Sequence[str], lines: Sequence[int | None], where: str) -> list[str]:
    """Reads the split of each clip from a split or fold column; "" means no split.

    Numbers are folds: the last is test, the one before it is val if there are three or more, and the others
    are train. Raises DataError for any other word.
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
        "Two or more fold numbers are allowed, too. An empty cell gives the clip no split."
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
    """Makes a random split of whole groups, stratified by marks.

    Uses the iterative stratification of Sechidis, Tsoumakas, Vlahavas (2011) with groups instead of
    examples: marks from rare to frequent, the groups of a mark from large to small, each group to the split
    that still needs most clips with the mark. The order of the clips does not change the result. If there
    are at least as many groups as splits, no split is empty; otherwise train is filled first and test second.

    Parameters
    ----------
    groups
        The group of each clip.
    marks
        The label or the tags of each clip.
    seed
        Seed of the order among groups of equal size.
    shares
        Relative size of each split.

    Returns
    -------
    list of str
        The split of each clip.
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
    """Number of clips that each split still needs, per mark and in total; integers make ties exact."""

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
        """Returns the split that needs most clips with a mark; ties go to the one that needs most clips."""
        return max(self.splits, key=lambda name: (self.marks[mark][name], self.all[name]))

    def take(self, name: str, size: int, marks: Counter[str]) -> None:
        """Subtracts a group of `size` clips from what a split needs."""
        self.all[name] -= self.unit * size
        for mark, number in marks.items():
            self.marks[mark][name] -= self.unit * number


def _fill_empty(given: dict[str, str], smallest_first: list[str], shares: Mapping[str, int]) -> None:
    """Moves the smallest group of the split with most groups to each split that has none."""
    usual = [name for name in ("train", "test", "val") if name in shares]
    first = (usual or list(shares))[: len(given)]
    for name in first:
        held = Counter(given.values())
        if not held[name]:
            spare = [other for other in held if other not in first]
            donor = spare[0] if spare else max(shares, key=lambda other: held[other])
            given[next(group for group in smallest_first if given[group] == donor)] = name


def make_folds(groups: Sequence[str], marks: Sequence[tuple[str, ...]], folds: int) -> list[int]:
    """Assigns each clip to a fold (1 .. `folds`): whole groups, stratified by marks like `make_split`.

    Raises DataError if there are fewer groups than folds.
    """
    if not len(groups):
        raise DataError(
            "folds: there are no train or val clips, and folds are made from these only. "
            "Give some clips the split train."
        )
    if len(set(groups)) < folds:
        raise DataError(
            f"folds: {count(len(set(groups)), 'group')} cannot fill {folds} folds, because groups are not "
            "divided. Use fewer folds, or name a column with smaller groups (data.group)."
        )
    return [int(name) for name in make_split(groups, marks, 0, {str(n + 1): 1 for n in range(folds)})]


def carve_val(
    splits: Sequence[str], groups: Sequence[str], marks: Sequence[tuple[str, ...]], seed: int
) -> list[str]:
    """Moves a quarter of train, in whole groups, to val. If train has a single group, nothing changes."""
    rows = [row for row, name in enumerate(splits) if name == "train"]
    carved = list(splits)
    if len({groups[row] for row in rows}) > 1:
        parts = {"train": SHARES["train"], "val": SHARES["val"]}
        made = make_split([groups[row] for row in rows], [marks[row] for row in rows], seed, parts)
        for row, name in zip(rows, made, strict=True):
            carved[row] = name
    return carved


def find_leaks(groups: Sequence[str], splits: Sequence[str]) -> dict[str, Counter[str]]:
    """Returns the groups in more than one split, sorted by name, with their clips per split."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for group, name in zip(groups, splits, strict=True):
        if name:
            found[group][name] += 1
    return {group: found[group] for group in sorted(found) if len(found[group]) > 1}


def groups_in_two_splits(groups: Sized) -> str:
    """Returns the beginning of a sentence, as "3 groups occur", to be continued by "in two splits"."""
    return f"{count(len(groups), 'group')} {'occurs' if len(groups) == 1 else 'occur'}"


def leak_error(leaks: Mapping[str, Counter[str]], where: str, column: str) -> DataError:
    """Creates the error that lists groups in more than one split and the remedies."""
    shown = [f"  {group}: {counts_text(leaks[group])}" for group in list(leaks)[:_SHOWN]]
    if len(leaks) > _SHOWN:
        shown.append(f"  and {len(leaks) - _SHOWN} more")
    lines = "\n".join(shown)
    return DataError(
        f"{where}: {groups_in_two_splits(leaks)} in more than one split, so test is not independent:\n"
        f"{lines}\n"
        f"Groups are read from {column}. Give all clips of a group one split, name another column "
        "(data.group), leave out the split so that one is made, or allow it with --allow-leak."
    )


def counts_text(counts: Mapping[str, int]) -> str:
    """Formats counts per split as `64 train, 16 val`."""
    return ", ".join(f"{counts[name]} {name}" for name in SHARES if counts.get(name))


# A split on disk: the split of each clip as CSV with a hash, so that a run always uses the same one.

_HEADER = ["id", "split", "sha256"]


def split_hash(ids: Sequence[str], splits: Sequence[str]) -> str:
    """Computes the hexadecimal sha256 of the sorted pairs of clip and split."""
    return hashlib.sha256(_body(ids, splits).encode()).hexdigest()


def write_split(path: Path, ids: Sequence[str], splits: Sequence[str]) -> None:
    """Writes a sorted CSV table `id,split,sha256` with the hash in its first row, atomically."""
    rows = sorted(zip(ids, splits, strict=True))
    hashes = [split_hash(ids, splits), *[""] * len(rows)]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)  # a name may contain a line feed
    writer.writerow(_HEADER)
    writer.writerows((*row, digest) for row, digest in zip(rows, hashes, strict=False))
    write_text(path, text.getvalue())


def read_split_file(path: Path) -> dict[str, str]:
    """Reads clip to split. Raises DataError if the file is missing, no split file, or was changed by hand."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            mark = file.readline() if file.read(1) == "#" else ""  # the format of earlier versions
            if not mark:
                file.seek(0)
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: the split cannot be read ({error}). Correct the path, or make a new split."
        ) from None
    width = 2 if mark else 3
    if rows[:1] != [_HEADER[:width]] or any(len(row) != width for row in rows):
        raise DataError(f"{path}: this is not a split file. Give one that Collection.save_split wrote.")
    splits = {row[0]: row[1] for row in rows[1:]}
    hashes = [mark.partition(":")[2].strip()] if mark else [row[2] for row in rows[1:] if row[2]]
    wrong = [name for name in splits.values() if name not in ("", *SHARES)]
    if wrong or hashes != [split_hash(list(splits), list(splits.values()))]:
        raise DataError(f"{path}: the split was changed after it was written. Restore the original file.")
    return splits


def _body(ids: Sequence[str], splits: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "split"])
    writer.writerows(sorted(zip(ids, splits, strict=True)))
    return text.getvalue()
