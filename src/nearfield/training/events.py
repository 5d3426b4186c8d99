"""What work in progress says to whoever watches: a command line, a page, a test."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stage:
    """How far a stage of the work is: `done` of `total` steps; `numbers` are its latest figures."""

    name: str
    done: int
    total: int
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Note:
    """A sentence worth reading: a choice made, something left out, a warning."""

    text: str
    is_warning: bool = False


Event = Stage | Note
Callback = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A watcher that looks away."""
