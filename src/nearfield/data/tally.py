"""How the decisions of a patch table stand: how many are accepted, and what these change."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from nearfield.data.patches import Decision, Patch, every_row


class Tally(NamedTuple):
    """A patch table in numbers, each thing decided on counted once, as it stands now."""

    accepted: tuple[Decision, ...]
    rejected: int
    undecided: int
    """Rows that wait for a decision."""

    def plain(self) -> dict[str, Any]:
        """Counts, and the accepted changes in words."""
        changes = [{"id": each.id, "change": each.change} for each in self.accepted]
        counts = {"rejected": self.rejected, "undecided": self.undecided}
        return {"accepted": len(self.accepted), **counts, "changes": changes}

    def lines(self, most: int = 10) -> Iterator[str]:
        """How many there are, then what the accepted ones change: a line each, `most` of these."""
        yield f"{len(self.accepted):,} accepted, {self.rejected:,} rejected, {self.undecided:,} undecided"
        for decision in self.accepted[:most]:
            yield f"{decision.id}: {decision.change}"
        if len(self.accepted) > most:
            yield f"and {len(self.accepted) - most:,} more"


def tally(path: str | Path) -> Tally:
    """How the decisions of the table at `path` stand. Raises as `Patch.read`."""
    accepted = Patch.read(path).decisions
    last: dict[tuple[str, ...], bool | None] = {}
    for row, is_decided in every_row(Path(path).expanduser()):
        if is_decided or row.about not in last:
            last[row.about] = row.accepted if is_decided else None
    standing = list(last.values())
    return Tally(accepted, standing.count(False), standing.count(None))
