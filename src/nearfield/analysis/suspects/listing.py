"""A suspect, and lists of suspects or proposed tags to decide in."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.files import write_text
from nearfield.core.text import count
from nearfield.core.types import Floats, Ints, Vectors
from nearfield.data.collection import Collection
from nearfield.data.patches import table_text, text_rows
from nearfield.training.events import Callback, Note, ignore
from nearfield.training.prepare import open_trained_on
from nearfield.training.run import Run
from nearfield.training.setup import TrainingSetup, note_left_out
from nearfield.training.tagging import tag_signals
from nearfield.training.vector_checks import check_vectors, of_table

# One thing in a collection that somebody should listen to.

Kind = Literal[
    "label", "tag_wrong", "tag_missing", "duplicate", "silent", "clipped", "offset", "channel", "swapped"
]


@dataclass(frozen=True)
class Suspect:
    """A clip, what seems wrong with it, how sure that is, why, and what to do."""

    row: int
    """Row of the collection."""
    kind: Kind
    score: float
    """0..1: of labels and tags the estimated chance that they are wrong (`labels.py`); of other kinds larger
    is more suspicious, to be compared within a kind."""
    reason: str
    """A sentence, with the figures that speak against the clip."""
    suggestion: str
    """A sentence: what to do where the ear agrees."""
    proposed: str | None = None
    """The label that would fit better, or the tag that seems wrong or missing."""
    other: int | None = None
    """The other clip, where two are concerned."""
    rank: float = 0.0
    """Of labels and tags, the share of planted errors that are less suspicious: it orders equal scores."""

    def plain(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def ranked(suspects: list[Suspect]) -> list[Suspect]:
    """The most suspicious first, equals in order of row and of what is proposed."""
    return sorted(
        suspects, key=lambda each: (-each.score, -each.rank, each.row, each.kind, each.proposed or "")
    )


def descending(scores: Floats) -> Ints:
    """Positions by falling score, equals in order."""
    return np.asarray(np.argsort(-scores, kind="stable"), dtype=np.int64)


def per_cent(share: float) -> str:
    """A share in words: 0.004 is "under 1 %"."""
    return "under 1 %" if share < 0.01 else "over 99 %" if 0.99 < share < 1 else f"{100 * share:.0f} %"


def beyond(rank: float, what: str) -> str:
    """A sentence on how a suspicion stands among planted ones."""
    return f"It is more suspicious than {per_cent(rank)} of wrong {what} planted here."


# Suspects by the names of their clips, and as a list to decide in.
#
# A suspect stands with the change that it proposes, in the words of a patch table: the list, saved, is such a
# table, in which somebody only has to fill in the decisions.

COLUMNS = (
    "id", "kind", "column", "before", "after", "decision", "reason", "score", "suggestion", "other", "path"
)  # fmt: skip
"""Of the saved list."""
_CHANGE = ("id", "column", "before", "after")


@dataclass(frozen=True)
class Named:
    """A suspect by the name of its clip, with the change that it proposes."""

    id: str
    kind: str
    score: float
    """0..1: of labels and tags the estimated chance that they are wrong; of other kinds larger is more
    suspicious, to be compared within a kind."""
    reason: str
    suggestion: str
    proposed: str | None
    """The label that would fit better, or the tag that seems wrong or missing."""
    other: str | None
    """Id of the other clip, where two are concerned."""
    path: str
    column: Literal["label", "tags", "use"]
    """What is changed where the suspicion is right; then what stands there, and what should."""
    before: str
    after: str

    def plain(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class Suspected:
    """What was found in a collection."""

    name: str
    """Of the collection."""
    clips: int
    suspects: tuple[Named, ...]
    """The most suspicious first."""
    left_out: int = 0
    """How many more there are than were asked for."""

    @property
    def count(self) -> int:
        """How many there are, listed here or not."""
        return len(self.suspects) + self.left_out

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        listed = [each.plain() for each in self.suspects]
        return {"data": self.name, "clips": self.clips, "count": self.count, "suspects": listed}

    def save(self, path: Path, accept: float | None = None) -> int:
        """Writes the list as a patch table without decisions, whole or not at all; with `accept`, labels and
        tags of at least this score are accepted unheard. How many were.

        Where `path` is such a list already, what was decided there stays, and is not listed again. Raises
        RequestError where it is something else.
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
    """Suspects of a collection by the names of its clips, and how many more there are."""
    table = collection.table
    ids, paths, labels = list(table["id"]), list(table["path"]), list(table["label"])
    found = tuple(_named(each, ids, paths, labels) for each in suspects)
    return Suspected(collection.name, len(collection), found, left_out)


def _decided(path: Path) -> list[dict[str, str]]:
    """The rows of an earlier list that somebody decided on."""
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames is not None and tuple(reader.fieldnames) == COLUMNS:
                return [row for row in text_rows(reader) if row["decision"]]
    except (OSError, UnicodeDecodeError, csv.Error):
        pass
    raise RequestError(f"{path} is there and is no list of suspects, so it stays. Choose another --out.")


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


# Tags that a run proposes for the clips of a collection, as a list to decide in.


def propose_tags(
    run: Run, data: str, at_least: float = 0.5, untagged: bool = False, callback: Callback = ignore
) -> Suspected:
    """Tags with a score of `at_least` (0..1) that the clips of `data` do not have, the highest score first.

    `untagged`: only clips without any tag are looked at. Saved, the list is a patch table: an accepted row
    adds its tag to its clip. Raises RequestError where the run knows no tags or no clip is left to look at,
    and as `check_vectors` where the vectors are worthless.
    """
    told = run.folder.environment()["data"]
    collection = open_trained_on(data, told["path"], run.recipe, True, callback)
    note_left_out(collection.problems, callback)
    if untagged:
        rows = np.array([row for row, tags in enumerate(collection.table["tags"]) if not tags], np.int64)
        if not len(rows):
            raise RequestError(
                f"--untagged: all {count(len(collection), 'clip')} of {collection.name} have tags. "
                "Leave --untagged out to have further tags proposed."
            )
        collection = collection.subset(rows)
    setup = TrainingSetup.build(run.recipe, collection, 0, callback, run.embedder)
    collection = setup.collection
    heard = of_table(collection.table, run.recipe.data, run.recipe.modality == "image")

    def look(vectors: Vectors) -> None:
        for said in (*run.doubts(), *check_vectors(vectors, list(collection.table["id"]), heard)):
            callback(Note(said, is_warning=True))

    names, scores = tag_signals(run, setup.network_input, setup.metadata.seconds, look, callback)
    proposed = [
        _proposal(row, names[column], float(scores[row, column]))
        for row, column in np.argwhere(scores >= at_least).tolist()
        if names[column] not in collection.table["tags"].iloc[row]
    ]
    return named(sorted(proposed, key=lambda each: -each.score), collection)


def _proposal(row: int, tag: str, score: float) -> Suspect:
    reason = f"The run gives the tag {tag!r} a score of {score:.2f}."
    return Suspect(row, "tag_missing", score, reason, f"Add {tag!r}?", tag)
