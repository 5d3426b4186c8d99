"""Suspects, and lists of suspects or proposed tags in which decisions are entered."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.files import write_text
from nearfield.core.text import count
from nearfield.core.types import Floats, Ints
from nearfield.data.collection import Collection
from nearfield.data.patches import table_text, text_rows
from nearfield.training.encode import embed_setup
from nearfield.training.events import Callback, Note, ignore
from nearfield.training.prepare import open_trained_on
from nearfield.training.run import Run
from nearfield.training.setup import TrainingSetup, note_left_out
from nearfield.training.tagging import tags_of
from nearfield.training.windows import table_clips

Kind = Literal[
    "label", "tag_wrong", "tag_missing", "duplicate", "silent", "clipped", "offset", "channel", "swapped"
]


@dataclass(frozen=True)
class Suspect:
    """A possible fault of a clip, with score, reason and suggestion."""

    row: int
    """Row of the collection."""
    kind: Kind
    score: float
    """0..1; for labels and tags, the estimated probability that they are wrong (`labels.py`); for other
    kinds, larger
    is more suspicious, comparable within a kind."""
    reason: str
    """A sentence with the evidence."""
    suggestion: str
    """A sentence that says what to do if you agree after listening."""
    proposed: str | None = None
    """The label that fits better, or the tag that is likely wrong or missing."""
    other: int | None = None
    """Row of the other clip of a pair."""
    rank: float = 0.0
    """For labels and tags, the fraction of planted errors that are less suspicious; sorts equal scores."""

    def plain(self) -> dict[str, Any]:
        """Returns the fields by name."""
        return asdict(self)


def ranked(suspects: list[Suspect]) -> list[Suspect]:
    """Sorts suspects, the most suspicious first, ties by row and proposed value."""
    return sorted(
        suspects, key=lambda each: (-each.score, -each.rank, each.row, each.kind, each.proposed or "")
    )


def descending(scores: Floats) -> Ints:
    """Returns positions by descending score, ties in order."""
    return np.asarray(np.argsort(-scores, kind="stable"), dtype=np.int64)


def per_cent(share: float) -> str:
    """Formats a fraction in per cent; 0.004 is "under 1 %"."""
    return "under 1 %" if share < 0.01 else "over 99 %" if 0.99 < share < 1 else f"{100 * share:.0f} %"


def beyond(rank: float, what: str) -> str:
    """Returns a sentence that compares a suspicion with planted errors."""
    return f"It is more suspicious than {per_cent(rank)} of planted wrong {what}."


# Suspects with the ids of their clips, and as a list for decisions.
#
# Each suspect has the change that it proposes, in the format of a patch table: the saved list is such a
# table, in which
# only the decisions need to be entered.

COLUMNS = (
    "id", "kind", "column", "before", "after", "decision", "reason", "score", "suggestion", "other", "path"
)  # fmt: skip
"""Columns of the saved list."""
_CHANGE = ("id", "column", "before", "after")


@dataclass(frozen=True)
class Named:
    """A suspect with the id of its clip and the change that it proposes."""

    id: str
    kind: str
    score: float
    """0..1; for labels and tags, the estimated probability that they are wrong; for other kinds, larger is
    more
    suspicious, comparable within a kind."""
    reason: str
    suggestion: str
    proposed: str | None
    """The label that fits better, or the tag that is likely wrong or missing."""
    other: str | None
    """Id of the other clip of a pair."""
    path: str
    column: Literal["label", "tags", "use"]
    """Column of the proposed change."""
    before: str
    """Current value."""
    after: str
    """Proposed value."""

    def plain(self) -> dict[str, Any]:
        """Returns the fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class Suspected:
    """The suspects of a collection."""

    name: str
    """Name of the collection."""
    clips: int
    suspects: tuple[Named, ...]
    """Suspects, the most suspicious first."""
    left_out: int = 0
    """Number of further suspects beyond the limit."""

    @property
    def count(self) -> int:
        """Number of all suspects, with those beyond the limit."""
        return len(self.suspects) + self.left_out

    def plain(self) -> dict[str, Any]:
        """Returns the suspects as JSON-serializable values."""
        listed = [each.plain() for each in self.suspects]
        return {"data": self.name, "clips": self.clips, "count": self.count, "suspects": listed}

    def save(self, path: Path, accept: float | None = None) -> int:
        """Writes the list as a patch table, atomically.

        If `path` is such a list, its decisions are kept, and these changes are not listed again.

        Parameters
        ----------
        path
            The CSV file.
        accept
            Score from which changes of labels and tags are accepted without listening; None: no decisions.

        Returns
        -------
        int
            Number of accepted changes.

        Raises
        ------
        RequestError
            If `path` is another file.
        """
        rows = _decided(path)
        known = {tuple(row[name] for name in _CHANGE) for row in rows}
        count = 0
        for each in self.suspects:
            plain = each.plain()
            if tuple(plain[name] for name in _CHANGE) in known:
                continue
            taken = accept is not None and each.column != "use" and each.score >= accept
            count += taken
            shown = {"score": f"{each.score:.4f}", "decision": "accepted" if taken else ""}
            rows.append({name: str({**plain, **shown}[name] or "") for name in COLUMNS})
        write_text(path, table_text(COLUMNS, rows))
        return count


def named(suspects: Sequence[Suspect], collection: Collection, left_out: int = 0) -> Suspected:
    """Adds ids and proposed changes to suspects; `left_out` is the number of further suspects."""
    table = collection.table
    ids, paths, labels = list(table["id"]), list(table["path"]), list(table["label"])
    found = tuple(_named(each, ids, paths, labels) for each in suspects)
    return Suspected(collection.name, len(collection), found, left_out)


def _decided(path: Path) -> list[dict[str, str]]:
    """Returns the rows with a decision of an earlier list."""
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames is not None and tuple(reader.fieldnames) == COLUMNS:
                return [row for row in text_rows(reader) if row["decision"]]
    except (OSError, UnicodeDecodeError, csv.Error):
        pass
    raise RequestError(f"{path}: this file exists and is not a list of suspects. Give another --out.")


def _named(suspect: Suspect, ids: list[str], paths: list[str], labels: list[str]) -> Named:
    proposed = suspect.proposed or ""
    column, before, after = {
        "label": ("label", labels[suspect.row], proposed),
        "tag_wrong": ("tags", proposed, ""),
        "tag_missing": ("tags", "", proposed),
    }.get(suspect.kind, ("use", "yes", "no"))
    return Named(
        id=ids[suspect.row],
        kind=suspect.kind,
        score=float(suspect.score),
        reason=suspect.reason,
        suggestion=suspect.suggestion,
        proposed=suspect.proposed,
        other=None if suspect.other is None else ids[suspect.other],
        path=paths[suspect.row],
        column=column,  # type: ignore[arg-type]
        before=before,
        after=after,
    )


# Tags that a run proposes for the clips of a collection, as a list for decisions.


def propose_tags(
    run: Run, data: str, at_least: float = 0.5, untagged: bool = False, callback: Callback = ignore
) -> Suspected:
    """Proposes tags for the clips of a collection, the highest score first.

    The saved list is a patch table: each accepted row adds a tag to a clip.

    Parameters
    ----------
    run
        A run with a tagging loss.
    data
        The collection.
    at_least
        Smallest score of a proposed tag, 0..1.
    untagged
        Whether to use only clips without tags.
    callback
        Gets notes and progress.

    Raises
    ------
    RequestError
        If the run has no tags, or no clip remains; also as in `check_vectors`.
    """
    trained_on = run.folder.environment()["data"]
    collection = open_trained_on(data, trained_on["path"], run.recipe, True, callback)
    note_left_out(collection.problems, callback)
    if untagged:
        rows = np.array([row for row, tags in enumerate(collection.table["tags"]) if not tags], np.int64)
        if not len(rows):
            raise RequestError(
                f"--untagged: all {count(len(collection), 'clip')} of {collection.name} have tags. "
                "Leave out --untagged to propose further tags."
            )
        collection = collection.subset(rows)
    setup = TrainingSetup.build(run.recipe, collection, 0, callback, run.embedder)
    collection = setup.collection
    windows = embed_setup(run.embedder, setup, callback)
    vectors = windows.by_clip(len(collection), run.embedder.settings.normalize)
    clips = table_clips(collection.table, run.recipe.data)
    for sentence in run.check(vectors, clips, list(collection.table["id"])):
        callback(Note(sentence, is_warning=True))
    names, scores = tags_of(run, windows, vectors)
    proposed = [
        _proposal(row, names[column], float(scores[row, column]))
        for row, column in np.argwhere(scores >= at_least).tolist()
        if names[column] not in collection.table["tags"].iloc[row]
    ]
    return named(sorted(proposed, key=lambda each: -each.score), collection)


def _proposal(row: int, tag: str, score: float) -> Suspect:
    reason = f"The run gives the tag {tag!r} a score of {score:.2f}."
    return Suspect(row, "tag_missing", score, reason, f"Add {tag!r}?", tag)
