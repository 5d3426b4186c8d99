"""Suspects by the names of their clips, and as a list to decide in.

A suspect stands with the change that it proposes, in the words of a patch table: the list, saved, is such a
table, in which somebody only has to fill in the decisions.
"""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from nearfield.core.errors import RequestError
from nearfield.core.files import write_text
from nearfield.data.collection import Collection
from nearfield.data.patches import table_text, text_rows
from nearfield.evaluation.suspects.suspect import Suspect

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
