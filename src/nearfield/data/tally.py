"""How the decisions of a patch table stand: how many are accepted, and what these change."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from nearfield.data.faults import Problem
from nearfield.data.patches import NOT_APPLIED, Decision, Patch, every_row


class Tally(NamedTuple):
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


def tally(path: str | Path, problems: Iterable[Problem] = (), ids: Iterable[str] = ()) -> Tally:
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
    return Tally(accepted, standing.count(False), standing.count(None), frozenset(lines))
