"""The side of each clip of a collection: given or made, without leaks, with a val to choose by."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from nearfield.core.errors import DataError
from nearfield.data.clips import Clips
from nearfield.data.faults import Problem
from nearfield.data.settings import Fold
from nearfield.data.splits import carve_val, find_leaks, leak_error, make_folds, make_split, read_split


@dataclass(frozen=True)
class Sides:
    """One side (train, val, test, or "" for none) for each clip, and where it comes from."""

    each: list[str]
    origin: str
    leaks: tuple[str, ...]
    problems: tuple[Problem, ...]


def settle_sides(clips: Clips, source: str, seed: int, allow_leak: bool) -> Sides:
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
    side = {fold.number: "test", chooses: "val"}
    own = table[table["split"].isin(["train", "val"])]
    dealt = make_folds(list(own["group"]), stratify_by(own), fold.of)
    sides = {row: side.get(part, "train") for row, part in zip(own.index, dealt, strict=True)}
    return [sides.get(row, "") for row in table.index]


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
