"""Output of commands: tables of any width, `--json`, progress."""

import codecs
import io
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from nearfield.core.errors import in_words
from nearfield.core.text import visible
from nearfield.training.events import Callback, Event, Note

if TYPE_CHECKING:
    from rich.console import Console


# Tables in terminals of any width: text may wrap, numbers are never truncated.


class Terminal(Console):
    """A console that shows control characters instead of obeying them."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Renders text with control characters escaped."""
        return super().render_str(visible(text), **options)


UNBOUNDED = 10_000
"""Terminal width at which every table fits."""


def show(console: Console, table: Table) -> None:
    """Prints a table; if it is too wide, it keeps its least width and the terminal wraps its lines."""
    if not fits(console, table):
        table.width = _least(console, table)
    console.print(table, crop=False)


def fits(console: Console, table: Table) -> bool:
    """Whether a table fits the terminal without truncated numbers or words."""
    return _least(console, table) <= console.width


def _least(console: Console, table: Table) -> int:
    """The width of a table whose text wraps wherever possible."""
    for column in table.columns:
        column.no_wrap = column.no_wrap or column.justify == "right"  # numbers
        if column.no_wrap:
            column.min_width = _widest(column)
    return Measurement.get(console, console.options.update(width=UNBOUNDED), table).minimum


def _widest(column: Column) -> int:
    shown = [visible(str(cell)) for cell in (column.header, *column.cells) if isinstance(cell, str | Text)]
    return max((cell_len(line) for cell in shown for line in cell.split("\n")), default=0)


# Shared by all commands: the option --json, and output to the terminal.
#
# Names and labels come from files, so rich does not interpret markup or emoji in them, and control characters
# are escaped.

RecipeName = Annotated[Path, typer.Argument(help="A recipe: a file, or a name of `nearfield list recipes`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def print_json(value: Any) -> None:
    """Prints one line of JSON, in ASCII if standard output is not UTF-8. NaN raises, since it is not JSON."""
    is_wide = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    text = json.dumps(value, ensure_ascii=not is_wide, allow_nan=False)
    print(text if _is_text(text) else json.dumps(value, allow_nan=False))


def _is_text(text: str) -> bool:
    """Whether a text has no lone surrogates, which file names may contain."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


_PLAIN = {"–": "-", "—": "-", "−": "-", "…": "...", "→": "->", "×": "x"}


def print_anything() -> None:
    """Lets both streams accept any text: characters outside their encoding become similar plain letters."""

    def plainly(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        return "".join(_PLAIN.get(each, "?") for each in error.object[error.start : error.end]), error.end

    codecs.register_error("plainly", plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plainly")


def expanded(word: str) -> str:
    """Expands `~` in a word of the command line, since shells do not expand it in --out=~/x."""
    option, equals, value = word.partition("=")
    if word.startswith("--") and equals and (value == "~" or value.startswith("~/")):
        return f"{option}={Path(value).expanduser()}"
    return str(Path(word).expanduser()) if word == "~" or word.startswith("~/") else word


def flushed(code: Any) -> Any:
    """Flushes standard output and returns `code`; prints a message and returns 1 if that fails."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # otherwise Python flushes again at exit and prints an error
        if not isinstance(error, BrokenPipeError):  # the reader has stopped, as in `nearfield runs | head`
            say(f"nearfield: {in_words(error)}", err=True)
        return 1
    return code


def say(text: object, err: bool = False) -> None:
    """Prints a line on standard output, or on standard error."""
    typer.echo(visible(str(text)), err=err)


def terminal(err: bool = False) -> "Console":
    """The console for tables and styled lines."""

    return Terminal(stderr=err, highlight=False, markup=False, emoji=False)


@contextmanager
def stoppable(how_to_go_on: str) -> Iterator[None]:
    """Turns Ctrl-C into one line on standard error and exit code 130."""
    try:
        yield
    except KeyboardInterrupt as stop:
        print(f"nearfield: {str(stop) or 'stopped'}; {how_to_go_on}", file=sys.stderr)
        raise typer.Exit(130) from None


# Progress on standard error: one bar per stage, with the main metrics.

QUIET_SECONDS = 2.0
"""Seconds below which a stage shows no bar."""
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
def progress_display(quiet: bool = False) -> Iterator[Callback]:
    """A callback that shows progress; with `quiet` only warnings."""
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
        latest.update(event.numbers)  # those of a validation stay until the next one
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
        """If standard error is a file: a line every ten seconds, and the last one of the training."""
        due = now - max(self.said, self.since[name]) >= 10 or (name == "train" and done == total)
        if due and not self.quiet:
            self.said = now
            line = f"{TITLES.get(name, name)} {done}/{total} {figures}".rstrip()
            self.console.print(line, markup=False, soft_wrap=True)  # one line each, for grep


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
