"""The patch table: decisions about single clips, applied when a collection is opened."""

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

# The patch table: decisions about single clips, applied as a collection is opened. No source is changed.
#
# A CSV table with the columns id, column, before, after, decision; further ones are for people. An accepted
# row says: in `column` of the clip `id`, put `after` in the place of `before`.
#
# - label: another label; an empty `after` takes it away.
# - tags: one tag for another; an empty `before` adds `after`, an empty `after` takes `before` away.
# - use: `no` leaves the clip out, `yes` keeps it.
#
# The last decision about one thing holds: the same clip and column, and the same `before` (of a tag that is
# to be added, the same `after`). So `rejected`, later, takes `accepted` back. Rows without a decision wait
# for one. What remains is applied in the order of the table, each row to what the ones above it made.

Column = Literal["label", "tags", "use"]

NEEDED = ("id", "column", "before", "after", "decision")
"""Columns that a patch table must have."""
NOT_APPLIED = ("unknown_clip", "stale_decision")
"""Kinds of problems that tell of an accepted row that could not be applied."""
_COLUMNS, _DECISIONS, _USE = ("label", "tags", "use"), ("accepted", "rejected", ""), ("yes", "no")
_OPTION = "patch="
_FORMULA = re.compile(r"'*[=+\-@\t\r]")  # what a spreadsheet takes for one, and what is marked already


class Decision(NamedTuple):
    """One row of the table that somebody decided on."""

    id: str
    """As the table has it: a name may begin with a blank. Where no clip is called so, blanks do not count."""
    column: Column
    before: str
    after: str
    accepted: bool
    line: int | None
    """Of the table, the header being line 1."""

    @property
    def change(self) -> str:
        """What it does to its clip, in words."""
        if self.column == "use":
            return "left out" if self.after == "no" else "kept"
        what = "label" if self.column == "label" else "tag"
        if not self.before or not self.after:
            return f"{what} {self.after or self.before!r} {'added' if self.after else 'taken away'}"
        return f"{what} {self.before!r} becomes {self.after!r}"

    def clip(self, known: Container[str]) -> str:
        """The id of its clip among those that are `known`: as written, or without the blanks around it."""
        return self.id if self.id in known else self.id.strip()

    def about(self, known: Container[str]) -> tuple[str, ...]:
        """What is decided on: a later decision about the same stands over an earlier one."""
        if self.column == "use":
            return self.clip(known), "use"
        added = self.after if self.column == "tags" and not self.before else ""
        return self.clip(known), self.column, self.before, added


@dataclass(frozen=True)
class Patch:
    """The decisions of a table."""

    name: str
    """Of the file, for messages."""
    decided: tuple[Decision, ...]
    """Accepted or rejected, in the order of the table; which of them hold, the clips tell."""

    @classmethod
    def read(cls, path: str | Path) -> "Patch":
        """The table at `path`. Raises DataError where there is none, a column is missing, or a word in it is
        not known."""
        file = Path(path).expanduser()
        if not file.is_file():
            raise DataError(
                f"{path}: there is no such patch table. Bring it back, correct the path, or leave it out "
                "(data.patch: null)."
            )
        return cls(file.name, tuple(row for row, is_decided in every_row(file) if is_decided))

    def accepted(self, known: Container[str] = ()) -> list[Decision]:
        """Those that hold, and were not taken back; `known`: the ids of the clips."""
        last = {row.about(known): place for place, row in enumerate(self.decided)}
        return [self.decided[place] for place in sorted(last.values()) if self.decided[place].accepted]

    def apply(
        self, table: pd.DataFrame, splits: Several[str] = ("train", "val", "test")
    ) -> tuple[pd.DataFrame, tuple[Problem, ...]]:
        """A table of clips as it should be, and problems: who was left out, decisions that could not be kept.

        Clips on a side that is not among `splits` stay as they are; clips on no side are patched. The table
        given is not changed.
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
    """A patch table as CSV, every cell in quotes: one may hold a line's end.

    A cell that a spreadsheet would take for a formula begins with an apostrophe, which `unmarked` takes away.
    """
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "'" + cell if _FORMULA.match(cell) else cell for name, cell in row.items()})
    return out.getvalue()


def text_rows(reader: "csv.DictReader[str]") -> list[dict[str, str]]:
    """The rows of a table that `table_text` wrote, as they were before; without cells beyond the header."""
    return [{name: unmarked(cell or "") for name, cell in row.items() if name is not None} for row in reader]


def unmarked(cell: str) -> str:
    """A cell of a patch table without the apostrophe that keeps it from being taken for a formula."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def split_patch(data: str) -> tuple[str, str | None]:
    """`DATA?patch=PATH` in two: the data, with other options where it has some, and the path of the table."""
    place, question, given = data.partition("?")
    if not question or Path(data).exists():
        return data, None
    options = given.split("&")
    paths = [unquote(option.removeprefix(_OPTION)) for option in options if option.startswith(_OPTION)]
    others = [option for option in options if not option.startswith(_OPTION)]
    return place + ("?" + "&".join(others) if others else ""), paths[-1] if paths else None


def join_patch(data: str, path: str | Path) -> str:
    """`split_patch` undone."""
    return f"{data}{'&' if '?' in data else '?'}{_OPTION}{quote(str(path))}"


def _retagged(tags: tuple[str, ...], before: str, after: str) -> tuple[str, ...] | None:
    """The tags with `after` in the place of `before`, each once; None where `before` is not there to be
    replaced, and it is not as decided already."""
    if before and before not in tags:
        return tags if not after or after in tags else None
    changed = (after if tag == before else tag for tag in (*tags, *(() if before else ("",))))
    return tuple(dict.fromkeys(filter(None, changed)))


def every_row(file: Path) -> Iterator[tuple[Decision, bool]]:
    """All rows, and whether somebody decided on them."""
    content = file.read_bytes().strip()
    if not content.count(b"\n"):  # a header at most, and every decision taken back
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


# How the decisions of a patch table stand: how many are accepted, and what these change.


class PatchSummary(NamedTuple):
    """A patch table in numbers, each thing decided on counted once, as it stands now."""

    accepted: tuple[Decision, ...]
    rejected: int
    undecided: int
    """Rows that wait for a decision."""
    not_applied: frozenset[int | None] = frozenset()
    """Lines of accepted rows of which the clip is gone, or no longer as it was."""

    def plain(self) -> dict[str, Any]:
        """Counts, and the accepted changes in words."""
        changes = [
            {"id": each.id, "change": each.change, "applied": each.line not in self.not_applied}
            for each in self.accepted
        ]
        counts = {"rejected": self.rejected, "undecided": self.undecided}
        not_applied = sum(not each["applied"] for each in changes)
        return {"accepted": len(self.accepted), "not_applied": not_applied, **counts, "changes": changes}

    def lines(self, most: int = 10) -> Iterator[str]:
        """How many there are, then what the accepted ones change: a line each, `most` of these."""
        stale = [each for each in self.accepted if each.line in self.not_applied]
        without = f" ({len(stale):,} not applied)" if stale else ""
        yield (
            f"{len(self.accepted):,} accepted{without}, {self.rejected:,} rejected, "
            f"{self.undecided:,} undecided"
        )
        # What somebody has to look at comes first.
        fresh = [each for each in self.accepted if each.line not in self.not_applied]
        for decision in [*stale, *fresh][:most]:
            instead = ": not applied, see above" if decision.line in self.not_applied else ""
            yield f"{decision.id}: {decision.change}{instead}"
        if len(self.accepted) > most:
            yield f"and {len(self.accepted) - most:,} more"


def tally(path: str | Path, problems: Iterable[Problem] = (), ids: Iterable[str] = ()) -> PatchSummary:
    """How the decisions of the table at `path` stand. Raises as `Patch.read`.

    `problems` and `ids` are those of the collection that was opened with it: the former tell which rows were
    not applied, both which clips there are.
    """
    patch, told = Patch.read(path), list(problems)
    known = {*ids, *(each.path for each in told if each.kind == "left_out")}
    lines = (each.row for each in told if each.kind in NOT_APPLIED and each.path == patch.name)
    last: dict[tuple[str, ...], bool | None] = {}
    for row, is_decided in every_row(Path(path).expanduser()):
        about = row.about(known)
        if is_decided or about not in last:
            last[about] = row.accepted if is_decided else None
    standing = list(last.values())
    accepted = tuple(patch.accepted(known))
    return PatchSummary(accepted, standing.count(False), standing.count(None), frozenset(lines))
