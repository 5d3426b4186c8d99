"""What making and updating a space are refused for: a space there, other data or windows, lost clips."""

import re
import shlex
from pathlib import Path

import pyarrow as pa

from nearfield.core.errors import DataError, RequestError
from nearfield.data.collection import Collection
from nearfield.data.patches import split_patch
from nearfield.runs.events import Note, Watcher
from nearfield.runs.launch import absolute, moved, note_own
from nearfield.runs.run import Run
from nearfield.runs.unchanged import note_if_own
from nearfield.space.hearing import Windows
from nearfield.space.spacefile import NAME, SpaceFile
from nearfield.space.state import State
from nearfield.space.vectorfile import NOW, collection_for

_LAYOUT = re.compile(r"^[\w-]+:(?=/)")
"""In front of a path: by which layout it is read."""
LOST = 0.5
"""Share of a space's clips up to which they may vanish unasked."""

_RULES = {"clip": "a vector for each clip", "all": "a vector for each window"}


def check_new(folder: Path) -> None:
    """Raises RequestError where the folder holds a space already."""
    if (folder / NAME).is_file():
        raise RequestError(
            f"{folder} already holds a space. Bring it up to date by --update, or choose another --out."
        )


def check_data(folder: Path, file: SpaceFile, data: str) -> None:
    """Raises RequestError where `data` lie elsewhere than what the space is made of.

    Options behind a ? are of the same place, and a table of decisions too.
    """
    if _places(data) & _places(file.data):
        return
    raise RequestError(
        f"{folder} is made of {file.data}. Given: --data {absolute(data)}: an update would put these clips "
        "in the place of those. Make a space of them by another --out; or, if the data of this space have "
        "moved there, add --data-moved."
    )


def open_trained_data(
    run: Run, data: str | Collection | None, watch: Watcher
) -> tuple[str | Collection, Collection]:
    """The collection of `data`, or, where that is None, of what the run was trained on; and these data.

    Raises as `collection_for`, with the option that helps where the latter has moved.
    """
    if data is not None:
        opened = collection_for(run, data, watch)
        if isinstance(data, str):
            note_own(data, opened, run.folder, NOW, watch)
        return data, opened
    own = str(run.folder.environment()["data"]["path"])
    watch(Note(f"data: {own}, which the run was trained on"))
    with moved(own, "The run was trained on these; if they have moved: --data NEW_PLACE"):
        opened = collection_for(run, own, watch)
    note_if_own(opened, run.folder, NOW, watch)
    return own, opened


def open_data(run: Run, file: SpaceFile, data: str | Collection | None, watch: Watcher) -> Collection:
    """The collection of `data`, or, where that is None, of what the space is made of.

    Raises as `collection_for`, with the option that helps where the latter has moved.
    """
    if data is not None:
        return collection_for(run, data, watch)
    with moved(file.data, "The space is made of these; if they have moved: --data NEW_PLACE --data-moved"):
        return collection_for(run, file.data, watch)


def check_windows(folder: Path, file: SpaceFile, windows: Windows) -> None:
    """Raises RequestError where a space was made by another rule than `windows`."""
    if windows == file.windows:
        return
    again = f"nearfield index {shlex.quote(file.run)} --data {shlex.quote(file.data)} --windows {windows}"
    raise RequestError(
        f"{folder} holds {_RULES[file.windows]} (--windows {file.windows}), and an update keeps to that. "
        f"Given: --windows {windows}. Leave it out, or make a second space: {again} --out NEW_SPACE"
    )


def check_losses(folder: Path, before: State, base: pa.Table, data: str) -> None:
    """Raises DataError where more than `LOST` of the clips are neither named in `base`, the table of what is
    there now, nor have their contents under another name there."""
    old = before.rows.read(["clip", "source"]).to_pandas().drop_duplicates("clip")
    names, contents = (set(base[column].to_pylist()) for column in ("clip", "source"))
    gone = int((~(old["clip"].isin(names) | old["source"].isin(contents))).sum())
    if gone > LOST * len(old):
        raise DataError(
            f"{folder}: {gone:,} of its {len(old):,} clips are no longer in {data}. Nothing was changed. "
            "If a disk is missing, bring it back; to drop these clips: --allow-drop"
        )


def _places(data: str) -> set[str]:
    """Where the data lie, with links followed and not, whatever layout reads them."""
    named = (absolute(split_patch(data)[0], follow).partition("?")[0] for follow in (True, False))
    return {_LAYOUT.sub("", each) for each in named}
