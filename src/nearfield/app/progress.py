"""Shows on standard error how far the work is: a bar a stage, with the figures that matter."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from nearfield.app.answers import terminal
from nearfield.runs.events import Event, Note, Watcher

QUIET_SECONDS = 2.0
"""A stage that takes less shows no bar."""
TITLES = {
    "look": "looking at files",
    "decode": "decoding",
    "features": "making features",
    "train": "training",
    "embed": "embedding",
    "measure": "measuring",
    "mfcc_stats": "baseline: MFCC",
    "logmel_stats": "baseline: log-mel",
}


@contextmanager
def watching(quiet: bool = False) -> Iterator[Watcher]:
    """A watcher that draws; `quiet` shows warnings only."""
    console = terminal(err=True)
    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bars:
        yield _Watch(console, bars, quiet)


class _Watch:
    def __init__(self, console: Console, bars: Progress, quiet: bool) -> None:
        self.console, self.bars, self.quiet = console, bars, quiet
        self.tasks: dict[str, TaskID] = {}
        self.since: dict[str, float] = {}
        self.said = 0.0
        self.numbers: dict[str, dict[str, float]] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, Note):
            if event.is_warning or not self.quiet:
                style = "yellow" if event.is_warning else "dim"
                self.console.print(event.text, style=style, markup=False, soft_wrap=True)
            return
        now = time.monotonic()
        first = self.since.setdefault(event.name, now)
        latest = self.numbers.setdefault(event.name, {})
        latest.update(event.numbers)  # a validation's stay until the next one
        figures = _figures(latest)
        if not self.console.is_terminal:
            self._line(event.name, event.done, event.total, figures, now)
            return
        if event.name not in self.tasks:
            if now - first < QUIET_SECONDS and event.name != "train":
                return
            self.tasks[event.name] = self.bars.add_task(
                TITLES.get(event.name, event.name), total=event.total, figures=""
            )
        self.bars.update(self.tasks[event.name], completed=event.done, total=event.total, figures=figures)

    def _line(self, name: str, done: int, total: int, figures: str, now: float) -> None:
        """Where standard error is a file: a line every ten seconds, and the last of training."""
        due = now - max(self.said, self.since[name]) >= 10 or (name == "train" and done == total)
        if due and not self.quiet:
            self.said = now
            self.console.print(f"{TITLES.get(name, name)} {done}/{total} {figures}".rstrip(), markup=False)


def _figures(numbers: dict[str, float]) -> str:
    shown = {
        "train/loss": "loss {:.3f}",
        "train/active_fraction": "{:.0%} of pairs active",
        "train/examples_per_second": "{:.0f} clips/s",
        "val/recall_at_1": "val R@1 {:.3f}",
        "val/tag_overlap_at_1": "val tag overlap {:.3f}",
        "val/triplet_accuracy": "val triplets {:.3f}",
        "val/loss": "val loss {:.3f}",
    }
    return "  ".join(form.format(numbers[name]) for name, form in shown.items() if name in numbers)
