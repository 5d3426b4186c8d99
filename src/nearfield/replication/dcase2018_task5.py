"""DCASE 2018 task 5: domestic activities, several nodes of four microphones, with its folds."""

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

# The folds of DCASE 2018 task 5: which clips train and which judge; no session may do both.

SETUP = "evaluation_setup"
EVALUATION_LISTS = ("evaluate.txt", "evaluation.txt")
_TRAIN = re.compile(r"fold(\d+)_train\.txt")


@dataclass(frozen=True)
class PublishedFold:
    """The paths on each side of one fold."""

    train: frozenset[str]
    test: frozenset[str]

    def split(self, clip: str) -> str:
        """train, test, or "" for a clip that the fold does not name."""
        return "train" if clip in self.train else "test" if clip in self.test else ""


def fold_numbers(path: Path) -> list[int]:
    """The folds that are there, ascending."""
    return sorted(int(name[1]) for name in map(_TRAIN.fullmatch, _file_names(path / SETUP)) if name)


def read_folds(path: Path, wanted: int) -> dict[int, PublishedFold]:
    """Every fold that is there, by number. Raises DataError where the one that is wanted is not."""
    found = fold_numbers(path)
    if not found and evaluation_list(path):
        raise DataError(
            f"{path}: this is the evaluation set: it has no folds, and all of its clips are test. "
            f"Give dcase2018_task5:{path}?part=evaluation."
        )
    if wanted not in found:
        listed = ", ".join(map(str, found)) or "none"
        choices = f"?fold={found[0]} or " if found else ""
        raise DataError(
            f"{path}: there is no {SETUP}/fold{wanted}_train.txt in it. Folds found: {listed}. "
            f"Give {choices}?fold=none to have a split made."
        )
    return {number: _fold(path / SETUP, number) for number in found}


def evaluation_list(path: Path) -> Path | None:
    """The list of the challenge's own test clips, or None."""
    lists = [path / SETUP / name for name in EVALUATION_LISTS]
    return next((each for each in lists if each.is_file()), None)


def listed_in_folds(path: Path) -> list[list[str]]:
    """Path, label and session of every clip that the folds list with its label, in the order of paths."""
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
    """`fold1_evaluate.txt` names path, label and session of the clips that `fold1_test.txt` names alone."""
    train = frozenset(cells[0] for _, cells in tab_lines(setup / f"fold{number}_train.txt", 3))
    lists = [setup / f"fold{number}_{name}.txt" for name in ("evaluate", "test")]
    there = [path for path in lists if path.is_file()]
    if not there:
        raise DataError(
            f"{setup}: there is neither {lists[0].name} nor {lists[1].name} in it. Copy the folds again."
        )
    return PublishedFold(train, frozenset(cells[0] for path in there for _, cells in tab_lines(path, 3)))


def check_folds(path: Path, folds: Mapping[int, PublishedFold], sessions: Mapping[str, str]) -> None:
    """Raises DataError where a session trains and judges in one fold, or judges in two."""
    judged: dict[str, int] = {}
    for number, fold in folds.items():
        train, test = _counts(fold.train, sessions), _counts(fold.test, sessions)
        for session in sorted(train.keys() & test.keys()):
            raise DataError(
                f"{path}: session {session!r} is on both sides of fold {number} ({train[session]} clips "
                f"train, {test[session]} test); a test would ask for what training heard. "
                "Copy the published folds again, or give ?fold=none."
            )
        for session in sorted(judged.keys() & test.keys()):
            raise DataError(
                f"{path}: session {session!r} is judged in fold {judged[session]} and in fold {number}. "
                "Copy the published folds again, or give ?fold=none."
            )
        judged |= dict.fromkeys(test, number)


def _counts(clips: frozenset[str], sessions: Mapping[str, str]) -> dict[str, int]:
    """Clips of each session that is known."""
    found: dict[str, int] = defaultdict(int)
    for clip in clips:
        if sessions.get(clip):
            found[sessions[clip]] += 1
    return found


# DCASE 2018 task 5, domestic activities heard by several nodes of four microphones, as published.
#
# G. Dekkers et al., "The SINS database for detection of daily activities in a home environment using an
# acoustic sensor network", DCASE 2017; development set https://zenodo.org/record/1247102, evaluation set
# https://zenodo.org/record/1964758.

SEGMENT_SECONDS = 10.0
"""Length of every clip."""
KNOWN_NODES = ("1", "2", "3", "4")
"""Nodes that the development set was recorded with."""

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
"""Published clips of each class of the development set, 72,984 in all."""
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
"""Published sessions of each class, 268 in all."""

_NAME = re.compile(r"(?:[A-Za-z]*)Node(?P<node>\d+)_ex(?P<session>\d+)_(?P<segment>\d+)")


class Dcase2018Task5(BaseLayout):
    """`meta.txt` (path, label, session; tabs between, no header) and the official folds.

    A fold gives train and test; val is about a quarter of train, in whole sessions, classes shared out
    evenly, the same sessions every time. A session is a group, and what one node hears of it a recording:
    the segments of `DevNode1_ex9_12.wav` follow one another, so clips of all nodes stand on one clock.
    """

    kind: Literal["dcase2018_task5"] = "dcase2018_task5"
    fold: int | None = Field(1, ge=1, le=4)
    """Official fold whose test part judges, 1 to 4; `none`: no fold, a split by sessions is made."""
    part: Literal["development", "evaluation"] = "development"
    """`evaluation`: the challenge's own test clips, with `known_node` yes for nodes 1 to 4, no for others."""
    audio: Path | None = None
    """Folder that the paths count from, where it is not the set's own."""

    @field_validator("fold", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return None if value == "none" else value

    has_folds: ClassVar[bool] = True

    @classmethod
    def folds(cls, path: Path) -> dict[int, dict[str, str]]:
        """The official folds that are there, and the options that choose each."""
        return {number: {"fold": str(number)} for number in fold_numbers(path)}

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """A folder with `evaluation_setup`, and `meta.txt` beside it or folds in it."""
        has_setup = (path / SETUP).is_dir()
        return has_setup and ((path / "meta.txt").is_file() or bool(fold_numbers(path)))

    @classmethod
    def options_for(cls, path: Path) -> str:
        """`?part=evaluation` for the folder of the evaluation set."""
        return "?part=evaluation" if not fold_numbers(path) and evaluation_list(path) else ""

    def read(self, path: Path) -> Listing:
        """One row a clip. Raises DataError where a table or fold is missing, or a session crosses folds."""
        base = audio_root(path, self.audio, self.kind)
        if self.part == "evaluation":
            table, lines, source = _table(_evaluation_list(path))
            names = _names(path / SETUP / "map.txt")
            table = _with_nodes(table, [names.get(clip, clip) for clip in table["path"]])
            known = {"": "", **dict.fromkeys(KNOWN_NODES, "yes")}
            table["known_node"] = [known.get(node, "no") for node in table["node"]]
            table["split"] = "test"
            return _listing(
                table, base, lines, source, (), "the challenge: all of its evaluation set is test"
            )
        table, lines, source = _development(path)
        table = _with_nodes(table, list(table["path"]))
        problems = _differences(table, source)
        if self.fold is None:
            return _listing(table, base, lines, source, problems, "")
        folds = read_folds(path, self.fold)
        check_folds(path, folds, dict(zip(table["path"], table["session"], strict=True)))
        fold = folds[self.fold]
        table["split"] = _sides(table, fold)
        problems += _strangers(fold, set(table["path"]), source)
        said = f"fold {self.fold} of DCASE 2018 task 5; val is sessions held out of its train part"
        return _listing(table, base, lines, source, problems, said)


def _table(path: Path) -> tuple[pd.DataFrame, tuple[int | None, ...], str]:
    """Path, label and session, as listed; the line of each; the name of the list."""
    rows = list(tab_lines(path, 3))
    if not rows:
        raise DataError(f"{path}: there are no rows in it. Copy it again.")
    table = pd.DataFrame([cells for _, cells in rows], columns=["path", "label", "session"], dtype=object)
    return table.assign(group=table["session"]), tuple(number for number, _ in rows), path.name


def _development(path: Path) -> tuple[pd.DataFrame, tuple[int | None, ...], str]:
    """The rows of `meta.txt`, or, where that is missing, of the folds, which say the same."""
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
    """What `1.wav` of the evaluation set would be called in the manner of the development set, by path."""
    if not path.is_file():
        return {}
    pairs = [cells for _, cells in tab_lines(path, 2)]
    return {one: other for one, other in (*pairs, *(pair[::-1] for pair in pairs)) if _match(other)}


def _match(name: str) -> re.Match[str] | None:
    return _NAME.fullmatch(Path(name).stem)


def _with_nodes(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Node, recording (what a node hears of a session) and moment in seconds, from names that say them."""
    matches = [_match(name) for name in names]
    return table.assign(
        node=[match["node"] if match else "" for match in matches],
        recording=[f"node{match['node']}_ex{match['session']}" if match else "" for match in matches],
        moment=[SEGMENT_SECONDS * int(match["segment"]) if match else math.nan for match in matches],
    )


def _listing(
    table: pd.DataFrame,
    base: Path,
    lines: tuple[int | None, ...],
    source: str,
    problems: tuple[Problem, ...],
    split_from: str,
) -> Listing:
    start_times = tuple(None if math.isnan(moment) else float(moment) for moment in table.pop("moment"))
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


def _sides(table: pd.DataFrame, fold: PublishedFold) -> list[str]:
    splits = [fold.split(clip) for clip in table["path"]]
    marks = [(label,) for label in table["label"]]
    return carve_val(splits, list(table["session"]), marks, seed=0)


def _strangers(fold: PublishedFold, known: set[str], source: str) -> tuple[Problem, ...]:
    """Clips of a fold that the table of all clips does not have."""
    unknown = sorted((fold.train | fold.test) - known)
    if not unknown:
        return ()
    reason = f"the fold lists clips that are not in {source} ({len(unknown)}, the first being {unknown[0]})."
    return (Problem("unknown_clips", source, None, reason, "Copy the tables again.", "warning"),)


def _differences(table: pd.DataFrame, source: str) -> tuple[Problem, ...]:
    """Where a set that looks whole does not have the published number of clips and sessions of a class."""
    if len(table) < NEARLY_ALL * sum(CLIPS.values()):
        return ()
    clips = Counter(table["label"])
    sessions = Counter(label for label, _ in set(zip(table["label"], table["session"], strict=True)))
    found: tuple[Problem, ...] = ()
    for label in sorted({*CLIPS, *clips}):
        found += difference(source, f"clips of {label!r}", clips[label], CLIPS.get(label, 0))
        found += difference(source, f"sessions of {label!r}", sessions[label], SESSIONS.get(label, 0))
    return found
