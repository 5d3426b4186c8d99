"""`Tagged`: clips and the tags of each, as tables of music tagging have them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Tagged:
    """One entry a clip in each list."""

    clips: list[str]
    """What the set itself calls the clip."""
    paths: list[str]
    tags: list[tuple[str, ...]]
    lines: list[int]
    """Line of the clip in its table, from 1."""
    order: tuple[str, ...]
    """Every tag, in the order in which they are numbered."""
    source: str
    """Name of the table, for messages."""

    def take(self, rows: list[int]) -> "Tagged":
        """Some clips, in the order given; tags keep their order."""
        return replace(
            self,
            clips=[self.clips[row] for row in rows],
            paths=[self.paths[row] for row in rows],
            tags=[self.tags[row] for row in rows],
            lines=[self.lines[row] for row in rows],
        )


def by_frequency(tags: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Every tag, the most frequent first, where equal by name."""
    counts = Counter(tag for own in tags for tag in own)
    return tuple(sorted(counts, key=lambda tag: (-counts[tag], tag)))
