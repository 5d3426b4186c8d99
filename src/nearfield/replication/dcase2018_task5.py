"""DCASE 2018 task 5: domestic activities recorded by several nodes of four microphones, with its folds."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd
from pydantic import Field, field_validator

from nearfield.core.errors import DataError
from nearfield.data.faults import Problem
from nearfield.data.layouts.base import BaseLayout, audio_root
from nearfield.data.listing import Listing
from nearfield.data.splits import carve_val
from nearfield.replication.published_tables import NEARLY_ALL, difference, present_files, tab_lines

# The folds of DCASE 2018 task 5. No session is in train and test of one fold.

SETUP = "evaluation_setup"
EVALUATION_LISTS = ("evaluate.txt", "evaluation.txt")
_TRAIN = re.compile(r"fold(\d+)_train\.txt")


@dataclass(frozen=True)
class PublishedFold:
    """The paths in train and test of one fold."""

    train: frozenset[str]
    test: frozenset[str]

    def split(self, clip: str) -> str:
        """Returns train, test, or "" for a clip that is not in the fold."""
        return "train" if clip in self.train else "test" if clip in self.test else ""


def fold_numbers(path: Path) -> list[int]:
    """Returns the numbers of the folds in a folder, ascending."""
    return sorted(int(name[1]) for name in map(_TRAIN.fullmatch, _file_names(path / SETUP)) if name)


def read_folds(path: Path, wanted: int) -> dict[int, PublishedFold]:
    """Reads all folds by number. Raises DataError if the fold `wanted` is missing."""
    found = fold_numbers(path)
    if not found and evaluation_list(path):
        raise DataError(
            f"{path}: this is the evaluation set, which has no folds; all of its clips are test. "
            f"Give dcase2018_task5:{path}?part=evaluation."
        )
    if wanted not in found:
        listed = ", ".join(map(str, found)) or "none"
        choices = f"?fold={found[0]} or " if found else ""
        raise DataError(
            f"{path}: there is no {SETUP}/fold{wanted}_train.txt in it. Folds found: {listed}. "
            f"Give {choices}?fold=none to make a split."
        )
    return {number: _fold(path / SETUP, number) for number in found}


def evaluation_list(path: Path) -> Path | None:
    """Returns the list of the evaluation set of the challenge, or None."""
    lists = [path / SETUP / name for name in EVALUATION_LISTS]
    return next((each for each in lists if each.is_file()), None)


def listed_in_folds(path: Path) -> list[list[str]]:
    """Returns path, label and session of every clip that the folds list with a label, sorted by path."""
    found: dict[str, list[str]] = {}
    for number in fold_numbers(path):
        for name in ("train", "evaluate"):
            file = path / SETUP / f"fold{number}_{name}.txt"
            if file.is_file():
                found |= {cells[0]: cells for _, cells in tab_lines(file, 3) if cells[1]}
    return [found[clip] for clip in sorted(found)]


def _file_names(folder: Path) -> list[str]:
    return [item.name for item in folder.iterdir()] if folder.is_dir() else []


def _fold(setup: Path, number: int) -> PublishedFold:
    """Reads a fold; `fold1_evaluate.txt` has path, label and session, `fold1_test.txt` only paths."""
    train = frozenset(cells[0] for _, cells in tab_lines(setup / f"fold{number}_train.txt", 3))
    lists = [setup / f"fold{number}_{name}.txt" for name in ("evaluate", "test")]
    there = [path for path in lists if path.is_file()]
    if not there:
        raise DataError(
            f"{setup}: there is neither {lists[0].name} nor {lists[1].name} in it. Copy the folds again."
        )
    return PublishedFold(train, frozenset(cells[0] for path in there for _, cells in tab_lines(path, 3)))


def check_folds(path: Path, folds: Mapping[int, PublishedFold], sessions: Mapping[str, str]) -> None:
    """Raises DataError if a session is in train and test of one fold, or in test of two folds."""
    tested: dict[str, int] = {}
    for number, fold in folds.items():
        train, test = _counts(fold.train, sessions), _counts(fold.test, sessions)
        for session in sorted(train.keys() & test.keys()):
            raise DataError(
                f"{path}: session {session!r} is in train and test of fold {number} ({train[session]} clips "
                f"train, {test[session]} test), so test is not independent. "
                "Copy the published folds again, or give ?fold=none."
            )
        for session in sorted(tested.keys() & test.keys()):
            raise DataError(
                f"{path}: session {session!r} is in test of fold {tested[session]} and of fold {number}. "
                "Copy the published folds again, or give ?fold=none."
            )
        tested |= dict.fromkeys(test, number)


def _counts(clips: frozenset[str], sessions: Mapping[str, str]) -> dict[str, int]:
    """Returns the number of clips of each known session."""
    found: dict[str, int] = defaultdict(int)
    for clip in clips:
        if sessions.get(clip):
            found[sessions[clip]] += 1
    return found


# The layout of DCASE 2018 task 5.
#
# G. Dekkers et al., "The SINS database for detection of daily activities in a home environment using an
# acoustic sensor network", DCASE 2017; development set https://zenodo.org/record/1247102, evaluation set
# https://zenodo.org/record/1964758.

SEGMENT_SECONDS = 10.0
"""Length of every clip in seconds."""
KNOWN_NODES = ("1", "2", "3", "4")
"""Nodes of the development set."""

CLIPS = {
    "absence": 18_860,
    "cooking": 5_124,
    "dishwashing": 1_424,
    "eating": 2_308,
    "other": 2_060,
    "social_activity": 4_944,
    "vacuum_cleaner": 972,
    "watching_tv": 18_648,
    "working": 18_644,
}
"""Published number of clips of each class in the development set, 72,984 in total."""
SESSIONS = {
    "absence": 42,
    "cooking": 13,
    "dishwashing": 10,
    "eating": 13,
    "other": 118,
    "social_activity": 21,
    "vacuum_cleaner": 9,
    "watching_tv": 9,
    "working": 33,
}
"""Published number of sessions of each class, 268 in total."""

_NAME = re.compile(r"(?:[A-Za-z]*)Node(?P<node>\d+)_ex(?P<session>\d+)_(?P<segment>\d+)")


class Dcase2018Task5(BaseLayout):
    """Reads `meta.txt` (path, label, session; separated by tabs, without header) and the official folds.

    A fold determines train and test; val is about a quarter of train in whole sessions, stratified by class
    and always the same. A session is a group; the part of a session recorded by one node is a recording. Its
    segments are numbered (`DevNode1_ex9_12.wav`), so the clips of all nodes share one clock."""

    kind: Literal["dcase2018_task5"] = "dcase2018_task5"
    fold: int | None = Field(1, ge=1, le=4)
    """Number of the official fold, 1 to 4; none: no fold, and a split by sessions is made."""
    part: Literal["development", "evaluation"] = "development"
    """development, or evaluation: the test clips of the challenge, with a column `known_node` (yes for nodes
    1 to 4,
    no for others)."""
    audio: Path | None = None
    """Folder of the sounds; none: the folder of the set."""

    @field_validator("fold", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return None if value == "none" else value

    has_folds: ClassVar[bool] = True

    @classmethod
    def folds(cls, path: Path) -> dict[int, dict[str, str]]:
        """Returns the official folds in a folder, with the options that select each."""
        return {number: {"fold": str(number)} for number in fold_numbers(path)}

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Returns whether the folder contains `evaluation_setup`, and `meta.txt` or folds."""
        has_setup = (path / SETUP).is_dir()
        return has_setup and ((path / "meta.txt").is_file() or bool(fold_numbers(path)))

    @classmethod
    def options_for(cls, path: Path) -> str:
        """Returns `?part=evaluation` for the folder of the evaluation set, else ""."""
        return "?part=evaluation" if not fold_numbers(path) and evaluation_list(path) else ""

    def read(self, path: Path) -> Listing:
        """Reads one row per clip. Raises DataError if a table or fold is missing, or a session is in two
        folds."""
        base = audio_root(path, self.audio, self.kind)
        if self.part == "evaluation":
            table, lines, source = _table(_evaluation_list(path))
            names = _names(path / SETUP / "map.txt")
            table = _with_nodes(table, [names.get(clip, clip) for clip in table["path"]])
            known = {"": "", **dict.fromkeys(KNOWN_NODES, "yes")}
            table["known_node"] = [known.get(node, "no") for node in table["node"]]
            table["split"] = "test"
            return _listing(table, base, lines, source, (), "the challenge: its whole evaluation set is test")
        table, lines, source = _development(path)
        table = _with_nodes(table, list(table["path"]))
        problems = _differences(table, source)
        if self.fold is None:
            return _listing(table, base, lines, source, problems, "")
        folds = read_folds(path, self.fold)
        check_folds(path, folds, dict(zip(table["path"], table["session"], strict=True)))
        fold = folds[self.fold]
        table["split"] = _splits(table, fold)
        problems += _unknown_clips(fold, set(table["path"]), source)
        split_from = f"fold {self.fold} of DCASE 2018 task 5; val is sessions held out from its train part"
        return _listing(table, base, lines, source, problems, split_from)


def _table(path: Path) -> tuple[pd.DataFrame, tuple[int | None, ...], str]:
    """Returns the table of path, label and session, the line of each row, and the name of the list."""
    rows = list(tab_lines(path, 3))
    if not rows:
        raise DataError(f"{path}: there are no rows in it. Copy it again.")
    table = pd.DataFrame([cells for _, cells in rows], columns=["path", "label", "session"], dtype=object)
    return table.assign(group=table["session"]), tuple(number for number, _ in rows), path.name


def _development(path: Path) -> tuple[pd.DataFrame, tuple[int | None, ...], str]:
    """Returns the rows of `meta.txt` or, if it is missing, of the folds, which contain the same."""
    rows = [] if (path / "meta.txt").is_file() else listed_in_folds(path)
    if not rows:
        return _table(path / "meta.txt")
    table = pd.DataFrame(rows, columns=["path", "label", "session"], dtype=object)
    return table.assign(group=table["session"]), (None,) * len(rows), SETUP


def _evaluation_list(path: Path) -> Path:
    found = evaluation_list(path)
    if found is None:
        raise DataError(
            f"{path}: there is no {SETUP}/{EVALUATION_LISTS[0]} in it. Give the folder of the evaluation "
            "set, or leave out part=evaluation."
        )
    return found


def _names(path: Path) -> dict[str, str]:
    """Returns the names of files of the evaluation set (`1.wav`) in the style of the development set, by
    path."""
    if not path.is_file():
        return {}
    pairs = [cells for _, cells in tab_lines(path, 2)]
    return {one: other for one, other in (*pairs, *(pair[::-1] for pair in pairs)) if _match(other)}


def _match(name: str) -> re.Match[str] | None:
    return _NAME.fullmatch(Path(name).stem)


def _with_nodes(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Adds node, recording (a session at one node) and start time in seconds, as given by the names of
    files."""
    matches = [_match(name) for name in names]
    return table.assign(
        node=[match["node"] if match else "" for match in matches],
        recording=[f"node{match['node']}_ex{match['session']}" if match else "" for match in matches],
        start_time=[SEGMENT_SECONDS * int(match["segment"]) if match else math.nan for match in matches],
    )


def _listing(
    table: pd.DataFrame,
    base: Path,
    lines: tuple[int | None, ...],
    source: str,
    problems: tuple[Problem, ...],
    split_from: str,
) -> Listing:
    start_times = tuple(None if math.isnan(start) else float(start) for start in table.pop("start_time"))
    return Listing(
        table.assign(path=present_files(list(table["path"]), base)),
        base,
        lines,
        source,
        problems,
        "sound",
        start_times,
        SEGMENT_SECONDS,
        split_from=split_from,
    )


def _splits(table: pd.DataFrame, fold: PublishedFold) -> list[str]:
    splits = [fold.split(clip) for clip in table["path"]]
    marks = [(label,) for label in table["label"]]
    return carve_val(splits, list(table["session"]), marks, seed=0)


def _unknown_clips(fold: PublishedFold, known: set[str], source: str) -> tuple[Problem, ...]:
    """Returns a warning about clips of a fold that are not in the table of all clips."""
    unknown = sorted((fold.train | fold.test) - known)
    if not unknown:
        return ()
    reason = f"the fold lists clips that are not in {source} ({len(unknown)}, the first is {unknown[0]})."
    return (Problem("unknown_clips", source, None, reason, "Copy the tables again.", "warning"),)


def _differences(table: pd.DataFrame, source: str) -> tuple[Problem, ...]:
    """Returns warnings if an apparently complete set does not have the published numbers of clips and
    sessions."""
    if len(table) < NEARLY_ALL * sum(CLIPS.values()):
        return ()
    clips = Counter(table["label"])
    sessions = Counter(label for label, _ in set(zip(table["label"], table["session"], strict=True)))
    found: tuple[Problem, ...] = ()
    for label in sorted({*CLIPS, *clips}):
        found += difference(source, f"clips of {label!r}", clips[label], CLIPS.get(label, 0))
        found += difference(source, f"sessions of {label!r}", sessions[label], SESSIONS.get(label, 0))
    return found
