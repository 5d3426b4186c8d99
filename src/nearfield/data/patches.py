"""Patch tables: corrections of single clips, applied when a collection is opened."""

import csv
import io
import re
from collections.abc import Collection as Several
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast
from urllib.parse import quote, unquote

import pandas as pd

from nearfield.core.errors import DataError, choose
from nearfield.data.faults import Problem
from nearfield.data.tables import cell_text, read_table, separator

# A patch table is CSV with the columns id, column, before, after, decision; further columns are notes. An
# accepted row replaces `before` by `after` in `column` of the clip `id`. Source files are not changed.
#
# - label: another label; an empty `after` removes it.
# - tags: replaces one tag; an empty `before` adds `after`, an empty `after` removes `before`.
# - use: `no` leaves the clip out, `yes` keeps it.
#
# The last decision about the same clip, column and `before` counts (for an added tag, the same `after`), so a
# later `rejected` revokes `accepted`. Rows without a decision are pending. Decisions are applied in the order
# of the table, each to the result of those above it.

Column = Literal["label", "tags", "use"]

NEEDED = ("id", "column", "before", "after", "decision")
"""Required columns of a patch table."""
NOT_APPLIED = ("unknown_clip", "stale_decision")
"""Kinds of problems of accepted rows that could not be applied."""
_COLUMNS, _DECISIONS, _USE = ("label", "tags", "use"), ("accepted", "rejected", ""), ("yes", "no")
_OPTION = "patch="
_FORMULA = re.compile(
    r"'*[=+\-@\t\r]"
)  # cells that a spreadsheet treats as formulas, or that are escaped already


class Decision(NamedTuple):
    """A row of the table with a decision."""

    id: str
    """As in the table, since names may begin with a blank; without such a clip, blanks are stripped."""
    column: Column
    before: str
    after: str
    accepted: bool
    line: int | None
    """Line of the table, where the header is line 1."""

    @property
    def change(self) -> str:
        """Description of the change of the clip."""
        if self.column == "use":
            return "left out" if self.after == "no" else "kept"
        what = "label" if self.column == "label" else "tag"
        if not self.before or not self.after:
            return f"{what} {self.after or self.before!r} {'added' if self.after else 'taken away'}"
        return f"{what} {self.before!r} becomes {self.after!r}"

    def clip(self, known: Container[str]) -> str:
        """Returns the id of its clip among the `known` ids: as written, or stripped."""
        return self.id if self.id in known else self.id.strip()

    def about(self, known: Container[str]) -> tuple[str, ...]:
        """Returns what is decided on; a later decision about the same replaces an earlier one."""
        if self.column == "use":
            return self.clip(known), "use"
        added = self.after if self.column == "tags" and not self.before else ""
        return self.clip(known), self.column, self.before, added


@dataclass(frozen=True)
class Patch:
    """The decisions of a table."""

    name: str
    """Name of the file, for messages."""
    decided: tuple[Decision, ...]
    """Accepted and rejected decisions, in the order of the table."""

    @classmethod
    def read(cls, path: str | Path) -> "Patch":
        """Reads a patch table. Raises DataError if there is none, a column is missing, or a word is
        unknown."""
        file = Path(path).expanduser()
        if not file.is_file():
            raise DataError(
                f"{path}: there is no such patch table. Bring it back, correct the path, or leave it out "
                "(data.patch: null)."
            )
        return cls(file.name, tuple(row for row, is_decided in every_row(file) if is_decided))

    def accepted(self, known: Container[str] = ()) -> list[Decision]:
        """Returns the accepted decisions that were not revoked; `known` are the ids of the clips."""
        last = {row.about(known): place for place, row in enumerate(self.decided)}
        return [self.decided[place] for place in sorted(last.values()) if self.decided[place].accepted]

    def apply(
        self, table: pd.DataFrame, splits: Several[str] = ("train", "val", "test")
    ) -> tuple[pd.DataFrame, tuple[Problem, ...]]:
        """Applies the accepted decisions to a table of clips.

        Parameters
        ----------
        table
            The table of clips, which is not changed.
        splits
            Splits to patch; clips without a split are patched, too.

        Returns
        -------
        table : DataFrame
            The patched table.
        problems : tuple of Problem
            Clips that were left out, and decisions that could not be applied.
        """
        place = {clip: row for row, clip in enumerate(table["id"])}
        split, labels = list(table["split"]), list(table["label"])
        tags = [tuple(each) for each in table["tags"]]
        out: dict[int, Problem] = {}
        problems: list[Problem] = []
        for decision in self.accepted(place):
            row = place.get(decision.clip(place))
            if row is None:
                problems.append(self._unknown(decision))
            elif split[row] and split[row] not in splits:
                continue
            elif decision.column == "use":
                out |= {row: self._left_out(decision, place)} if decision.after == "no" else {}
            elif decision.column == "label":
                if labels[row] in (decision.before, decision.after):
                    labels[row] = decision.after
                else:
                    problems.append(self._stale(decision, f"its label is {labels[row]!r}"))
            elif (changed := _retagged(tags[row], decision.before, decision.after)) is not None:
                tags[row] = changed
            else:
                problems.append(self._stale(decision, f"its tags are {'|'.join(tags[row])!r}"))
        mended = table.assign(label=labels, tags=pd.Series(tags, index=table.index, dtype=object))
        kept = [row for row in range(len(table)) if row not in out]
        return mended.iloc[kept].reset_index(drop=True), (*problems, *out.values())

    def _unknown(self, decision: Decision) -> Problem:
        reason = f"there is no clip {decision.id!r}."
        cure = "Correct the id; if the clip is gone, the row may go too."
        return Problem("unknown_clip", self.name, decision.line, reason, cure, "warning")

    def _stale(self, decision: Decision, found: str) -> Problem:
        reason = f"{decision.id}: {found}, and the decision was made on {decision.before!r}."
        return Problem("stale_decision", self.name, decision.line, reason, "Decide again.", "warning")

    def _left_out(self, decision: Decision, known: Container[str]) -> Problem:
        place = self.name if decision.line is None else f"{self.name}, row {decision.line},"
        cure = "To have it back, decide on it again, or take the row away."
        return Problem("left_out", decision.clip(known), None, f"{place} leaves it out.", cure)


def table_text(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    """Formats a patch table as CSV with all cells quoted, since cells may contain line feeds.

    A cell that a spreadsheet would treat as a formula gets an apostrophe, which `unmarked` removes.
    """
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "'" + cell if _FORMULA.match(cell) else cell for name, cell in row.items()})
    return out.getvalue()


def text_rows(reader: "csv.DictReader[str]") -> list[dict[str, str]]:
    """Reads the rows that `table_text` wrote, without cells beyond the header."""
    return [{name: unmarked(cell or "") for name, cell in row.items() if name is not None} for row in reader]


def unmarked(cell: str) -> str:
    """Removes the apostrophe that protects a cell from being treated as a formula."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def split_patch(data: str) -> tuple[str, str | None]:
    """Splits `DATA?patch=PATH` into the data, with any other options, and the path of the table."""
    place, question, given = data.partition("?")
    if not question or Path(data).exists():
        return data, None
    options = given.split("&")
    paths = [unquote(option.removeprefix(_OPTION)) for option in options if option.startswith(_OPTION)]
    others = [option for option in options if not option.startswith(_OPTION)]
    return place + ("?" + "&".join(others) if others else ""), paths[-1] if paths else None


def join_patch(data: str, path: str | Path) -> str:
    """Inverts `split_patch`."""
    return f"{data}{'&' if '?' in data else '?'}{_OPTION}{quote(str(path))}"


def _retagged(tags: tuple[str, ...], before: str, after: str) -> tuple[str, ...] | None:
    """The tags with `before` replaced by `after`, without repetitions; None if `before` is missing and the
    change was not made already."""
    if before and before not in tags:
        return tags if not after or after in tags else None
    changed = (after if tag == before else tag for tag in (*tags, *(() if before else ("",))))
    return tuple(dict.fromkeys(filter(None, changed)))


def every_row(file: Path) -> Iterator[tuple[Decision, bool]]:
    """Yields all rows, and whether they have a decision."""
    content = file.read_bytes().strip()
    if not content.count(b"\n"):  # at most a header
        header = content.decode("utf-8-sig", errors="replace")
        if header:
            _check_columns(file, next(csv.reader([header], delimiter=separator(file, header))))
        return
    listing = read_table(file)
    _check_columns(file, map(str, listing.table))
    for cells, line in zip(listing.table[list(NEEDED)].itertuples(index=False), listing.lines, strict=True):
        clip = unmarked(cells[0] if isinstance(cells[0], str) else cell_text(cells[0]))
        column, before, after, decision = (unmarked(cell_text(cell)) for cell in cells[1:])
        place = f"{file}: row {line}"
        _check(column, "column", _COLUMNS, place)
        _check(decision, "decision", _DECISIONS, place)
        if column == "use":
            _check(after, "after", _USE, place)
        row = Decision(clip, cast(Column, column), before, after, decision == "accepted", line)
        yield row, bool(decision)


def _check_columns(file: Path, found: Iterable[str]) -> None:
    names = [name.strip() for name in found]
    for column in NEEDED:
        if column not in names:
            raise DataError(
                f"{file}: there is no column {column!r}; a patch table has {', '.join(NEEDED)}. "
                f"{choose(column, names)}"
            )


def _check(word: str, column: str, allowed: tuple[str, ...], place: str) -> None:
    if word not in allowed:
        known = ", ".join(filter(None, allowed))
        raise DataError(f"{place}: {column} is one of {known}. Given: {word!r}. Correct the row.")


# Summary of a patch table.


class PatchSummary(NamedTuple):
    """Numbers of current decisions, and the accepted changes."""

    accepted: tuple[Decision, ...]
    rejected: int
    undecided: int
    """Number of rows without a decision."""
    not_applied: frozenset[int | None] = frozenset()
    """Lines of accepted rows whose clip is missing or has changed."""

    def plain(self) -> dict[str, Any]:
        """Returns counts and descriptions of the accepted changes as JSON values."""
        changes = [
            {"id": each.id, "change": each.change, "applied": each.line not in self.not_applied}
            for each in self.accepted
        ]
        counts = {"rejected": self.rejected, "undecided": self.undecided}
        not_applied = sum(not each["applied"] for each in changes)
        return {"accepted": len(self.accepted), "not_applied": not_applied, **counts, "changes": changes}

    def lines(self, most: int = 10) -> Iterator[str]:
        """Yields the counts, then at most `most` accepted changes, one per line."""
        stale = [each for each in self.accepted if each.line in self.not_applied]
        without = f" ({len(stale):,} not applied)" if stale else ""
        yield (
            f"{len(self.accepted):,} accepted{without}, {self.rejected:,} rejected, "
            f"{self.undecided:,} undecided"
        )
        # Changes that were not applied come first.
        fresh = [each for each in self.accepted if each.line not in self.not_applied]
        for decision in [*stale, *fresh][:most]:
            instead = ": not applied, see above" if decision.line in self.not_applied else ""
            yield f"{decision.id}: {decision.change}{instead}"
        if len(self.accepted) > most:
            yield f"and {len(self.accepted) - most:,} more"


def tally(path: str | Path, problems: Iterable[Problem] = (), ids: Iterable[str] = ()) -> PatchSummary:
    """Summarizes the patch table at `path`.

    `problems` and `ids` are those of the collection that was opened with it; they show which clips exist and
    which rows were not applied. Raises DataError like `Patch.read`.
    """
    patch, found = Patch.read(path), list(problems)
    known = {*ids, *(each.path for each in found if each.kind == "left_out")}
    lines = (each.row for each in found if each.kind in NOT_APPLIED and each.path == patch.name)
    last: dict[tuple[str, ...], bool | None] = {}
    for row, is_decided in every_row(Path(path).expanduser()):
        about = row.about(known)
        if is_decided or about not in last:
            last[about] = row.accepted if is_decided else None
    standing = list(last.values())
    accepted = tuple(patch.accepted(known))
    return PatchSummary(accepted, standing.count(False), standing.count(None), frozenset(lines))
