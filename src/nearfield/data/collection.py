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

# Splits of the clips of a collection: read from the source or made.


@dataclass(frozen=True)
class Sides:
    """The split of each clip and where it comes from."""

    each: list[str]
    """train, val, test, or "" for none, for each clip."""
    origin: str
    leaks: tuple[str, ...]
    """Groups that occur in more than one split."""
    problems: tuple[Problem, ...]


def assign_splits(clips: Clips, source: str, seed: int, allow_leak: bool) -> Sides:
    """Reads the split from the source, or makes one if the source has none.

    If the given split has no val, whole groups are moved from train to val. Raises DataError for an unknown
    split name, and for a group in two splits unless `allow_leak`.
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
    """Returns the split of each clip of `table` in one fold of a cross-validation.

    The fold becomes test. If `validates`, the next fold becomes val. The other folds become train. Clips of
    the table's own test split get "", unless the folds are over all clips. Raises DataError if there are
    fewer groups than folds, or if no fold is left for train.
    """
    if validates and fold.of == 2:
        raise DataError(
            "data.fold: with 2 folds, one is test and one is val, so none is left for train. "
            "Use 3 or more folds, or set train.validate_every=0."
        )
    val_fold = fold.number % fold.of + 1 if validates else None
    split_of_fold = {fold.number: "test", val_fold: "val"}
    divided = ["train", "val", "test"] if fold.over == "all" else ["train", "val"]
    own = table[table["split"].isin(divided)]
    folds = make_folds(list(own["group"]), stratify_by(own), fold.of)
    splits = {row: split_of_fold.get(number, "train") for row, number in zip(own.index, folds, strict=True)}
    return [splits.get(row, "") for row in table.index]


def stratify_by(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """Returns what a split is stratified by: labels if there are any, else tags."""
    if any(table["label"]):
        return [(label,) for label in table["label"]]
    return list(table["tags"])


def _blank(each: Sequence[str], source: str) -> tuple[Problem, ...]:
    count = each.count("")
    if not count:
        return ()
    reason = f"clips without a split are not used for training or evaluation ({count} of {len(each)})."
    return (Problem("no_split", source, None, reason, "Write train, val or test into each row.", "warning"),)


def _carved(each: Sequence[str], source: str) -> tuple[Problem, ...]:
    count = each.count("val")
    if not count:
        reason = "there are no val clips. Train has a single group, so val could not be made from it."
        cure = "Add groups, or give some clips the split val."
    else:
        reason = f"there were no val clips, so whole groups of train became val ({count} clips)."
        cure = "To choose them yourself, give some clips the split val."
    return (Problem("no_val", source, None, reason, cure, "warning"),)


SHOWN = 20
"""Largest number of column values that an error lists."""


@dataclass(frozen=True, eq=False)
class Collection:
    """A table of clips with their labels, tags, groups and splits.

    Examples
    --------
    >>> collection = Collection.load("sounds/")  # doctest: +SKIP
    >>> collection.rows("train")  # doctest: +SKIP
    """

    table: pd.DataFrame
    """One row per clip: the columns `STANDARD`, then any further columns of the source."""
    kind: Kind = "sound"
    name: str = ""
    problems: tuple[Problem, ...] = ()
    """Clips that were left out, and warnings."""
    leaks: tuple[str, ...] = ()
    """Groups that occur in more than one split, if that was allowed."""
    starts: Mapping[How, int] = field(default_factory=dict)
    """Number of clips for each interpretation of the start column."""
    split_from: str = ""
    """Where the split comes from, in words."""
    tag_order: tuple[str, ...] = ()
    """Tags that are numbered first, in this order (published sets fix one); other tags follow by name."""

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
        """Opens the clips of a folder, a table, a known layout or a synthetic set.

        Parameters
        ----------
        data
            A folder, a table, `NAME:PATH` for a known layout, or `synthetic:NAME`.
        columns
            Which columns of the table to read.
        allow_leak
            Whether a group may occur in more than one split.
        seed
            Seed of the split, if one has to be made.
        progress
            Called with the number of files inspected so far and the number of all files.
        patch
            A patch table with corrections to apply; the one of `DATA?patch=PATH` is applied first.

        Returns
        -------
        Collection
            The usable clips; rows that cannot be used are listed in `problems`.

        Raises
        ------
        DataError
            If no row can be used, a column is missing, a split name is unknown, or a group occurs in two
            splits without `allow_leak`.
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
        """Like `load`, from the rows of a layout, for example `Esc50(test_fold=1).read(path)`."""
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
        """Creates a collection from a data frame without reading the files.

        Parameters
        ----------
        rows
            One row per clip with the column `path`, for sounds also `seconds`. Missing standard columns get
            defaults: no label, no tags, no split, and each path is its own recording and group. Cells are
            parsed like those of a table: tags as `a|b` or a list, `training` as train, a gap as empty.
        kind
            `sound` or `picture`.
        name
            Name of the collection.

        Raises
        ------
        DataError
            If a required column is missing, an id is not unique, or a split name is unknown.
        """
        for column in ("path",) if kind == "picture" else ("path", "seconds"):
            if column not in rows:
                raise DataError(
                    f"rows: there is no column {column!r}. Given: {', '.join(map(str, rows))}. Add it."
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
        repeated = table["id"][table["id"].duplicated()]
        if len(repeated):
            raise DataError(f"rows: the id {repeated.iloc[0]!r} is not unique. Give each clip its own id.")
        return cls(table[[*STANDARD, *(name for name in table if name not in STANDARD)]], kind, name)

    def __len__(self) -> int:
        return len(self.table)

    def rows(self, split: str) -> Ints:
        """Returns the row numbers of a split (train, val, test), ascending; "" gives clips without one."""
        return np.flatnonzero((self.table["split"] == split).to_numpy()).astype(np.int64)

    def subset(self, rows: Ints) -> Self:
        """Returns the collection with only the given rows, in the given order."""
        return replace(self, table=self.table.iloc[rows].reset_index(drop=True))

    def with_val_in_train(self) -> Self:
        """Returns the collection with val moved into train, so that no clips are left for validation."""
        splits = self.table["split"].replace("val", "train")
        origin = f"{self.split_from}; val trains too"
        return replace(self, table=self.table.assign(split=splits), split_from=origin)

    def with_fold(self, fold: Fold, validates: bool = False) -> Self:
        """Returns the collection split as one fold of a cross-validation.

        Clips that the folds leave out get no split (see `fold_sides`). Raises DataError if there are fewer
        groups than folds, or if no clips are left for train.
        """
        splits = fold_sides(self.table, fold, validates)
        origin = f"{fold}; {self.split_from}"
        leaks = tuple(find_leaks(list(self.table["group"]), splits))
        return replace(self, table=self.table.assign(split=splits), split_from=origin, leaks=leaks)

    def without(self, problems: Iterable[Problem]) -> Self:
        """Returns the collection without the clips that `problems` name by id or file; adds the problems."""
        listed = tuple(problems)
        named = {problem.path for problem in listed}
        bad = self.table["id"].isin(named) | self.table["path"].isin(named)
        kept = self.subset(np.flatnonzero(~bad.to_numpy()).astype(np.int64))
        return replace(kept, problems=self.problems + listed)

    def metadata(self) -> ClipMetadata:
        """Returns labels, tags, groups and times of the clips as arrays.

        Labels and tags are numbered in the order of their names; tags of `tag_order` come first.
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
        """Computes the sha256 of ids, labels, splits, times and file contents; folder and order do not count.

        Reads every file once; later calls take the digests of the files from the cache.
        """
        digests = content_digests([Path(path) for path in self.table["path"]], progress)
        columns = ("id", "label", "tags", "group", "split", "start", "seconds", "moment")
        lines = sorted(
            json.dumps([*clip, digest], ensure_ascii=False)
            for *clip, digest in zip(*(self.table[name] for name in columns), digests, strict=True)
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def split_hash(self) -> str:
        """Computes the sha256 of the split of every clip."""
        return split_hash(list(self.table["id"]), list(self.table["split"]))

    def save_split(self, path: Path) -> None:
        """Writes the split of every clip as CSV with a hash, atomically."""
        write_split(path, list(self.table["id"]), list(self.table["split"]))

    def with_split(self, path: Path) -> Self:
        """Returns the collection with the split that `save_split` wrote to `path`.

        Clips missing in the file get no split. `problems` reports their number, and the number of clips that
        only the file has. Raises DataError if the file is no split file, was changed after it was written,
        or has none of the clips.
        """
        stored = read_split_file(path)
        ids = list(self.table["id"])
        problems = _unknown_ids(ids, stored, path)
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
        """Returns the clips with the values `wanted` (column to value), compared as text.

        Raises DataError for an unknown column, and if no clip is left.
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
            raise DataError(
                f"data.only: no clip of {self.name} has all of {dict(wanted)}. Leave out one condition."
            )
        return self.subset(np.flatnonzero(kept).astype(np.int64))

    def with_patch(self, path: str | Path, splits: Iterable[str] = ("train", "val", "test")) -> Self:
        """Returns the collection with the corrections of a patch table applied to the given splits.

        The table relabels, retags or leaves out clips; the split of the others does not change. `problems`
        lists corrections of missing clips. Raises DataError if the file is no patch table, or if it leaves
        out every clip.
        """
        table, problems = Patch.read(path).apply(self.table, tuple(splits))
        if not len(table):
            raise DataError(f"{path}: the patch table leaves out every clip. Keep at least one.")
        leaks = tuple(find_leaks(list(table["group"]), list(table["split"]))) if self.leaks else ()
        return replace(self, table=table, problems=self.problems + problems, leaks=leaks)


def _defaults(count: int) -> dict[str, Any]:
    """Default of each standard column: a value, or the name of the column to copy."""
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
    """Raises DataError if a cell is not UTF-8 text, because it could not be stored."""
    for cell in cells:
        if not is_text(cell):
            raise DataError(f"rows: {shown(cell)} is not UTF-8 text. Rename it or leave it out.")


def _numbered(names: pd.Series) -> Ints:
    """Class numbers in the order of the names; -1 for an empty name."""
    number = {name: position for position, name in enumerate(sorted(set(names) - {""}))}
    return np.array([number.get(name, -1) for name in names], np.int64)


def _further(table: pd.DataFrame) -> dict[str, Ints]:
    """Further columns with categories (text, whole numbers) as class numbers.

    A column of whole numbers with gaps has a floating-point type, and counts as whole numbers.
    """
    names = [str(name) for name in table if name not in (*STANDARD, "row")]
    kept = [name for name in names if not _has_fractions(table[name])]
    return {name: _numbered(pd.Series([cell_text(cell) for cell in table[name]])) for name in kept}


def _has_fractions(column: pd.Series) -> bool:
    """Whether a column holds fractions: measurements rather than categories."""
    return bool(pd.api.types.is_float_dtype(column) and (column.dropna() % 1 != 0).any())


def _unknown_ids(ids: Sequence[str], stored: Mapping[str, str], path: Path) -> tuple[Problem, ...]:
    """Reports clips that are only in the collection or only in the stored split."""
    new = [clip for clip in ids if clip not in stored]
    if len(new) == len(ids):
        raise DataError(f"{path}: the split has no clip of this collection. Was it made for other data?")
    found = []
    if new:
        reason = f"clips that are not in the split are not used ({len(new)}, the first is {new[0]})."
        found.append(
            Problem("new_clips", path.name, None, reason, "Make a new split to use them.", "warning")
        )
    gone = sorted(set(stored).difference(ids))
    if gone:
        reason = f"clips of the split are missing in the data ({len(gone)}, the first is {gone[0]})."
        found.append(Problem("gone_clips", path.name, None, reason, "Restore their files.", "warning"))
    return tuple(found)
