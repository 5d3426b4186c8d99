"""`Collection`: the table of clips, one row a clip, with its split."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from nearfield.core.errors import DataError, choose
from nearfield.core.text import is_text, shown
from nearfield.core.types import ClipMetadata, Ints
from nearfield.data.arrays import as_data
from nearfield.data.clips import STANDARD, Clips, possible_leak, read_clips
from nearfield.data.faults import Problem
from nearfield.data.labels import tag_tuples
from nearfield.data.layouts import read_layout
from nearfield.data.listing import Kind, Listing
from nearfield.data.patches import Patch, split_patch
from nearfield.data.probing import Progress, content_digests
from nearfield.data.settings import Columns, Fold
from nearfield.data.splits import (
    carve_val,
    find_leaks,
    leak_error,
    make_folds,
    make_split,
    read_split,
    read_split_file,
    split_hash,
    write_split,
)
from nearfield.data.tables import cell_text
from nearfield.data.times import How

# The side of each clip of a collection: given or made, without leaks, with a val to choose by.


@dataclass(frozen=True)
class Sides:
    """One side (train, val, test, or "" for none) for each clip, and where it comes from."""

    each: list[str]
    origin: str
    leaks: tuple[str, ...]
    problems: tuple[Problem, ...]


def assign_splits(clips: Clips, source: str, seed: int, allow_leak: bool) -> Sides:
    """Reads the split that the source gives, or makes one where it gives none.

    Where a given split has no val, whole groups are taken out of train. Raises DataError for a word that
    is no side, and where a group sits on two sides and `allow_leak` is False.
    """
    groups, marks = list(clips.table["group"]), stratify_by(clips.table)
    if not any(clips.table["split"]):
        return Sides(make_split(groups, marks, seed), f"made, with seed {seed}", (), ())
    each = read_split(list(clips.table["split"]), clips.lines, source)
    leaks = find_leaks(groups, each)
    if leaks and not allow_leak:
        raise leak_error(leaks, source, clips.group_from)
    problems = _blank(each, source)
    if "train" in each and "val" not in each:
        each = carve_val(each, groups, marks, seed)
        problems += _carved(each, source)
    return Sides(each, f"given by {clips.split_from}", tuple(leaks), problems)


def fold_sides(table: pd.DataFrame, fold: Fold, validates: bool) -> list[str]:
    """The side of each clip of a collection's `table` in one fold of a cross-validation over train and val.

    The fold judges (test) and the others train, but where `validates`, the next one chooses (val). Clips of
    test are on no side (""). Raises DataError where the groups do not fill the folds, or none would train.
    """
    if validates and fold.of == 2:
        raise DataError(
            "data.fold: of 2 folds one judges and one chooses, and none trains. Take 3 or more, "
            "or set train.validate_every=0."
        )
    chooses = fold.number % fold.of + 1 if validates else None
    split = {fold.number: "test", chooses: "val"}
    own = table[table["split"].isin(["train", "val"])]
    dealt = make_folds(list(own["group"]), stratify_by(own), fold.of)
    splits = {row: split.get(part, "train") for row, part in zip(own.index, dealt, strict=True)}
    return [splits.get(row, "") for row in table.index]


def stratify_by(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """What is shared out evenly: labels; where there are none, tags."""
    if any(table["label"]):
        return [(label,) for label in table["label"]]
    return list(table["tags"])


def _blank(each: Sequence[str], source: str) -> tuple[Problem, ...]:
    count = each.count("")
    if not count:
        return ()
    reason = f"clips without a split take no part in training or judging ({count} of {len(each)})."
    return (Problem("no_split", source, None, reason, "Write train, val or test into each row.", "warning"),)


def _carved(each: Sequence[str], source: str) -> tuple[Problem, ...]:
    count = each.count("val")
    if not count:
        reason = "there are no val clips, and train is a single group, so none could be taken from it."
        cure = "Add groups, or give some clips the split val."
    else:
        reason = f"there were no val clips: whole groups of train were taken ({count} in all)."
        cure = "To choose them yourself, give some clips the split val."
    return (Problem("no_val", source, None, reason, cure, "warning"),)


# `Collection`: the table of clips that everything else stands on, one row a clip.

SHOWN = 20
"""Values of a column that an error lists at most."""


@dataclass(frozen=True, eq=False)
class Collection:
    """Clips, what is known of them, and on which side of the split each one stands."""

    table: pd.DataFrame
    """One row a clip: the columns `STANDARD`, then whatever else the source had."""
    kind: Kind = "sound"
    name: str = ""
    problems: tuple[Problem, ...] = ()
    """What was left out, and what somebody should look at."""
    leaks: tuple[str, ...] = ()
    """Groups that sit on more than one side of the split, where that was allowed."""
    starts: Mapping[How, int] = field(default_factory=dict)
    """How many clips had the start in their table taken for what."""
    split_from: str = ""
    """Where the split comes from, in words."""
    tag_order: tuple[str, ...] = ()
    """Tags that are numbered first, in this order, as a published set has them; () for the order of names."""

    @classmethod
    def load(
        cls,
        data: str | Path,
        columns: Columns | None = None,
        allow_leak: bool = False,
        seed: int = 0,
        progress: Progress | None = None,
        patch: str | Path | None = None,
    ) -> Self:
        """The clips of a folder, a table, `NAME:PATH` for a known layout, or `synthetic:NAME`.

        `seed` fixes the split where one has to be made; `progress` gets how many of how many files were
        looked at. `patch` is a table of decisions that is applied, as is that of `DATA?patch=PATH`. Rows that
        cannot be used are in `problems`. Raises DataError where no row can be used, a column is missing, a
        word for a split is not known, or a group sits on two sides and `allow_leak` is False.
        """
        source, own = split_patch(as_data(data))
        name, listing = read_layout(source)
        opened = cls.from_listing(listing, name, columns, allow_leak, seed, progress)
        for table in (own, patch):
            opened = opened if table is None else opened.with_patch(table)
        return opened

    @classmethod
    def from_listing(
        cls,
        listing: Listing,
        name: str,
        columns: Columns | None = None,
        allow_leak: bool = False,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Self:
        """As `open`, from rows that a layout has read, as in `Esc50(test_fold=1).read(path)`."""
        clips = read_clips(listing, columns or Columns(), progress)
        splits = assign_splits(clips, listing.source, seed, allow_leak)
        leak = () if clips.is_grouped else possible_leak(clips.table, splits.each, listing.source)
        return cls(
            table=clips.table.assign(split=splits.each),
            kind=clips.kind,
            name=name,
            problems=clips.problems + splits.problems + leak,
            leaks=splits.leaks,
            starts=clips.starts,
            split_from=splits.origin,
            tag_order=listing.tags,
        )

    @classmethod
    def from_rows(cls, rows: pd.DataFrame, kind: Kind = "sound", name: str = "rows") -> Self:
        """A collection of rows that are right already; nothing is read from disk.

        `rows` needs `path`, and for sounds `seconds`; the other standard columns are filled in where they
        are missing: no label, no tags, no split, each path its own recording and group. Cells are read as
        those of a table: tags as `a|b` or a list, `training` as train, a gap as nothing. Raises DataError
        where a needed column is missing, an id stands twice or a word for a split is not known.
        """
        for column in ("path",) if kind == "picture" else ("path", "seconds"):
            if column not in rows:
                raise DataError(
                    f"rows: there is no column {column!r}. Columns found: {', '.join(map(str, rows))}."
                )
        table = rows.reset_index(drop=True)
        for column, value in _defaults(len(table)).items():
            if column not in table:
                table = table.assign(**{column: table[value] if isinstance(value, str) and value else value})
        table["path"] = [str(path) for path in table["path"]]
        for column in ("id", "recording", "group", "label"):
            table[column] = pd.Series([cell_text(cell) for cell in table[column]], dtype=object)
            _check_text(table[column])
        table["tags"] = tag_tuples(table["tags"])
        table["split"] = read_split([cell_text(cell) for cell in table["split"]], [None] * len(table), name)
        doubled = table["id"][table["id"].duplicated()]
        if len(doubled):
            raise DataError(f"rows: the id {doubled.iloc[0]!r} stands twice. Give each clip its own.")
        return cls(table[[*STANDARD, *(name for name in table if name not in STANDARD)]], kind, name)

    def __len__(self) -> int:
        return len(self.table)

    def rows(self, split: str) -> Ints:
        """Row numbers of one side of the split (train, val, test), ascending; "" gives clips on no side."""
        return np.flatnonzero((self.table["split"] == split).to_numpy()).astype(np.int64)

    def subset(self, rows: Ints) -> Self:
        """The same collection with some rows only, in the order given."""
        return replace(self, table=self.table.iloc[rows].reset_index(drop=True))

    def with_val_in_train(self) -> Self:
        """The same clips, those of val on the train side: nothing is left to choose by."""
        splits = self.table["split"].replace("val", "train")
        said = f"{self.split_from}; val trains too"
        return replace(self, table=self.table.assign(split=splits), split_from=said)

    def with_fold(self, fold: Fold, validates: bool = False) -> Self:
        """The clips of train and val as one fold of a cross-validation; test is on no side (`fold_sides`).

        Raises DataError where the groups do not fill the folds, or nothing would be left to train on.
        """
        splits = fold_sides(self.table, fold, validates)
        said = f"{fold}; {self.split_from}"
        leaks = tuple(find_leaks(list(self.table["group"]), splits))
        return replace(self, table=self.table.assign(split=splits), split_from=said, leaks=leaks)

    def without(self, problems: Iterable[Problem]) -> Self:
        """Leaves out every clip whose id or file a problem names, and lists the problems."""
        listed = tuple(problems)
        named = {problem.path for problem in listed}
        bad = self.table["id"].isin(named) | self.table["path"].isin(named)
        kept = self.subset(np.flatnonzero(~bad.to_numpy()).astype(np.int64))
        return replace(kept, problems=self.problems + listed)

    def metadata(self) -> ClipMetadata:
        """What is known of each clip, as arrays.

        Labels are numbered in the order of their names; so are tags, but for those in `tag_order`.
        """
        table = self.table
        label_names = sorted(set(table["label"]) - {""})
        found = {tag for tags in table["tags"] for tag in tags}
        first = [tag for tag in self.tag_order if tag in found]
        tag_names = [*first, *sorted(found.difference(first))]
        number = {name: position for position, name in enumerate(label_names)}
        place = {name: position for position, name in enumerate(tag_names)}
        tags = np.zeros((len(table), len(tag_names)), np.bool_)
        for row, given in enumerate(table["tags"]):
            tags[row, [place[tag] for tag in given]] = True
        return ClipMetadata(
            labels=np.array([number.get(label, -1) for label in table["label"]], np.int64),
            label_names=tuple(label_names),
            tags=tags,
            tag_names=tuple(tag_names),
            recordings=_numbered(table["recording"]),
            groups=_numbered(table["group"]),
            start_times=table["moment"].to_numpy(np.float64),
            seconds=table["seconds"].to_numpy(np.float64),
            columns=_further(table),
        )

    def fingerprint(self, progress: Progress | None = None) -> str:
        """sha256 over what each clip is called, means and sounds like, whatever folder and order it lies in.

        Reads every file once; later calls take the files' digests from the cache.
        """
        digests = content_digests([Path(path) for path in self.table["path"]], progress)
        columns = ("id", "label", "tags", "group", "split", "start", "seconds", "moment")
        lines = sorted(
            json.dumps([*clip, digest], ensure_ascii=False)
            for *clip, digest in zip(*(self.table[name] for name in columns), digests, strict=True)
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def split_hash(self) -> str:
        """sha256 over which clip is on which side."""
        return split_hash(list(self.table["id"]), list(self.table["split"]))

    def save_split(self, path: Path) -> None:
        """Writes which clip is on which side, as CSV with its hash, whole or not at all."""
        write_split(path, list(self.table["id"]), list(self.table["split"]))

    def with_split(self, path: Path) -> Self:
        """The same clips on the sides that `save_split` wrote.

        Clips that the file does not know are on no side, and listed; so is the number of those that are
        gone. Raises DataError where the file is no split, was changed, or knows none of the clips.
        """
        stored = read_split_file(path)
        ids = list(self.table["id"])
        problems = _strangers(ids, stored, path)
        each = [stored.get(clip, "") for clip in ids]
        leaks = tuple(find_leaks(list(self.table["group"]), each))
        return replace(
            self,
            table=self.table.assign(split=each),
            problems=self.problems + problems,
            leaks=leaks,
            split_from=f"stored in {path.name}",
        )

    def only(self, wanted: Mapping[str, str | int]) -> Self:
        """The clips that have the value `wanted` in each column named, compared as text.

        Raises DataError where there is no such column, or no clip is left.
        """
        kept = np.ones(len(self), np.bool_)
        for column, value in wanted.items():
            if column not in self.table:
                raise DataError(
                    f"data.only: {self.name} has no column {column!r}. {choose(column, map(str, self.table))}"
                )
            cells = [cell_text(cell) for cell in self.table[column]]
            if cell_text(value) not in cells:
                known = sorted(set(cells) - {""})[:SHOWN]
                raise DataError(
                    f"data.only: no clip of {self.name} has {column} {value!r}. {choose(str(value), known)}"
                )
            kept &= np.array([cell == cell_text(value) for cell in cells])
        if not kept.any():
            raise DataError(f"data.only: no clip of {self.name} has {dict(wanted)}.")
        return self.subset(np.flatnonzero(kept).astype(np.int64))

    def with_patch(self, path: str | Path, splits: Iterable[str] = ("train", "val", "test")) -> Self:
        """The same clips, relabelled, retagged or left out as the patch table at `path` decides, on the given
        sides of the split; the split stays as it was before.

        Decisions about clips that are not there are listed. Raises DataError where the table is none, or it
        leaves nothing.
        """
        table, problems = Patch.read(path).apply(self.table, tuple(splits))
        if not len(table):
            raise DataError(f"{path}: the patch table leaves out every clip. Keep some.")
        leaks = tuple(find_leaks(list(table["group"]), list(table["split"]))) if self.leaks else ()
        return replace(self, table=table, problems=self.problems + problems, leaks=leaks)


def _defaults(count: int) -> dict[str, Any]:
    """What a standard column holds where it is not given: a value, or what another column holds."""
    return {
        "id": "path",
        "start": 0.0,
        "seconds": 0.0,
        "moment": "start",
        "recording": "path",
        "group": "recording",
        "label": "",
        "tags": pd.Series([()] * count, dtype=object),
        "split": "",
    }


def _check_text(cells: Iterable[str]) -> None:
    """Raises DataError where a cell is no UTF-8 text: it could be stored nowhere."""
    for cell in cells:
        if not is_text(cell):
            raise DataError(f"rows: {shown(cell)}: this is not UTF-8 text. Rename it or leave it out.")


def _numbered(names: pd.Series) -> Ints:
    """Class numbers in the order of the names; -1 where there is none."""
    number = {name: position for position, name in enumerate(sorted(set(names) - {""}))}
    return np.array([number.get(name, -1) for name in names], np.int64)


def _further(table: pd.DataFrame) -> dict[str, Ints]:
    """The columns beyond the standard ones that name something (text, whole numbers), as class numbers.

    Whole numbers with gaps come as floating-point ones, and are taken for what they were.
    """
    names = [str(name) for name in table if name not in (*STANDARD, "row")]
    kept = [name for name in names if not _measures(table[name])]
    return {name: _numbered(pd.Series([cell_text(cell) for cell in table[name]])) for name in kept}


def _measures(column: pd.Series) -> bool:
    """Whether a column holds fractions, and so names nothing."""
    return bool(pd.api.types.is_float_dtype(column) and (column.dropna() % 1 != 0).any())


def _strangers(ids: Sequence[str], stored: Mapping[str, str], path: Path) -> tuple[Problem, ...]:
    """What a stored split and a collection do not share."""
    new = [clip for clip in ids if clip not in stored]
    if len(new) == len(ids):
        raise DataError(f"{path}: the split knows no clip of this collection. Was it made for other data?")
    found = []
    if new:
        reason = f"clips that the split does not know take no part ({len(new)}, the first being {new[0]})."
        found.append(
            Problem("new_clips", path.name, None, reason, "Make a new split to use them.", "warning")
        )
    gone = sorted(set(stored).difference(ids))
    if gone:
        reason = f"clips of the split are gone ({len(gone)}, the first being {gone[0]})."
        found.append(Problem("gone_clips", path.name, None, reason, "Bring them back.", "warning"))
    return tuple(found)
