"""The folds of DCASE 2018 task 5: which clips train and which judge; no session may do both."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nearfield.core.errors import DataError
from nearfield.data.layouts.published import tab_lines

SETUP = "evaluation_setup"
EVALUATION_LISTS = ("evaluate.txt", "evaluation.txt")
_TRAIN = re.compile(r"fold(\d+)_train\.txt")


@dataclass(frozen=True)
class Fold:
    """The paths on each side of one fold."""

    train: frozenset[str]
    test: frozenset[str]

    def side(self, clip: str) -> str:
        """train, test, or "" for a clip that the fold does not name."""
        return "train" if clip in self.train else "test" if clip in self.test else ""


def fold_numbers(path: Path) -> list[int]:
    """The folds that are there, ascending."""
    return sorted(int(name[1]) for name in map(_TRAIN.fullmatch, _names(path / SETUP)) if name)


def read_folds(path: Path, wanted: int) -> dict[int, Fold]:
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


def _names(folder: Path) -> list[str]:
    return [item.name for item in folder.iterdir()] if folder.is_dir() else []


def _fold(setup: Path, number: int) -> Fold:
    """`fold1_evaluate.txt` names path, label and session of the clips that `fold1_test.txt` names alone."""
    train = frozenset(cells[0] for _, cells in tab_lines(setup / f"fold{number}_train.txt", 3))
    lists = [setup / f"fold{number}_{name}.txt" for name in ("evaluate", "test")]
    there = [path for path in lists if path.is_file()]
    if not there:
        raise DataError(
            f"{setup}: there is neither {lists[0].name} nor {lists[1].name} in it. Copy the folds again."
        )
    return Fold(train, frozenset(cells[0] for path in there for _, cells in tab_lines(path, 3)))


def check_folds(path: Path, folds: Mapping[int, Fold], sessions: Mapping[str, str]) -> None:
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
